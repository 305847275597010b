#include "wal/verdict.h"

#include <algorithm>

#include "base/planted.h"

namespace duramen::wal {
namespace {

std::uint64_t LowestBatch(const FileSummary& file) {
  std::uint64_t lowest = UINT64_MAX;
  for (const BatchSummary& batch : file.batches) lowest = std::min(lowest, batch.number);
  return lowest;
}

bool ProvenByItself(const FileSummary& file) {
  if (file.batches.empty()) return false;
  const std::uint64_t lowest = LowestBatch(file);
  return std::any_of(file.batches.begin(), file.batches.end(),
                     [&](const BatchSummary& batch) { return batch.durable_upto >= lowest; });
}

class Judge {
 public:
  explicit Judge(std::span<const FileSummary> files) : files_(files) {}

  TailVerdict Run() {
    FindHighest();
    BuildChain();
    SortOutOthers();
    FindProof();
    for (std::size_t i = 0; i < verdict_.chain.size() && !stopped_; ++i) JudgeFile(i);
    return std::move(verdict_);
  }

 private:
  void FindHighest() {
    for (const FileSummary& file : files_) {
      verdict_.highest_file = std::max(verdict_.highest_file, file.number);
      std::uint64_t& highest = verdict_.highest_batch;
      if (file.header) {
        highest = std::max({highest, file.header->durable_upto, file.header->predecessor_end});
        if (file.header->first_batch > 0) highest = std::max(highest, file.header->first_batch - 1);
        verdict_.highest_file = std::max(verdict_.highest_file, file.header->predecessor_number);
      }
      for (const BatchSummary& batch : file.batches) highest = std::max(highest, batch.number);
    }
  }

  std::optional<std::size_t> FindFile(std::uint64_t number) const {
    for (std::size_t i = 0; i < files_.size(); ++i) {
      if (files_[i].number == number) return i;
    }
    return std::nullopt;
  }

  /// Chained backwards from the newest file that was in service.
  void BuildChain() {
    std::optional<std::size_t> at;
    for (std::size_t i = files_.size(); i-- > 0 && !at;) {
      if (files_[i].header || ProvenByItself(files_[i])) at = i;
    }
    std::uint64_t end = UINT64_MAX;
    if (at && files_[*at].header) verdict_.oldest_live = files_[*at].header->oldest_live;
    while (at) {
      const FileSummary& file = files_[*at];
      if (!file.header) verdict_.headerless.push_back(*at);
      const std::uint64_t first = file.header ? file.header->first_batch : LowestBatch(file);
      verdict_.chain.push_back({*at, first, end});
      at = Predecessor(file, end);
    }
    std::reverse(verdict_.chain.begin(), verdict_.chain.end());
  }

  /// Sets `end` to the last batch of the predecessor that counts.
  std::optional<std::size_t> Predecessor(const FileSummary& file, std::uint64_t& end) {
    if (!file.header) return GuessPredecessor(file, end);
    const FileHeader& header = *file.header;
    if (header.predecessor_number == 0 || header.predecessor_number < verdict_.oldest_live) {
      return std::nullopt;
    }
    end = header.predecessor_end;
    const std::optional<std::size_t> found = FindFile(header.predecessor_number);
    // A file of that name that holds another life is not the predecessor.
    const bool same_life =
        found && (files_[*found].life == header.predecessor_life || files_[*found].life == 0);
    if (!found || !same_life || files_[*found].number >= file.number) {
      verdict_.missing.push_back(header.predecessor_number);
      return std::nullopt;
    }
    return found;
  }

  /// Both header copies are gone: the batch before the first one says where the chain goes on.
  std::optional<std::size_t> GuessPredecessor(const FileSummary& file, std::uint64_t& end) const {
    const std::uint64_t first = LowestBatch(file);
    std::uint64_t previous_checksum = 0;
    for (const BatchSummary& batch : file.batches) {
      if (batch.number == first && batch.header_ok) previous_checksum = batch.previous_checksum;
    }
    for (std::size_t i = files_.size(); i-- > 0;) {
      if (files_[i].number >= file.number) continue;
      for (const BatchSummary& batch : files_[i].batches) {
        const bool linked = previous_checksum != 0 && batch.checksum == previous_checksum;
        if (!linked && batch.number + 1 != first) continue;
        end = batch.number;
        return i;
      }
    }
    return std::nullopt;
  }

  void SortOutOthers() {
    for (std::size_t i = 0; i < files_.size(); ++i) {
      const bool chained =
          std::any_of(verdict_.chain.begin(), verdict_.chain.end(),
                      [&](const ChainFile& chain) { return chain.file == i; });
      if (chained) continue;
      const bool was_used = files_[i].header || !files_[i].batches.empty();
      (was_used ? verdict_.orphans : verdict_.spares).push_back(i);
    }
  }

  void FindProof() {
    if (Planted(PlantedBug::kDurableUptoIgnored)) return;
    for (const ChainFile& chain : verdict_.chain) {
      const FileSummary& file = files_[chain.file];
      if (file.header) verdict_.proven = std::max(verdict_.proven, file.header->durable_upto);
      for (const BatchSummary& batch : file.batches) {
        if (batch.number < chain.first_batch || batch.number > chain.end_batch) continue;
        verdict_.proven = std::max(verdict_.proven, batch.durable_upto);
      }
    }
  }

