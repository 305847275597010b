#include "segments/reader.h"

#include <algorithm>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"

namespace duramen::segments {
namespace {

constexpr std::uint64_t kReadBytesMin = 4096;

/// Some of what a read holds: counted as long as it lives, or until it is kept.
class Counted {
 public:
  explicit Counted(ReadMemory* memory) : memory_(memory) {}
  ~Counted() { Keep(0); }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  Status Take(std::uint64_t bytes) {
    if (memory_ != nullptr) TRY(memory_->Take(bytes));
    bytes_ += bytes;
    return {};
  }
  /// So much of it belongs to the read from now on; the rest is given back.
  void Keep(std::uint64_t bytes) {
    CHECK(bytes <= bytes_);
    if (memory_ != nullptr && bytes < bytes_) memory_->GiveBack(bytes_ - bytes);
    bytes_ = 0;
  }

 private:
  ReadMemory* memory_;
  std::uint64_t bytes_ = 0;
};

/// Reads one file through a window that moves up.
class Cursor {
 public:
  Cursor(std::shared_ptr<SegmentFile> file, const SegmentSummary& segment, ReadEntries& into)
      : file_(std::move(file)),
        context_(FileContext::Of(file_->identity(), segment.number, segment.life)),
        bytes_(segment.bytes),
        into_(into),
        counted_(into.memory) {}

  SegmentFile& file() { return *file_; }
  std::uint64_t bytes() const { return bytes_; }

  Error Damage(Index index, std::uint64_t offset, const std::string& what) const {
    return {ErrorCode::kCorruption,
            file_->path() + ": offset " + std::to_string(offset) + ": entry " +
                std::to_string(index) + ": " + what,
            "run `duramen verify` on the directory"};
  }

  /// Before records of another run are read. Of a compressed one all are made at once; where they
  /// stand is then counted as if they were not compressed. `index`: for the message.
  Status Enter(const RunPlace& run, Index index) {
    if (run.header.compression == Compression::kNone) return {};
    TRY(counted_.Take(run.header.records_bytes + run.header.raw_bytes));
    auto records = ReadRecords(file_->file(), context_, run, bytes_);
    if (!records.ok()) {
      counted_.Keep(0);
      const bool damaged = records.error().code == ErrorCode::kCorruption;
      return damaged ? Damage(index, run.offset, records.error().message) : records.error();
    }
    block_ = std::move(*records);
    in_block_ = true;
    window_ = block_;
    window_offset_ = RecordsOffset(run.offset);
    block_entries_ = into_.entries.size();
    return {};
  }

  /// Behind the records of a run. What was read of a block is kept: all of it, or a copy where a
  /// reader of a little would hold much.
  void Leave() {
    if (!in_block_) return;
    in_block_ = false;
    window_ = {};
    if (into_.entries.size() == block_entries_) {
      std::vector<std::byte>().swap(block_);
      return counted_.Keep(0);
    }
    const std::byte* begin = into_.entries[block_entries_].payload.data();
    const Bytes last = into_.entries.back().payload;
    const auto size = static_cast<std::size_t>(last.data() + last.size() - begin);
    if (size > block_.size() / 2) {
      counted_.Keep(block_.size());
      into_.buffers.push_back(std::move(block_));
      return;
    }
    into_.buffers.emplace_back(begin, begin + size);
    const std::byte* copy = into_.buffers.back().data();
    for (std::size_t at = block_entries_; at < into_.entries.size(); ++at) {
      Bytes& payload = into_.entries[at].payload;
      payload = {copy + (payload.data() - begin), payload.size()};
    }
    std::vector<std::byte>().swap(block_);
    counted_.Keep(size);
  }

  /// The record at `offset`; reads ahead to `ahead_end`. Returns where the next one begins.
  Result<std::uint64_t> ReadRecord(Index index, std::uint64_t offset, std::uint64_t ahead_end) {
    const Bytes front = TRY(At(offset, kRecordHeaderBytes, ahead_end));
    const auto record = DecodeRecordHeader(front, context_, offset);
    if (!record.ok()) return Damage(index, offset, record.error().message);
    if (record->index != index) return Damage(index, offset, "another entry stands there");
    const std::uint64_t size = kRecordHeaderBytes + record->payload_bytes;
    const Bytes whole = TRY(At(offset, size, ahead_end));
    if (whole.size() < size) return Damage(index, offset, "the file ends inside it");
    const Bytes payload = whole.subspan(kRecordHeaderBytes);
    if (!PayloadIntact(*record, file_->identity().cluster_id, payload) &&
        !Planted(PlantedBug::kSegmentPayloadUnchecked)) {
      return Damage(index, offset, "the payload does not match its checksum");
    }
    into_.entries.push_back(
        {.index = index, .term = record->term, .kind = record->kind, .payload = payload});
    return offset + RecordBytes(record->payload_bytes);
  }

