#include "segments/writer.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"

namespace duramen::segments {
namespace {

// Files that a crash left under the numbers that come next; each is stepped over.
constexpr int kLeftoversMax = 1024;

}  // namespace

SegmentWriter::SegmentWriter(const WriterSetup& setup)
    : directory_(setup.directory),
      identity_(setup.identity),
      limits_(setup.limits),
      rng_(setup.rng),
      list_(setup.list),
      flushed_(setup.flushed),
      next_number_(std::max<std::uint64_t>(setup.next_number, 1)),
      may_append_(setup.may_append),
      floor_(setup.floor),
      buffer_(setup.scratch != nullptr ? *setup.scratch : own_buffer_),
      packer_(setup.packer != nullptr ? *setup.packer : own_packer_) {
  buffer_.clear();
  if (list_.last() != nullptr) {
    next_number_ = std::max<std::uint64_t>(next_number_, list_.last()->number + 1);
  }
}

Status SegmentWriter::Fail(const Error& error) {
  failed_ = error;
  return error;
}

Status SegmentWriter::Append(Index cut, std::uint64_t epoch,
                             std::span<const RecordSource> records) {
  if (failed_) return *failed_;
  if (records.empty()) return {};
  CHECK(cut <= records.front().index);
  const Status status = Add({.kind = RunKind::kAppend, .cut = cut, .epoch = epoch}, records);
  return status.ok() ? status : Fail(status.error());
}

Status SegmentWriter::AppendSparse(std::uint64_t epoch, std::span<const RecordSource> records) {
  if (failed_) return *failed_;
  const Status status = Add({.kind = RunKind::kSparse, .epoch = epoch}, records);
  return status.ok() ? status : Fail(status.error());
}

Status SegmentWriter::Add(const RunHeader& intent, std::span<const RecordSource> records) {
  // An open run goes on where this one continues it without a cut.
  const bool continues =
      run_ && run_->header.kind == intent.kind && run_->header.epoch == intent.epoch &&
      !records.empty() &&
      (intent.kind == RunKind::kSparse
           ? records.front().index > run_->header.last
           : records.front().index == run_->header.end() && intent.cut == run_->header.end());
  if (run_ && !continues) EndRun();
  RunHeader next = intent;
  for (const RecordSource& record : records) {
    TRY(AddRecord(next, record));
    // Cut once, by the first run; the runs behind it follow without a gap.
    if (intent.kind == RunKind::kAppend) next.cut = record.index + 1;
  }
  return {};
}

bool SegmentWriter::Suits(const RunHeader& intent, const RecordSource& record) const {
  if (file_entries_ == 0) return true;
  // What is of use in a segment is one range without a hole, so that its summary says what it has.
  bool jumps = false;
  if (!run_ && intent.kind == RunKind::kAppend && intent.cut < record.index) {
    const IndexRange live = list_.last()->live;
    const bool stays = !live.empty() && live.begin < intent.cut;
    jumps = stays && std::min(live.end, intent.cut) > floor_;
  }
  std::uint64_t bytes = buffer_offset_ + buffer_.size() + RecordBytes(record.payload.size());
  bytes += 2 * kRunHeaderBytes + 16;  // a run of its own, with a table of one
  if (run_) bytes += TableBytes(run_->header.kind, run_->table.size());
  return !jumps && file_entries_ < limits_.entries_max && bytes <= limits_.bytes_max;
}

Status SegmentWriter::AddRecord(const RunHeader& intent, const RecordSource& source) {
  if (source.payload.size() > kPayloadBytesMax || source.index == 0 ||
      source.index >= UINT64_MAX - 1) {
    return Error{ErrorCode::kTooLarge,
                 "entry " + std::to_string(source.index) + " fits into no segment", ""};
  }
  const RecordHeader record{.entry_checksum = source.entry_checksum,
                            .term = source.term,
                            .index = source.index,
                            .payload_bytes = static_cast<std::uint32_t>(source.payload.size()),
                            .kind = source.kind};
  const std::uint64_t record_bytes = RecordBytes(record.payload_bytes);
  const Index cut = intent.kind == RunKind::kAppend ? intent.cut : list_.end();
  TRY(EndBlock(source));
  if (file_ && !Suits(intent, source)) TRY(CloseFile());
  if (!file_) TRY(BeginFile(cut));
  if (!Suits(intent, source)) {  // The last file was opened again.
    TRY(CloseFile());
    TRY(BeginFile(cut));
  }
  if (run_ && intent.kind == RunKind::kAppend && run_->header.term != source.term) EndRun();
  if (!run_) BeginRun(intent, source);
  CHECK(run_->table.empty() ||
        (intent.kind == RunKind::kSparse ? source.index > run_->header.last
                                         : source.index == run_->header.end()));
  const std::size_t at = buffer_.size();
  buffer_.resize(at + record_bytes);  // Zeros, the padding among them.
  std::byte* out = buffer_.data() + at;
  if (!source.payload.empty()) {
    std::memcpy(out + kRecordHeaderBytes, source.payload.data(), source.payload.size());
  }
  // Over the copy: what changed in memory, before or since, is not written [C10].
  if (!PayloadIntact(record, identity_.cluster_id,
                     {out + kRecordHeaderBytes, source.payload.size()})) {
    return Error{ErrorCode::kCorruption,
                 "entry " + std::to_string(source.index) + " changed in memory", ""};
  }
  const std::uint64_t offset = buffer_offset_ + at;
  EncodeRecordHeader(record, context_, offset, out);
  run_->table.push_back(
      {source.index, static_cast<std::uint32_t>(offset - run_->offset - kRunHeaderBytes)});
  run_->header.last = source.index;
  ++file_entries_;
  if (intent.kind == RunKind::kAppend) flushed_.last_term = source.term;
  const bool full = offset - run_->offset + record_bytes >= limits_.buffer_bytes ||
                    run_->table.size() >= kRunEntriesMax;
  if (!full) return {};
  EndRun();
  return WriteBuffer();
}

/// A compressed run is one block, so that what one entry takes to read is bounded.
Status SegmentWriter::EndBlock(const RecordSource& record) {
  if (!run_ || run_->table.empty() || limits_.compression == Compression::kNone) return {};
  const std::uint64_t raw_bytes = buffer_offset_ + buffer_.size() - RecordsOffset(run_->offset) +
                                  RecordBytes(record.payload.size());
  if (raw_bytes <= limits_.block_bytes) return {};
  EndRun();
  return buffer_.size() >= limits_.buffer_bytes ? WriteBuffer() : Status{};
}

void SegmentWriter::BeginRun(const RunHeader& intent, const RecordSource& first) {
  run_.emplace();
  run_->header = intent;
  run_->header.first = first.index;
  run_->header.term = intent.kind == RunKind::kAppend ? first.term : 0;
  run_->offset = buffer_offset_ + buffer_.size();
  buffer_.resize(buffer_.size() + kRunHeaderBytes);
}

void SegmentWriter::EndRun() {
  RunHeader& header = run_->header;
  const std::uint64_t start = run_->offset - buffer_offset_;
  header.count = static_cast<std::uint32_t>(run_->table.size());
  header.records_bytes = header.raw_bytes = buffer_.size() - start - kRunHeaderBytes;
  const bool tried = limits_.compression != Compression::kNone &&
                     header.raw_bytes >= limits_.pack_bytes_min &&
                     header.raw_bytes <= kPackedRunBytesMax;
  if (tried) Pack(start);
  const std::uint64_t table_bytes = TableBytes(header.kind, header.count);
  buffer_.resize(buffer_.size() + table_bytes + kRunHeaderBytes);
  std::byte* out = buffer_.data() + start;
  std::byte* table = out + TableOffset(header);
  EncodeTable(header.kind, run_->table, table);
  header.records_checksum = ContentChecksum({out + kRunHeaderBytes, header.records_bytes}, context_,
                                            run_->offset + kRunHeaderBytes);
  header.table_checksum =
      ContentChecksum({table, table_bytes}, context_, run_->offset + TableOffset(header));
  EncodeRunHeader(header, {RunEnd::kHeader, run_->offset}, context_, out);
  const std::uint64_t footer = FooterOffset(header);
  EncodeRunHeader(header, {RunEnd::kFooter, run_->offset + footer}, context_, out + footer);
  list_.Apply({.number = context_.number,
               .life = context_.life,
               .bytes_end = buffer_offset_ + buffer_.size(),
               .kind = header.kind,
               .cut = header.cut,
               .first = header.first,
               .last = header.last,
               .epoch = header.epoch,
               .count = header.count});
  flushed_.epoch = std::max(flushed_.epoch, header.epoch);
  run_.reset();
}

/// The records of the run that begins `start` into the buffer.
void SegmentWriter::Pack(std::uint64_t start) {
  RunHeader& header = run_->header;
  std::byte* records = buffer_.data() + start + kRunHeaderBytes;
  const Bytes packed = packer_.Pack({records, header.raw_bytes});
  packed_from_bytes_ += header.raw_bytes;
  if (!packed.empty()) {
    std::memcpy(records, packed.data(), packed.size());
    header.compression = limits_.compression;
    header.records_bytes = packed.size();
    buffer_.resize(start + kRunHeaderBytes + packed.size());
  }
  packed_to_bytes_ += header.records_bytes;
}

Status SegmentWriter::WriteBuffer() {
  if (buffer_.empty()) return {};
  TRY(file_->Write(buffer_offset_, buffer_));
  bytes_ += buffer_.size();
  buffer_offset_ += buffer_.size();
  buffer_.clear();
  if (buffer_.capacity() > 2 * limits_.buffer_bytes) buffer_.shrink_to_fit();
  return {};
}

Status SegmentWriter::CloseFile() {
  if (run_) EndRun();
  TRY(WriteBuffer());
  file_.reset();
  return {};
}

Status SegmentWriter::BeginFile(Index cut) {
  if (may_append_) {
    may_append_ = false;  // Once; whatever comes of it, later files are new.
    TRY(ReopenLast());
    if (file_) return {};
  }
  TRY(Create());
  FileHeader header{.number = context_.number, .life = context_.life};
  if (const auto previous = list_.LastBelow(cut)) {
    header.previous_number = previous->number;
    header.previous = previous->live;
    header.previous_epoch = previous->epoch;
  }
  if (const SegmentSummary* last = list_.last()) {
    header.last_number = last->number;
    header.last_bytes = last->bytes;
  }
  buffer_.resize(kFileHeaderBytes);
  EncodeFileHeader(header, identity_, std::span<std::byte, kFileHeaderBytes>(buffer_));
  return {};
}

/// No file: the last one is not to be appended to.
Status SegmentWriter::ReopenLast() {
  const SegmentSummary* last = list_.last();
  if (last == nullptr || last->entries >= limits_.entries_max || last->life == 0) return {};
  const std::string name = FileName(last->number);
  std::shared_ptr<File> file = TRY(directory_.Open(name, OpenFor::kReadWrite));
  // Other bytes behind those that count are an unfinished round's: its state is not known [A6].
  const std::uint64_t size_bytes = TRY(file->SizeBytes());
  const bool any_size = Planted(PlantedBug::kLeftoverAppendedTo);
  if (size_bytes != last->bytes && !any_size) return {};
  file_ = std::move(file);
  context_ = FileContext::Of(identity_, last->number, last->life);
  file_entries_ = last->entries;
  buffer_offset_ = any_size ? size_bytes : last->bytes;
  files_.push_back({file_, name, false});
  return {};
}

Status SegmentWriter::Create() {
  for (int attempt = 0; attempt < kLeftoversMax; ++attempt) {
    const std::uint64_t number = next_number_++;
    if (number > kNumberMax) {
      return Error{ErrorCode::kTooLarge, "no segment numbers are left",
                   "move the server to another member"};
    }
    const std::string name = FileName(number);
    Result<std::unique_ptr<File>> created = directory_.Create(name);
    if (!created.ok() && created.error().code == ErrorCode::kAlreadyExists) continue;
    file_ = TRY(std::move(created));
    std::uint64_t life = 0;
    while (life == 0) life = rng_.Next();
    context_ = FileContext::Of(identity_, number, life);
    file_entries_ = 0;
    buffer_offset_ = 0;
    files_.push_back({file_, name, true});
    return {};
  }
  return Error{ErrorCode::kAlreadyExists,
               directory_.path() + " is full of segments that no row knows",
               "run `duramen verify` on the directory"};
}

void SegmentWriter::Abandon() {
  file_.reset();
  for (const WrittenFile& one : files_) {
    if (one.created) (void)directory_.Remove(one.name);
  }
  files_.clear();
}

Result<WrittenRound> SegmentWriter::Finish() {
  if (failed_) return *failed_;
  if (file_) {
    const Status closed = CloseFile();
    if (!closed.ok()) {
      failed_ = closed.error();
      return *failed_;
    }
  }
  WrittenRound round{.files = std::move(files_), .list = list_.Build(), .flushed = flushed_};
  round.bytes = bytes_;
  round.packed_from_bytes = packed_from_bytes_;
  round.packed_to_bytes = packed_to_bytes_;
  if (const SegmentSummary* last = round.list.last()) {
    round.flushed.segment = last->number;
    round.flushed.bytes = last->bytes;
    round.flushed.segment_begin = last->live.empty() ? 0 : last->live.begin;
    round.flushed.end = round.list.Range().end;
  }
  failed_ = Error{ErrorCode::kClosed, "the round is finished", ""};
  return round;
}

}  // namespace duramen::segments
