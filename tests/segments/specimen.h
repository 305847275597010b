// A server that flushes in rounds, and what its log must be. Owned by a test.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"
#include "segments/writer.h"
#include "tests/segments/memory_directory.h"

namespace duramen::segments::testing {

struct Written {
  Term term = 0;
  std::uint8_t kind = 0;
  std::string payload;
  friend bool operator==(const Written&, const Written&) = default;
};
using Model = std::map<Index, Written>;

inline ServerIdentity Identity() {
  ServerIdentity identity{.cluster_id = 77};
  for (std::uint8_t i = 0; i < 16; ++i) {
    identity.system.bytes[i] = i;
    identity.uid.bytes[i] = static_cast<std::uint8_t>(200 - i);
  }
  return identity;
}

/// The entries of one Append, and the records that borrow from them.
class Batch {
 public:
  Batch& Add(Index index, Term term, std::string payload) {
    entries_.push_back({index, {term, 128, std::move(payload)}});
    return *this;
  }
  std::vector<RecordSource> Records() const {
    std::vector<RecordSource> records;
    for (const auto& [index, entry] : entries_) {
      const Bytes payload = AsBytes(entry.payload);
      records.push_back({.index = index,
                         .term = entry.term,
                         .kind = entry.kind,
                         .entry_checksum = EntryChecksum(
                             {Identity().cluster_id, entry.term, index, entry.kind}, payload),
                         .payload = payload});
    }
    return records;
  }
  const std::vector<std::pair<Index, Written>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<Index, Written>> entries_;
};

class Server {
 public:
  explicit Server(SegmentLimits limits = {}, std::uint64_t seed = 1)
      : limits_(limits), rng_(seed) {}
  SegmentWriter NewWriter() {
    return SegmentWriter({.directory = directory,
                          .identity = Identity(),
                          .limits = limits_,
                          .list = list,
                          .flushed = flushed,
                          .next_number = next_number,
                          .may_append = may_append,
                          .floor = floor,
                          .rng = rng_});
  }
  /// A round with one Append, taken over.
  void Flush(Index cut, std::uint64_t epoch, const Batch& batch) {
    SegmentWriter writer = NewWriter();
    Put(writer, cut, epoch, batch);
    Commit(writer);
  }
  void Put(SegmentWriter& writer, Index cut, std::uint64_t epoch, const Batch& batch) {
    CHECK(writer.Append(cut, epoch, batch.Records()).ok());
    model.erase(model.lower_bound(cut), model.end());
    sparse.erase(sparse.lower_bound(cut), sparse.end());
    for (const auto& [index, entry] : batch.entries()) model[index] = entry;
  }
  void PutSparse(SegmentWriter& writer, std::uint64_t epoch, const Batch& batch) {
    CHECK(writer.AppendSparse(epoch, batch.Records()).ok());
    for (const auto& [index, entry] : batch.entries()) sparse[index] = entry;
  }
  void Commit(SegmentWriter& writer) {
    Result<WrittenRound> round = writer.Finish();
    CHECK(round.ok());
    list = round->list;
    flushed = round->flushed;
    next_number = writer.next_number();
    may_append = true;
  }
  FileBytes& Bytes(std::uint64_t number) { return *directory.files.at(FileName(number)); }

  MemoryDirectory directory;
  SegmentList list;
  Flushed flushed;
  std::uint64_t next_number = 1;
  bool may_append = true;
  Index floor = 0;
  Model model;
  Model sparse;

 private:
  SegmentLimits limits_;
  Rng rng_;
};

/// `count` entries from `first` on, each of about `bytes`.
inline Batch Entries(Index first, std::size_t count, Term term, std::size_t bytes = 20) {
  Batch batch;
  for (std::size_t i = 0; i < count; ++i) {
    std::string payload = std::to_string(first + i) + "/" + std::to_string(term) + ":";
    payload.resize(bytes + (first + i) % 7, 'x');
    batch.Add(first + i, term, payload);
  }
  return batch;
}

}  // namespace duramen::segments::testing