 private:
  Result<Bytes> At(std::uint64_t offset, std::uint64_t size, std::uint64_t ahead_end) {
    const std::uint64_t end =
        std::min(offset + size, in_block_ ? window_offset_ + window_.size() : bytes_);
    if (offset >= end) return Bytes{};
    if (offset < window_offset_ || end > window_offset_ + window_.size()) {
      const std::uint64_t ahead = ahead_end > offset ? ahead_end - offset : 0;
      std::uint64_t wanted = std::max(std::min(ahead, kReadBytesMax), kReadBytesMin);
      wanted = std::min(std::max(wanted, end - offset), bytes_ - offset);
      Counted counted(into_.memory);
      TRY(counted.Take(wanted));
      into_.buffers.push_back(TRY(ReadUpTo(file_->file(), offset, wanted)));
      counted.Keep(into_.buffers.back().size());
      window_ = into_.buffers.back();
      window_offset_ = offset;
    }
    const Bytes rest = window_.subspan(std::min(offset - window_offset_, window_.size()));
    return rest.first(std::min<std::uint64_t>(rest.size(), end - offset));
  }

  std::shared_ptr<SegmentFile> file_;
  FileContext context_;
  std::uint64_t bytes_;
  ReadEntries& into_;
  Bytes window_;
  std::uint64_t window_offset_ = 0;
  std::vector<std::byte> block_;  // that was decompressed; what is read of it is not in `into_` yet
  bool in_block_ = false;         // it is the window
  Counted counted_;               // the block, and what it was made of
  std::size_t block_entries_ = 0;  // of `into_` before it
};

struct Budget {
  std::uint64_t left = 0;
  bool spent = false;
  void Take(std::uint64_t bytes) {
    spent = bytes >= left;
    left -= std::min(left, bytes);
  }
};

/// Where the records of a piece stand in the file.
struct PieceBytes {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

Result<PieceBytes> Locate(Cursor& cursor, const RunPlace& run, IndexRange live) {
  const std::uint64_t records_at = RecordsOffset(run.offset);
  PieceBytes bytes{records_at, records_at + run.header.raw_bytes};
  if (live == IndexRange{run.header.first, run.header.end()}) return bytes;
  const auto offsets = TRY(cursor.file().OffsetsOf(run, cursor.bytes()));
  const TableEntry& first = (*offsets)[live.begin - run.header.first];
  if (first.offset == kNoRecord) {
    return cursor.Damage(live.begin, run.offset, "its record cannot be found in the run");
  }
  bytes.begin = records_at + first.offset;
  for (std::size_t at = live.end - run.header.first; at < offsets->size(); ++at) {
    if ((*offsets)[at].offset == kNoRecord) continue;
    bytes.end = records_at + (*offsets)[at].offset;
    break;
  }
  return bytes;
}

struct Piece {
  IndexRange live;
  PieceBytes bytes;
  std::uint64_t ahead_end = 0;  // of all pieces that are wanted
};

Status ReadPiece(Cursor& cursor, const Piece& piece, Budget& budget, ReadEntries& into) {
  std::uint64_t at = piece.bytes.begin;
  for (Index index = piece.live.begin; index < piece.live.end && !budget.spent; ++index) {
    // One read covers the runs behind this one too, and no more than the budget has use for.
    const std::uint64_t wanted = at + budget.left + kReadBytesMin;
    at = TRY(cursor.ReadRecord(index, at, std::min(piece.ahead_end, wanted)));
    budget.Take(into.entries.back().payload.size());
  }
  return {};
}

Status ReadRange(Cursor& cursor, IndexRange range, Budget& budget, ReadEntries& into) {
  const auto table = TRY(cursor.file().Runs(cursor.bytes()));
  const std::vector<LivePiece> pieces = LivePieces(*table, cursor.bytes(), range);
  std::vector<PieceBytes> places;
  Index next = range.begin;
  for (const LivePiece& piece : pieces) {
    if (piece.live.begin != next) break;
    // The first piece that cannot be located ends the read where the walk gets to it.
    const auto place = Locate(cursor, table->runs[piece.run], piece.live);
    if (!place.ok() && places.empty()) return place.error();
    if (!place.ok()) break;
    places.push_back(*place);
    next = piece.live.end;
  }
  for (std::size_t i = 0; i < places.size() && !budget.spent; ++i) {
    TRY(cursor.Enter(table->runs[pieces[i].run], pieces[i].live.begin));
    const Status status =
        ReadPiece(cursor, {pieces[i].live, places[i], places.back().end}, budget, into);
    cursor.Leave();
    TRY(status);
  }
  if (next == range.end || budget.spent) return {};
  const auto behind =
      std::ranges::find(pieces, next, [](const auto& one) { return one.live.begin; });
  if (behind != pieces.end()) return Locate(cursor, table->runs[behind->run], behind->live).error();
  return cursor.Damage(next, 0, "no run that can be read holds it");
}

/// False: the file does not have it.
Result<bool> ReadSparse(Cursor& cursor, Index index, Budget& budget, ReadEntries& into) {
  const auto table = TRY(cursor.file().Runs(cursor.bytes()));
  std::uint64_t limit = cursor.bytes();
  while (true) {
    const std::size_t at = FindSparseRun(*table, limit, index);
    if (at == table->runs.size()) return false;
    const RunPlace& run = table->runs[at];
    const auto offsets = TRY(cursor.file().OffsetsOf(run, cursor.bytes()));
    const auto found = std::ranges::lower_bound(*offsets, index, {}, &TableEntry::index);
    if (found != offsets->end() && found->index == index) {
      const std::uint64_t offset = RecordsOffset(run.offset) + found->offset;
      TRY(cursor.Enter(run, index));
      const Result<std::uint64_t> read = cursor.ReadRecord(index, offset, offset);
      cursor.Leave();
      if (!read.ok()) return read.error();
      budget.Take(into.entries.back().payload.size());
      return true;
    }
    if (offsets->size() < run.header.count) {
      return cursor.Damage(index, run.offset, "records of its sparse run are lost");
    }
    limit = run.offset;
  }
}

Error NoSuchEntry(Index index) {
  return {ErrorCode::kNotFound, "no segment holds entry " + std::to_string(index), ""};
}

}  // namespace

ReadPlan PlanRange(const SegmentList& list, const ServerIdentity& identity, IndexRange range,
                   std::uint64_t bytes_max) {
  CHECK(!range.empty());
  ReadPlan plan{.identity = identity, .bytes_max = bytes_max};
  Index next = range.begin;
  while (next < range.end) {
    const SegmentSummary* segment = list.Find(next);
    if (segment == nullptr) {
      plan.missing = next;
      break;
    }
    const Index end = std::min(range.end, segment->live.end);
    plan.steps.push_back({.files = {*segment}, .range = {next, end}});
    next = end;
  }
  return plan;
}

ReadPlan PlanSparse(const SegmentList& list, const ServerIdentity& identity,
                    std::span<const Index> indexes, std::uint64_t bytes_max) {
  ReadPlan plan{.identity = identity, .bytes_max = bytes_max};
  for (const Index index : indexes) {
    if (const SegmentSummary* segment = list.Find(index)) {
      PlanStep* last = plan.steps.empty() ? nullptr : &plan.steps.back();
      if (last != nullptr && !last->sparse && last->files[0].number == segment->number &&
          last->range.end == index) {
        ++last->range.end;
      } else {
        plan.steps.push_back({.files = {*segment}, .range = {index, index + 1}});
      }
      continue;
    }
    PlanStep step{.range = {index, index + 1}, .sparse = true};
    for (const std::uint32_t number : list.FindSparse(index)) {
      step.files.push_back(*list.FindNumber(number));
    }
    if (step.files.empty()) {
      plan.missing = index;
      break;
    }
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

Status ExecutePlan(const ReadPlan& plan, OpenFiles& files, ReadEntries& into) {
  Budget budget{.left = std::max<std::uint64_t>(plan.bytes_max, 1)};
  const std::size_t before = into.entries.size();
  for (const PlanStep& step : plan.steps) {
    if (budget.spent) return {};
    bool found = false;
    for (const SegmentSummary& segment : step.files) {
      Cursor cursor(TRY(files.Get(plan.identity, segment)), segment, into);
      if (step.sparse) {
        found = TRY(ReadSparse(cursor, step.range.begin, budget, into));
      } else {
        TRY(ReadRange(cursor, step.range, budget, into));
        found = true;
      }
      if (found) break;
    }
    if (!found) return NoSuchEntry(step.range.begin);
  }
  if (plan.missing != 0 && into.entries.size() == before) return NoSuchEntry(plan.missing);
  return {};
}

}  // namespace duramen::segments