  const BatchSummary* FindBatch(const FileSummary& file, std::uint64_t number) const {
    const BatchSummary* found = nullptr;
    for (const BatchSummary& batch : file.batches) {
      if (batch.number != number) continue;
      if (found == nullptr || batch.intact || !found->intact) found = &batch;
    }
    return found;
  }

  void JudgeFile(std::size_t chain_index) {
    const ChainFile& chain = verdict_.chain[chain_index];
    const FileSummary& file = files_[chain.file];
    const bool newest = chain_index + 1 == verdict_.chain.size();
    std::uint64_t last = chain.end_batch;
    if (newest) {
      last = verdict_.proven;
      for (const BatchSummary& batch : file.batches) last = std::max(last, batch.number);
    }
    std::uint64_t offset = kFirstBatchOffset;
    // The batches of a file are in order, so one cursor finds them all.
    std::size_t cursor = 0;
    for (std::uint64_t number = chain.first_batch; number <= last; ++number) {
      while (cursor < file.batches.size() && file.batches[cursor].number < number) ++cursor;
      const BatchSummary* found = cursor < file.batches.size() ? &file.batches[cursor] : nullptr;
      if (found != nullptr && found->number != number) found = nullptr;
      if (found != nullptr && !found->intact) found = FindBatch(file, number);
      if (found != nullptr && found->intact && Linked(*found)) {
        Accept(chain.file, *found);
      } else if (number <= verdict_.proven) {
        // A stretch of which nothing is found is one piece: its borders are not known, and its
        // length may come from a hostile header.
        std::uint64_t stretch_last = number;
        if (found == nullptr) {
          stretch_last = std::min(last, verdict_.proven);
          if (cursor < file.batches.size()) {
            stretch_last = std::min(stretch_last, file.batches[cursor].number - 1);
          }
        }
        Damage(chain.file, found, {number, stretch_last}, offset);
        number = stretch_last;
      } else {
        CutHere(chain_index, found, number, offset);
        stopped_ = !Planted(PlantedBug::kLaterFileKeptAfterTear);
        return;
      }
      if (found != nullptr) offset = found->offset + found->bytes;
    }
    if (newest && file.torn_bytes) CutHere(chain_index, nullptr, last + 1, file.end_offset);
  }

  /// The chain of checksums: a batch names the one before it.
  bool Linked(const BatchSummary& batch) const {
    if (verdict_.batches.empty() || verdict_.batches.back().checksum == 0) return true;
    return batch.previous_checksum == verdict_.batches.back().checksum ||
           Planted(PlantedBug::kLifeIgnored) || Planted(PlantedBug::kLaterFileKeptAfterTear);
  }

  void Accept(std::size_t file, const BatchSummary& batch) {
    verdict_.batches.push_back({.file = file,
                                .number = batch.number,
                                .last_number = batch.number,
                                .offset = batch.offset,
                                .bytes = batch.bytes,
                                .checksum = batch.checksum,
                                .flags = batch.flags,
                                .intact = true});
  }

  struct Stretch {
    std::uint64_t first;
    std::uint64_t last;
  };

  void Damage(std::size_t file, const BatchSummary* found, Stretch numbers, std::uint64_t offset) {
    JudgedBatch judged{.file = file, .number = numbers.first, .last_number = numbers.last};
    if (found != nullptr) {
      judged.offset = found->offset;
      judged.bytes = found->bytes;
      judged.checksum = found->checksum;
      judged.flags = found->flags;
    } else {
      std::uint64_t end = files_[file].size_bytes;
      for (const BatchSummary& batch : files_[file].batches) {
        if (batch.number > numbers.last) end = std::min(end, batch.offset);
      }
      judged.offset = offset;
      judged.bytes = std::max(end, offset) - offset;
    }
    verdict_.batches.push_back(judged);
  }

  void CutHere(std::size_t chain_index, const BatchSummary* found, std::uint64_t number,
               std::uint64_t offset) {
    Cut& cut = verdict_.cut;
    const std::size_t file = verdict_.chain[chain_index].file;
    for (std::size_t i = chain_index; i < verdict_.chain.size(); ++i) {
      for (const BatchSummary& batch : files_[verdict_.chain[i].file].batches) {
        if (batch.intact && batch.number > number) ++cut.later_batches;
      }
    }
    const bool unproven = found != nullptr && found->header_ok;
    cut.kind = unproven ? CutKind::kUnproven : CutKind::kTorn;
    cut.file = file;
    cut.number = number;
    cut.offset = found != nullptr ? found->offset : offset;
    cut.bytes = found != nullptr ? found->bytes : 0;
  }

  std::span<const FileSummary> files_;
  TailVerdict verdict_;
  bool stopped_ = false;
};

}  // namespace

TailVerdict JudgeTail(std::span<const FileSummary> files) { return Judge(files).Run(); }

}  // namespace duramen::wal
