// Reading a log: from arenas without a copy, else from WAL files or segments. See log/store.h.
//
// A read is one consistent view: what was located under one version of the mem table, pinned, and
// found under the same version again. Every payload is verified against its entry checksum on the
// way out, wherever it came from.
#include "segments/reader.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/planted.h"
#include "base/try.h"
#include "log/shards.h"
#include "log/store.h"
#include "wal/run_reader.h"

namespace duramen {
inline namespace v1 {
namespace {

constexpr std::size_t kLocateStep = 64;
constexpr int kTries = 1000;  // a view that keeps changing under us that often is our bug

/// What is read from segments for a pin, asked of the budget before it is there.
class PinMemory final : public segments::ReadMemory {
 public:
  PinMemory(const LogStore::Impl& store, Pin::Impl& pin) : store_(store), pin_(pin) {}
  Status Take(std::uint64_t bytes) override { return store_.ReserveBuffer(bytes, pin_); }
  void GiveBack(std::uint64_t bytes) override { store_.ReleaseBuffer(bytes, pin_); }

 private:
  const LogStore::Impl& store_;
  Pin::Impl& pin_;
};

}  // namespace

Pin::Impl::Impl(const LogStore::Impl& store_ref) : store(store_ref) { store.pins.fetch_add(1); }

Pin::Impl::~Impl() {
  chunks.clear();
  if (reserved_bytes > 0) store.ReleaseBuffer(reserved_bytes, *this);
  store.pins.fetch_sub(1);
}

Pin::~Pin() { delete impl_; }

Pin& Pin::operator=(Pin&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

std::span<const EntryView> Pin::entries() const noexcept { return impl_->entries; }

Result<Pin> LogStore::Impl::Read(LogRef ref, IndexRange range, std::size_t max_bytes) const {
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const log::ServerLog* log = TRY(Find(ref));
    if (range.empty()) return OutOfRange(*log, range.begin);
    auto pin = std::make_unique<Pin::Impl>(*this);
    Reading to{*pin, std::max<std::size_t>(max_bytes, 1)};
    bool changed = false;
    // To make room for many places costs more than to find one.
    Status status = range.end - range.begin == 1 ? ReadOnce<1>(*log, range, to, changed)
                                                 : ReadOnce<kLocateStep>(*log, range, to, changed);
    if (changed || log->generation.load(std::memory_order_acquire) != ref.generation) continue;
    if (status.ok() && pin->entries.empty()) return OutOfRange(*log, range.begin);
    Tell(*pin, status);
    if (!status.ok()) return std::move(status).error();
    return Pin(pin.release());
  }
  return Error{ErrorCode::kOverloaded, "the log changes faster than it can be read",
               "read it through its Writer's thread"};
}

Error LogStore::Impl::OutOfRange(const log::ServerLog& log, Index index) {
  const memtable::TableBounds bounds = log.table.Bounds();
  return {ErrorCode::kOutOfRange,
          "index " + std::to_string(index) + " is outside of [" + std::to_string(bounds.begin) +
              ", " + std::to_string(bounds.end) + ")",
          ""};
}

void LogStore::Impl::Tell(const Pin::Impl& pin, const Status& read) const {
  log::ReadStats& told = stats->read;
  told.calls.AddShared(1);
  const std::uint64_t in_memory = pin.entries.size() - pin.wal_entries - pin.segment_entries;
  if (in_memory > 0) told.memory_entries.AddShared(in_memory);
  if (pin.wal_entries > 0) told.wal_entries.AddShared(pin.wal_entries);
  if (pin.segment_entries > 0) told.segment_entries.AddShared(pin.segment_entries);
  if (!read.ok() && read.error().code == ErrorCode::kCorruption) told.corrupt_calls.AddShared(1);
}

template <std::size_t kPlaces>
Status LogStore::Impl::ReadOnce(const log::ServerLog& log, IndexRange range, Reading& to,
                                bool& changed) const {
  memtable::EntryLocation locations[kPlaces];
  Pin::Impl& pin = to.pin;
  std::uint64_t version = 0;
  Index next = range.begin;
  while (next < range.end && to.left > 0) {
    const memtable::Located located = log.table.Locate({next, range.end}, locations);
    changed = version != 0 && version != located.version;
    if (changed) return {};
    version = located.version;
    if (located.range.empty()) break;
    for (Index index = located.range.begin; index < located.range.end && to.left > 0; ++index) {
      if (index < next) continue;  // A file read went further than one step.
      const memtable::EntryLocation& location = locations[index - located.range.begin];
      if (location.slot.chunk != memtable::kNoChunk && ReadMemory(log, location, index, pin)) {
        if (!pin.entries.empty() && pin.entries.back().payload.data() == nullptr &&
            location.slot.bytes > 0) {
          return Error{ErrorCode::kCorruption,
                       "entry " + std::to_string(index) + " changed in memory", ""};
        }
        to.left -= std::min<std::uint64_t>(to.left, location.slot.bytes);
        next = index + 1;
        continue;
      }
      // Up to what is in memory: a run in a file still covers what was overwritten since.
      Index file_end = index + 1;
      while (file_end < located.range.end &&
             locations[file_end - located.range.begin].slot.chunk == memtable::kNoChunk) {
        ++file_end;
      }
      bool moved = false;
      const Status status = ReadFile(log, {index, file_end}, to, moved);
      changed = moved || !log.table.UnchangedSince(version);
      if (changed) return {};
      if (!status.ok()) return pin.entries.empty() ? status : Status{};
      next = pin.entries.back().index + 1;
    }
  }
  changed = !log.table.UnchangedSince(version);
  return {};
}

/// False: the chunk is gone, so the entry is in a WAL file. A payload that fails its checksum is
/// returned with a null pointer.
bool LogStore::Impl::ReadMemory(const log::ServerLog& log, const memtable::EntryLocation& location,
                                Index index, Pin::Impl& pin) const {
  const memtable::Arena* arena = log.arena.load(std::memory_order_acquire);
  if (arena == nullptr) return false;
  const memtable::Slot& slot = location.slot;
  const bool takes_pin = pin.chunks.empty() || pin.chunks.back().chunk() != slot.chunk;
  if (takes_pin) {
    memtable::ChunkPin chunk(*arena, slot.chunk);
    if (!chunk.held()) return false;
    pin.chunks.push_back(std::move(chunk));
  }
  const std::byte* entry = arena->Resolve(slot.chunk, slot.offset, slot.bytes);
  if (entry == nullptr) return false;
  Bytes payload{entry + memtable::kArenaEntryHeaderBytes, slot.bytes};
  const EntryIdentity identity{log.owner.cluster_id, location.term, index, slot.kind};
  const bool good = LoadLe<std::uint64_t>(entry) == EntryChecksum(identity, payload);
  if (good && takes_pin && budget.ManyPinned() && ReserveBuffer(slot.bytes, pin).ok()) {
    pin.buffers.emplace_back(payload.begin(), payload.end());
    payload = pin.buffers.back();
    pin.chunks.pop_back();
  }
  pin.entries.push_back({.index = index,
                         .term = location.term,
                         .kind = slot.kind,
                         .payload = good ? payload : Bytes{}});
  return true;
}

Error LogStore::Impl::Lost(const log::ServerLog& log, Index index) const {
  const std::string entry = "entry " + std::to_string(index);
  const std::string hint = "run `duramen verify` on the directory";
  if (log.InHole(index)) return {ErrorCode::kFaulty, entry + " was lost to damage on disk", hint};
  return {ErrorCode::kCorruption, entry + " cannot be read from where it was written", hint};
}

Status LogStore::Impl::ReserveBuffer(std::uint64_t bytes, Pin::Impl& pin) const {
  if (!budget.TryReserve(bytes, BudgetUse::kReserve)) {
    return Error{ErrorCode::kOverloaded, "memory_budget has no room for this read",
                 "drop pins, or raise memory_budget"};
  }
  pin.reserved_bytes += bytes;
  stats->state.memory_read_bytes.AddShared(bytes);
  return {};
}

void LogStore::Impl::ReleaseBuffer(std::uint64_t bytes, Pin::Impl& pin) const {
  pin.reserved_bytes -= bytes;
  stats->state.memory_read_bytes.SubShared(bytes);
  budget.Release(bytes);
}

/// Adds entries of the one run that holds range.begin, in a WAL file or in a segment. `moved`: the
/// run was flushed and its WAL file used again while it was read.
Status LogStore::Impl::ReadFile(const log::ServerLog& log, IndexRange range, Reading& to,
                                bool& moved) const {
  if (shared != nullptr) return ReadRemote(log, range, to, moved);
  const std::optional<wal::LandedRun> run = landed.Find(log.slot, range.begin);
  if (!run) return ReadSegments(log, range, to);
  const std::size_t before = to.pin.entries.size();
  Status status = ReadWalFile(log, *run, range, to);
  if (status.ok() && to.pin.entries.size() > before) return status;
  const std::optional<wal::LandedRun> now = landed.Find(log.slot, range.begin);
  moved = !now || now->file != run->file || now->offset != run->offset;
  return status.ok() ? Lost(log, range.begin) : status;
}

Status LogStore::Impl::ReadWalFile(const log::ServerLog& log, const wal::LandedRun& run,
                                   IndexRange range, Reading& to) const {
  Pin::Impl& pin = to.pin;
  const std::optional<wal::OpenWalFile> file = landed.FindFile(run.file);
  if (!file) return Lost(log, range.begin);
  const std::uint64_t bytes = wal::RunReader::BufferBytes(run);
  TRY(ReserveBuffer(bytes, pin));
  pin.buffers.emplace_back(bytes);
  wal::RunReader reader =
      TRY(wal::RunReader::Open(*file, {run, log.slot, log.owner}, pin.buffers.back()));
  reader.SkipTo(range.begin);
  const Index end = std::min(range.end, run.live_end);
  const std::size_t before = pin.entries.size();
  std::uint64_t unpacked = 0;
  Status status;
  while (!reader.AtEnd() && reader.next_index() < end &&
         (to.left > 0 || pin.entries.size() == before)) {
    const Index index = reader.next_index();
    if (const std::uint64_t ahead = reader.BytesAhead(); ahead > 0) {
      Status reserved = ReserveBuffer(ahead, pin);
      if (!reserved.ok() && pin.entries.size() == before) status = std::move(reserved);
      if (!reserved.ok()) break;
      unpacked += ahead;
    }
    const Result<wal::RecordView> record = reader.Next();
    if (index < range.begin) continue;
    if (!record.ok()) {
      if (pin.entries.size() == before) status = Lost(log, index);
      break;
    }
    to.left -= std::min<std::uint64_t>(to.left, record->payload.size());
    pin.entries.push_back(
        {.index = index, .term = run.term, .kind = record->kind, .payload = record->payload});
  }
  for (std::vector<std::byte>& frame : reader.TakeFrames()) {
    unpacked -= frame.size();
    pin.buffers.push_back(std::move(frame));
  }
  ReleaseBuffer(unpacked, pin);  // Of frames that were damaged.
  pin.wal_entries += pin.entries.size() - before;
  return status;
}

/// Segments are never asked above what the log's durable cuts left of them [C8].
Status LogStore::Impl::ReadSegments(const log::ServerLog& log, IndexRange range,
                                    Reading& to) const {
  Pin::Impl& pin = to.pin;
  range.end = std::min(range.end, landed.FlushedEnd(log.slot));
  if (range.empty()) return Lost(log, range.begin);
  const segments::ServerIdentity identity{system, log.owner.uid, log.owner.cluster_id};
  const segments::ReadPlan plan = segments::PlanRange(log.Segments(), identity, range, to.left);
  if (plan.steps.empty()) return Lost(log, range.begin);
  PinMemory memory(*this, pin);
  segments::ReadEntries read{.memory = &memory};
  const std::uint64_t before_bytes = pin.reserved_bytes;
  const Status status = segments::ExecutePlan(plan, *segment_files, read);
  if (read.entries.empty()) {
    ReleaseBuffer(pin.reserved_bytes - before_bytes, pin);
    const bool damaged = status.ok() || status.error().code == ErrorCode::kCorruption ||
                         status.error().code == ErrorCode::kNotFound;
    return damaged && log.InHole(range.begin) ? Status{Lost(log, range.begin)} : status;
  }
  for (std::vector<std::byte>& buffer : read.buffers) pin.buffers.push_back(std::move(buffer));
  for (const EntryView& entry : read.entries) {
    // A segment that holds another term there is not of this log's present.
    if (entry.term != log.table.TermAt(entry.index).value_or(entry.term)) {
      return Lost(log, entry.index);
    }
    to.left -= std::min<std::uint64_t>(to.left, entry.payload.size());
    ++pin.segment_entries;
    pin.entries.push_back(entry);
  }
  return {};
}

Result<Pin> LogStore::Read(LogRef log, Index begin, Index end, std::size_t max_bytes) const {
  return impl_->shards->Of(log).Read(log, {begin, end}, max_bytes);
}

Result<Term> LogStore::TermAt(LogRef ref, Index index) const {
  const log::ServerLog* log = TRY(impl_->shards->Of(ref).Find(ref));
  const std::optional<Term> term = log->table.TermAt(index);
  if (term) return *term;
  return Error{ErrorCode::kOutOfRange, "the log knows no term at " + std::to_string(index), ""};
}

Result<Bounds> LogStore::BoundsOf(LogRef ref) const {
  const log::ServerLog* log = TRY(impl_->shards->Of(ref).Find(ref));
  const memtable::TableBounds bounds = log->table.Bounds();
  const Index written = log->written_end.load(std::memory_order_acquire);
  return Bounds{.begin = bounds.begin,
                .end = bounds.end,
                .written_end = std::clamp(written, bounds.begin, bounds.end),
                .term_before_begin = bounds.term_before_begin,
                .epoch = log->epoch.load(std::memory_order_acquire)};
}

Result<Vote> LogStore::VoteOf(LogRef ref) const {
  const log::ServerLog* log = TRY(impl_->shards->Of(ref).Find(ref));
  const std::lock_guard lock(log->mutex);
  return log->vote;
}

Result<LogFault> LogStore::FaultOf(LogRef ref) const {
  const log::ServerLog* log = TRY(impl_->shards->Of(ref).Find(ref));
  if (!log->faulty.load(std::memory_order_acquire)) return LogFault{};
  const std::lock_guard lock(log->mutex);
  const meta::FaultyRow& row = log->fault;
  return LogFault{row.from, row.to, row.rows_lost, row.reason};
}

Result<Index> LogStore::LastAppliedOf(LogRef ref) const {
  const log::ServerLog* log = TRY(impl_->shards->Of(ref).Find(ref));
  const std::lock_guard lock(log->mutex);
  return log->last_applied;
}

Result<std::string> LogStore::Get(LogRef ref, std::string_view key) const {
  const log::ServerLog* log = TRY(impl_->shards->Of(ref).Find(ref));
  const std::lock_guard lock(log->mutex);
  const auto found = log->values.find(key);
  if (found != log->values.end()) return found->second;
  return Error{ErrorCode::kNotFound, "no value is named '" + std::string(key) + "'", ""};
}

}  // namespace v1
}  // namespace duramen
