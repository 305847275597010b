#include "wal/batch.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"

namespace duramen::wal {
namespace {

Error Corrupt(const char* what) { return {ErrorCode::kCorruption, what, ""}; }

struct Closing {
  ClosingHeader header;
  std::vector<Binding> bindings;
  std::vector<RunHeader> runs;
};

/// Requires: `bytes` begins at a closing that DecodeClosing accepted.
std::optional<Closing> ReadClosingLists(Bytes bytes, const ClosingHeader& header) {
  Closing closing{header, {}, {}};
  const std::byte* in = bytes.data() + kClosingHeaderBytes;
  for (std::uint32_t i = 0; i < header.binding_count; ++i, in += kBindingBytes) {
    closing.bindings.push_back(DecodeBinding(in));
  }
  for (std::uint32_t i = 0; i < header.run_count; ++i, in += kRunSummaryBytes) {
    Result<RunHeader> run = DecodeRunSummary(in);
    if (!run.ok()) return std::nullopt;
    closing.runs.push_back(*run);
  }
  return closing;
}

/// The closing stands on a sector; which one is known only when the header can be read.
std::optional<Closing> FindClosing(Bytes batch, const SystemUuid& system,
                                   const FileContext& context, std::uint64_t offset) {
  for (std::size_t at = kSectorBytes; at + kClosingHeaderBytes <= batch.size();
       at += kSectorBytes) {
    if (LoadLe<std::uint32_t>(batch.data() + at) != kClosingMagic) continue;
    const Bytes rest = batch.subspan(at);
    const Result<ClosingHeader> header = DecodeClosing(rest, system, context, offset + at);
    if (header.ok() && header->closing_offset == at) return ReadClosingLists(rest, *header);
  }
  return std::nullopt;
}

/// Judges the run at `at`: adds it to runs, or to damaged and partial.
void JudgeRun(const RunView& run, const FileContext& context, const RecordOwner* owner,
              BatchContents& out) {
  if (IsMark(run.header.kind)) {
    out.runs.push_back(run);
    return;
  }
  DamagedRun damage{run.header, 0, 0, run.offset};
  bool bad = owner == nullptr;
  if (owner == nullptr) {
    damage.first = run.header.first;
    damage.last = run.header.first + run.header.count - 1;
  } else {
    RecordReader reader(run, context, *owner);
    while (!reader.AtEnd() && reader.resumable()) {
      const Index index = reader.next_index();
      if (reader.Next().ok()) continue;
      if (!bad) damage.first = index;
      bad = true;
      damage.last = reader.resumable() ? index : run.header.first + run.header.count - 1;
    }
  }
  if (!bad) {
    out.runs.push_back(run);
    return;
  }
  if (!IsEntries(run.header.kind)) damage.first = damage.last = 0;
  out.damaged.push_back(damage);
  if (owner != nullptr) out.partial.push_back(run);
}

/// Where a batch stands.
struct RunPlace {
  const FileContext& context;
  std::uint64_t offset;
};

/// True when the first record of a run of the binding's slot verifies under its uid [C7].
bool SomeRecordVouches(const Binding& binding, Bytes batch, const RunPlace& place,
                       std::uint64_t runs_begin) {
  std::uint64_t at = runs_begin;
  while (at < batch.size()) {
    const Bytes rest = batch.subspan(at);
    const Result<RunHeader> run =
        DecodeRunHeader(rest, SeedAt(place.context.seed, place.offset + at));
    if (!run.ok()) return false;
    const std::uint64_t seed =
        RecordSeed(place.context.seed, place.offset + at + kRunHeaderBytes, binding.uid);
    if (run->slot == binding.slot && RunIsOf(*run, rest.subspan(kRunHeaderBytes), seed)) {
      return true;
    }
    at += kRunHeaderBytes + run->bytes;
  }
  return false;
}

/// The bindings of a body without a closing to vouch for them. With the whole body intact they all
/// hold; else those under whose uid the first record of a run of their slot verifies [C7].
/// Those that nothing vouches for go to `contents.unverified`.
void ReadBodyBindings(const BatchHeader& header, Bytes batch, const RunPlace& place,
                      BatchContents& contents) {
  const auto& [context, offset] = place;
  const std::uint64_t begin = kBatchHeaderBytes;
  const std::uint64_t end = begin + std::uint64_t{header.binding_count} * kBindingBytes;
  if (end > std::min<std::uint64_t>(batch.size(), header.body_bytes)) return;
  bool body_intact = false;
  if (batch.size() >= header.closing_offset) {
    const Bytes body = batch.subspan(begin, header.closing_offset - begin);
    body_intact = Checksum(body, SeedAt(context.seed, offset)) == header.body_checksum;
  }
  for (std::uint64_t at = begin; at < end; at += kBindingBytes) {
    const Binding binding = DecodeBinding(batch.data() + at);
    const bool vouched = body_intact || SomeRecordVouches(binding, batch, place, end);
    (vouched ? contents.bindings : contents.unverified).push_back(binding);
  }
}

const RecordOwner* FindOwner(const SlotTable& slots, const std::vector<Binding>& bindings,
                             std::uint32_t slot, RecordOwner& scratch) {
  for (const Binding& binding : bindings) {
    if (binding.slot != slot) continue;
    scratch = {binding.uid, binding.cluster_id};
    return &scratch;
  }
  const auto found = slots.find(slot);
  return found == slots.end() ? nullptr : &found->second;
}

}  // namespace

std::uint64_t BatchBytes(std::uint64_t record_bytes, std::uint64_t runs, std::uint64_t bindings) {
  const std::uint64_t body =
      kBatchHeaderBytes + bindings * kBindingBytes + runs * kRunHeaderBytes + record_bytes;
  return RoundUp(RoundUp(body, kSectorBytes) + ClosingBytes(runs, bindings), kBlockBytes);
}

BatchEncoder::BatchEncoder(const FileContext& context, std::uint64_t offset,
                           std::span<std::byte> buffer, BatchLists lists)
    : context_(context),
      offset_(offset),
      buffer_(buffer),
      bindings_(std::move(lists.bindings)),
      runs_(std::move(lists.runs)) {
  bindings_.clear();
  runs_.clear();
}

void BatchEncoder::AddBinding(const Binding& binding) {
  CHECK(runs_.empty() && !in_run_);
  CHECK(at_ + kBindingBytes <= buffer_.size());
  EncodeBinding(binding, buffer_.data() + at_);
  at_ += kBindingBytes;
  bindings_.push_back(binding);
}

void BatchEncoder::BeginRun(const RunHeader& run, const ServerUid& uid) {
  CHECK(!in_run_);
  CHECK(at_ + kRunHeaderBytes <= buffer_.size());
  in_run_ = true;
  run_ = run;
  run_.count = 0;
  run_.bytes = 0;
  run_uid_ = uid;
  run_at_ = at_;
  at_ += kRunHeaderBytes;
}

bool BatchEncoder::AddRecord(const RecordSource& record, PayloadCopy foreign) {
  CHECK(in_run_);
  const std::uint64_t bytes = RecordBytes(record.payload_bytes);
  CHECK(at_ + bytes <= buffer_.size());
  std::byte* out = buffer_.data() + at_;
  std::byte* copy = out + kRecordHeaderBytes;
  if (foreign.copy != nullptr) {
    if (!foreign.copy(foreign.argument, copy, record.payload, record.payload_bytes)) return false;
  } else if (record.payload_bytes > 0) {
    std::memcpy(copy, record.payload, record.payload_bytes);
  }
  // Over the copy, not the source: the source can still be written by its owner.
  if (EntryChecksum(record.identity, {copy, record.payload_bytes}) != record.entry_checksum) {
    return false;
  }
  const std::uint64_t padding = bytes - kRecordHeaderBytes - record.payload_bytes;
  std::memset(copy + record.payload_bytes, 0, padding);
  EncodeRecordHeader({record.entry_checksum, record.payload_bytes, record.identity.kind},
                     RecordSeed(context_.seed, offset_ + at_, run_uid_), out);
  last_at_ = at_;
  last_bytes_ = record.payload_bytes;
  at_ += bytes;
  run_.count += 1;
  run_.bytes += static_cast<std::uint32_t>(bytes);
  return true;
}

void BatchEncoder::TakeBackRecord() {
  CHECK(in_run_ && run_.count > 0);
  run_.count -= 1;
  run_.bytes -= static_cast<std::uint32_t>(at_ - last_at_);
  at_ = last_at_;
}

RunHeader BatchEncoder::EndRun() {
  CHECK(in_run_);
  in_run_ = false;
  if (run_.count == 0 && !IsMark(run_.kind)) {
    at_ = run_at_;
    return run_;
  }
  const bool tried = packer_ != nullptr && IsEntries(run_.kind) && (run_.flags & kRunPacked) == 0 &&
                     run_.bytes >= packer_->bytes_min();
  if (tried) PackRun();
  EncodeRunHeader(run_, SeedAt(context_.seed, offset_ + run_at_), buffer_.data() + run_at_);
  runs_.push_back(run_);
  record_count_ += run_.count;
  if (run_.kind == RunKind::kRows) row_count_ += run_.count;
  return run_;
}

void BatchEncoder::PackRun() {
  const std::size_t at = run_at_ + kRunHeaderBytes;
  const Bytes frames =
      packer_->Pack(buffer_.subspan(at, run_.bytes), {context_.seed, offset_ + at, run_uid_});
  if (frames.empty()) return;
  std::memcpy(buffer_.data() + at, frames.data(), frames.size());
  run_.flags |= kRunPacked;
  run_.bytes = static_cast<std::uint32_t>(frames.size());
  at_ = at + frames.size();
}

bool BatchEncoder::AddFrames(const RunView& from, const FileContext& context) {
  CHECK(in_run_ && run_.count == 0 && (from.header.flags & kRunPacked) != 0);
  CHECK(at_ + from.records.size() <= buffer_.size());
  const std::span<std::byte> frames = buffer_.subspan(at_, from.records.size());
  if (!frames.empty()) std::memcpy(frames.data(), from.records.data(), frames.size());
  const FramePlace was{context.seed, from.offset + kRunHeaderBytes, run_uid_};
  if (Planted(PlantedBug::kFramesKeepTheirPlace)) {
    // As they were.
  } else if (!MoveFrames(frames, was, {context_.seed, offset_ + at_, run_uid_})) {
    return false;
  }
  at_ += frames.size();
  run_.count = from.header.count;
  run_.bytes = static_cast<std::uint32_t>(frames.size());
  return true;
}

void BatchEncoder::AbandonRun() {
  CHECK(in_run_);
  in_run_ = false;
  at_ = run_at_;
}

Bytes BatchEncoder::Finish(BatchHeader& header) {
  CHECK(!in_run_);
  const std::size_t closing_at = RoundUp(at_, kSectorBytes);
  const std::size_t closing_used = ClosingBytes(runs_.size(), bindings_.size());
  const std::size_t total = RoundUp(closing_at + closing_used, kBlockBytes);
  CHECK(total <= buffer_.size());
  std::memset(buffer_.data() + at_, 0, closing_at - at_);
  std::byte* closing = buffer_.data() + closing_at;
  std::byte* out = closing + kClosingHeaderBytes;
  for (const Binding& binding : bindings_) {
    EncodeBinding(binding, out);
    out += kBindingBytes;
  }
  for (const RunHeader& run : runs_) {
    EncodeRunSummary(run, out);
    out += kRunSummaryBytes;
  }
  std::memset(closing + closing_used, 0, total - closing_at - closing_used);

  header.life = context_.life;
  header.file_number = context_.number;
  header.batch_bytes = static_cast<std::uint32_t>(total);
  header.closing_offset = static_cast<std::uint32_t>(closing_at);
  header.run_count = static_cast<std::uint32_t>(runs_.size());
  header.binding_count = static_cast<std::uint32_t>(bindings_.size());
  header.record_count = record_count_;
  header.row_count = row_count_;
  header.body_bytes = static_cast<std::uint32_t>(at_);
  const Bytes body{buffer_.data() + kBatchHeaderBytes, closing_at - kBatchHeaderBytes};
  const std::uint64_t seed = SeedAt(context_.seed, offset_);
  header.body_checksum = Checksum(body, seed);
  header.checksum = EncodeBatchHeader(header, seed, buffer_.data());
  EncodeClosing({.life = header.life,
                 .file_number = header.file_number,
                 .number = header.number,
                 .durable_upto = header.durable_upto,
                 .batch_checksum = header.checksum,
                 .batch_bytes = header.batch_bytes,
                 .closing_offset = header.closing_offset,
                 .run_count = header.run_count,
                 .binding_count = header.binding_count},
                SeedAt(context_.seed, offset_ + closing_at), closing);
  return buffer_.first(total);
}

Result<RecordView> RecordReader::Next() {
  if ((run_.header.flags & kRunPacked) != 0) return NextPacked();
  const std::uint64_t offset = run_.offset + kRunHeaderBytes + at_;
  const Bytes rest = run_.records.subspan(at_);
  const std::uint64_t seed = RecordSeed(context_.seed, offset, owner_.uid);
  const Result<RecordHeader> header = DecodeRecordHeader(rest, seed);
  if (!header.ok() || RecordBytes(header->payload_bytes) > rest.size()) {
    resumable_ = false;
    if (!header.ok()) return header.error();
    return Corrupt("record runs past its run");
  }
  at_ += RecordBytes(header->payload_bytes);
  return Take(*header, rest, offset);
}

/// `bytes` begin at the record, which is whole.
Result<RecordView> RecordReader::Take(const RecordHeader& header, Bytes bytes,
                                      std::uint64_t offset) {
  const Index index = next_index();
  ++done_;
  const bool is_entry = IsEntries(run_.header.kind);
  const EntryIdentity identity{owner_.cluster_id, is_entry ? run_.header.term : 0,
                               is_entry ? index : 0, header.kind};
  const Bytes payload = bytes.subspan(kRecordHeaderBytes, header.payload_bytes);
  if (EntryChecksum(identity, payload) != header.entry_checksum &&
      !Planted(PlantedBug::kChecksumNotCheckedOnRead)) {
    return Corrupt("entry checksum differs");
  }
  return RecordView{index, header.kind, header.entry_checksum, offset, payload};
}

Result<RecordView> RecordReader::NextPacked() {
  if (done_ == frame_end_) TRY(OpenFrame());
  if (!frame_.empty()) {
    const Bytes rest = Bytes(frame_).subspan(frame_at_);
    const auto header = DecodeRecordHeader(rest, FramedRecordSeed(frame_at_, owner_.uid));
    if (header.ok() && RecordBytes(header->payload_bytes) <= rest.size()) {
      frame_at_ += RecordBytes(header->payload_bytes);
      return Take(*header, rest, frame_offset_);
    }
    KeepFrame();  // Under a good checksum: not what we write. The rest of it is lost.
  }
  ++done_;
  return Corrupt("a frame of packed records is damaged");
}

/// That begins where the reader stands.
Result<FrameHeader> RecordReader::FrameHere() const {
  const std::uint64_t offset = run_.offset + kRunHeaderBytes + at_;
  const Bytes rest = run_.records.subspan(std::min(at_, run_.records.size()));
  Result<FrameHeader> header =
      DecodeFrameHeader(rest, RecordSeed(context_.seed, offset, owner_.uid));
  if (header.ok() && header->count <= run_.header.count - done_) return header;
  return Corrupt("the header of packed records is damaged");
}

std::uint64_t RecordReader::BytesAhead() const {
  if ((run_.header.flags & kRunPacked) == 0 || done_ != frame_end_) return 0;
  const Result<FrameHeader> header = FrameHere();
  const bool read = header.ok() && next_index() + header->count > skip_to_;
  return read ? header->raw_bytes : 0;
}

/// The next one. Damage to its body leaves it empty; its header is needed to go on at all.
Status RecordReader::OpenFrame() {
  KeepFrame();
  const Result<FrameHeader> header = FrameHere();
  if (!header.ok()) {
    resumable_ = false;
    return header.error();
  }
  const std::uint64_t offset = run_.offset + kRunHeaderBytes + at_;
  const Bytes rest = run_.records.subspan(at_);
  at_ += FrameBytes(header->packed_bytes);
  frame_at_ = 0;
  frame_offset_ = offset;
  frame_end_ = done_ + header->count;
  if (run_.header.first + frame_end_ <= skip_to_) return {};  // Read by nobody.
  Result<std::vector<std::byte>> records =
      UnpackFrame(*header, rest.subspan(kFrameHeaderBytes),
                  RecordSeed(context_.seed, offset + kFrameHeaderBytes, owner_.uid));
  if (records.ok()) frame_ = std::move(*records);
  return {};
}

void RecordReader::KeepFrame() {
  if (keeps_ && !frame_.empty()) kept_.push_back(std::move(frame_));
  frame_.clear();
}

std::vector<std::vector<std::byte>> RecordReader::TakeFrames() {
  KeepFrame();
  return std::exchange(kept_, {});
}

FileContext ContextOf(const BatchHeader& header, const SystemUuid& system,
                      const FileContext& context) {
  if (context.life == header.life && context.number == header.file_number) return context;
  return FileContext::Of(system, header.file_number, header.life);
}

bool BatchIntact(const BatchHeader& header, Bytes batch, const SystemUuid& system,
                 const FileContext& context, std::uint64_t offset) {
  if (batch.size() < header.batch_bytes) return false;
  batch = batch.first(header.batch_bytes);
  const FileContext own = ContextOf(header, system, context);
  const Bytes body = batch.subspan(kBatchHeaderBytes, header.closing_offset - kBatchHeaderBytes);
  if (Checksum(body, SeedAt(own.seed, offset)) != header.body_checksum) return false;
  const Result<ClosingHeader> closing = DecodeClosing(batch.subspan(header.closing_offset), system,
                                                      own, offset + header.closing_offset);
  return closing.ok() && closing->number == header.number &&
         closing->batch_checksum == header.checksum &&
         closing->closing_offset == header.closing_offset;
}

Result<BatchContents> ReadIntactBatch(const BatchHeader& header, Bytes batch,
                                      const FileContext& context, std::uint64_t offset) {
  BatchContents contents;
  std::size_t at = kBatchHeaderBytes;
  if (at + header.binding_count * kBindingBytes > header.body_bytes) {
    return Corrupt("bindings run past the body");
  }
  for (std::uint32_t i = 0; i < header.binding_count; ++i, at += kBindingBytes) {
    contents.bindings.push_back(DecodeBinding(batch.data() + at));
  }
  for (std::uint32_t i = 0; i < header.run_count; ++i) {
    if (at > header.body_bytes) return Corrupt("runs go past the body");
    const Bytes rest = batch.subspan(at, header.body_bytes - at);
    const RunHeader run = TRY(DecodeRunHeader(rest, SeedAt(context.seed, offset + at)));
    if (run.bytes > rest.size() - kRunHeaderBytes) return Corrupt("a run goes past the body");
    contents.runs.push_back({run, offset + at, rest.subspan(kRunHeaderBytes, run.bytes)});
    at += kRunHeaderBytes + run.bytes;
  }
  if (at != header.body_bytes) return Corrupt("bytes between the last run and the closing");
  return contents;
}

BatchContents ReadDamagedBatch(Bytes batch, const SystemUuid& system, const FileContext& context,
                               std::uint64_t offset, const SlotTable& slots) {
  BatchContents contents;
  const std::optional<Closing> closing = FindClosing(batch, system, context, offset);
  const Result<BatchHeader> header = DecodeBatchHeader(batch, system, context, offset);
  std::uint32_t binding_count = 0;
  std::size_t body_end = batch.size();
  std::uint32_t run_count = UINT32_MAX;
  if (header.ok()) {
    binding_count = header->binding_count;
    run_count = header->run_count;
    body_end = std::min<std::size_t>(body_end, header->body_bytes);
  }
  if (!closing && header.ok()) {
    ReadBodyBindings(*header, batch, {context, offset}, contents);
  }
  if (closing) {
    contents.bindings = closing->bindings;
    binding_count = closing->header.binding_count;
    run_count = closing->header.run_count;
    body_end = std::min<std::size_t>(body_end, closing->header.closing_offset);
  } else if (!header.ok()) {
    // Neither end can be read, so where the runs begin is not known.
    contents.unattributed = true;
    return contents;
  }
  std::size_t at = kBatchHeaderBytes + std::uint64_t{binding_count} * kBindingBytes;
  for (std::uint32_t i = 0; i < run_count; ++i) {
    const Bytes rest = at < body_end ? batch.subspan(at, body_end - at) : Bytes{};
    const Result<RunHeader> own = DecodeRunHeader(rest, SeedAt(context.seed, offset + at));
    if (!own.ok() && !closing) {
      contents.unattributed = true;
      return contents;
    }
    const RunHeader run = closing ? closing->runs[i] : *own;
    const bool whole = rest.size() >= kRunHeaderBytes + std::uint64_t{run.bytes};
    RecordOwner scratch;
    const RecordOwner* owner = FindOwner(slots, contents.bindings, run.slot, scratch);
    const std::size_t there = rest.size() < kRunHeaderBytes
                                  ? 0
                                  : std::min<std::size_t>(rest.size() - kRunHeaderBytes, run.bytes);
    const Bytes records = there == 0 ? Bytes{} : rest.subspan(kRunHeaderBytes, there);
    JudgeRun({run, offset + at, records}, context, owner, contents);
    at += kRunHeaderBytes + run.bytes;
    if (!whole && !closing) {
      contents.unattributed = i + 1 < run_count;
      return contents;
    }
  }
  return contents;
}

}  // namespace duramen::wal
