#include "log/segment_flush.h"

#include <algorithm>

#include "base/check.h"
#include "base/checksum.h"
#include "base/try.h"
#include "segments/reader.h"

namespace duramen::log {

SegmentFlush::SegmentFlush(const Environment& environment, Rng rng)
    : environment_(environment),
      rng_(rng),
      counted_(environment.budget, environment.memory_bytes) {}

void SegmentFlush::Run(FlushJob& job) {
  job_bytes_ = job.survivors.runs.capacity() * sizeof(wal::LandedRun);
  job.status = Write(job);
  job_bytes_ = frame_bytes_ = entry_bytes_ = 0;
  // From one log to the next, what is usual is kept.
  for (std::vector<std::byte>* buffer : {&run_bytes_, &scratch_}) {
    if (buffer->capacity() > environment_.limits.buffer_bytes)
      std::vector<std::byte>().swap(*buffer);
  }
  packer_.Shrink();
  Count();
}

/// An entry is copied to be written, and compressed into another copy.
void SegmentFlush::Count(std::uint64_t ahead_bytes) {
  const std::uint64_t packs =
      environment_.limits.compression == Compression::kNone ? 0 : entry_bytes_;
  counted_.Set(run_bytes_.capacity() + ahead_bytes + frame_bytes_ +
               std::max<std::uint64_t>(scratch_.capacity(), entry_bytes_) +
               packer_.held_bytes(packs) + job_bytes_);
}

/// What is written anew follows nothing: files that stood there before are left over from then on.
segments::WriterSetup SegmentFlush::SetupFor(const FlushJob& job) {
  ServerSegments& server = *job.server;
  if (job.rewrite) {
    const std::uint64_t last = environment_.rows.With([&](const meta::Table& table) {
      const meta::ServerRows* rows = table.Find(job.log->owner.uid);
      return rows == nullptr ? 0 : rows->flushed.segment;
    });
    server.next_number =
        std::max({server.next_number, server.flushed.segment + 1, last + 1});  // Never twice.
  }
  return {.directory = *job.directory,
          .identity = server.identity,
          .limits = environment_.limits,
          .list = job.rewrite ? segments::SegmentList() : server.list,
          .flushed = job.rewrite ? segments::Flushed{} : server.flushed,
          .next_number = server.next_number,
          .may_append = job.may_append,
          .floor = std::max(job.log->bounds.begin, job.survivors.floor),
          .rng = rng_,
          .scratch = &scratch_,
          .packer = &packer_};
}

Status SegmentFlush::Write(FlushJob& job) {
  const auto& [owner, bounds, open] = *job.log;
  ServerSegments& server = *job.server;
  server.identity = {environment_.system, owner.uid, owner.cluster_id};
  job.directory = TRY(OpenDirectory(job));
  segments::SegmentWriter writer(SetupFor(job));
  SegmentFeed feed({.writer = writer,
                    .cluster_id = owner.cluster_id,
                    .epoch = bounds.epoch,
                    .segments_end = job.rewrite ? bounds.begin : job.survivors.segments_end,
                    .term_before = bounds.term_before_begin,
                    .fill = job.fill});
  const Status status = Feed(job, feed);
  job.missing = feed.missing();
  Result<segments::WrittenRound> finished =
      status.ok() ? writer.Finish() : Result<segments::WrittenRound>(status.error());
  server.next_number = writer.next_number();
  if (!finished.ok()) {
    server.may_append = false;  // What stands behind the last good byte is not known.
    writer.Abandon();
    return std::move(finished).error();
  }
  job.result = std::move(*finished);
  job.result.flushed.end = std::max<Index>(feed.segments_end(), 1);
  job.entries = feed.entries();
  if (job.begin_write_back) {
    for (const segments::WrittenFile& file : job.result.files) file.file->BeginWriteBack();
  }
  return {};
}

/// What cannot be read is left out, or filled; its log is faulty there before the only trace of it
/// goes [A3].
Status SegmentFlush::Feed(const FlushJob& job, SegmentFeed& feed) {
  const wal::ClosedLog& log = *job.log;
  if (job.rewrite) {
    TRY(FeedSegments(*job.server, {log.bounds.begin, job.survivors.segments_end}, feed));
  }
  for (const wal::LandedRun& run : job.survivors.runs) {
    if (!job.rewrite) feed.StartAt(run.live_begin);  // Gaps between runs are known from before.
    TRY(FeedRun({run, job.survivors.slot, log.owner}, feed));
  }
  if (job.rewrite) TRY(feed.Reach(log.bounds.end));
  return feed.Flush();
}

/// Checksums are made anew here: a read has just held the payload against the old one.
Status SegmentFlush::FeedSegments(const ServerSegments& server, IndexRange range,
                                  SegmentFeed& feed) {
  Index next = range.begin;
  while (next < range.end) {
    const segments::SegmentSummary* segment = server.list.Find(next);
    if (segment == nullptr) {
      Index behind = range.end;
      for (const segments::SegmentSummary& one : server.list.segments()) {
        if (one.live.begin > next && !one.live.empty()) behind = std::min(behind, one.live.begin);
      }
      next = behind;
      continue;
    }
    const IndexRange wanted{next, std::min(range.end, segment->live.end)};
    const segments::ReadPlan plan =
        segments::PlanRange(server.list, server.identity, wanted, segments::kReadBytesMax);
    segments::ReadEntries read;
    const Status status = segments::ExecutePlan(plan, environment_.files, read);
    for (const EntryView& entry : read.entries) {
      const EntryIdentity identity{server.identity.cluster_id, entry.term, entry.index, entry.kind};
      TRY(feed.Put({.index = entry.index,
                    .term = entry.term,
                    .kind = entry.kind,
                    .entry_checksum = EntryChecksum(identity, entry.payload),
                    .payload = entry.payload}));
      next = entry.index + 1;
    }
    TRY(feed.Flush());
    if (!read.entries.empty()) continue;
    const bool damaged = status.ok() || status.error().code == ErrorCode::kCorruption ||
                         status.error().code == ErrorCode::kNotFound;
    if (!damaged) return status;
    ++next;
  }
  return {};
}

Status SegmentFlush::FeedRun(const wal::OwnedRun& owned, SegmentFeed& feed) {
  const wal::LandedRun& run = owned.run;
  const std::optional<wal::OpenWalFile> file = environment_.landed.FindFile(run.file);
  CHECK(file.has_value());  // Not retired before this round is over.
  if (const std::uint64_t bytes = wal::RunReader::BufferBytes(run); run_bytes_.size() < bytes) {
    Count(bytes);
    run_bytes_ = std::vector<std::byte>(bytes);
  }
  wal::RunReader reader = TRY(wal::RunReader::Open(*file, owned, run_bytes_));
  if (reader.silent()) TRY(CheckAnswers(*file));
  reader.SkipTo(run.live_begin);
  while (!reader.AtEnd() && reader.next_index() < run.live_end) {
    if (const std::uint64_t bytes = reader.BytesAhead(); bytes > 0) {
      TRY(feed.Flush());  // What is fed borrows from the frame before.
      (void)reader.TakeFrames();
      frame_bytes_ = bytes;
      Count();
    }
    const Result<wal::RecordView> record = reader.Next();
    if (!record.ok() || record->index < run.live_begin) continue;
    if (record->payload.size() > entry_bytes_) {
      entry_bytes_ = record->payload.size();
      Count();
    }
    TRY(feed.Put({.index = record->index,
                  .term = run.term,
                  .kind = record->kind,
                  .entry_checksum = record->entry_checksum,
                  .payload = record->payload}));
  }
  TRY(feed.Reach(run.live_end));
  TRY(feed.Flush());
  frame_bytes_ = entry_bytes_ = 0;
  Count();
  return {};
}

/// A device that is away gives nothing of a file, and all of it when it is back: its entries are
/// not lost, and wait. Only until the WAL has closed another file there: then the device is back,
/// and what is waited for has all logs wait [B1].
Status SegmentFlush::CheckAnswers(const wal::OpenWalFile& file) {
  constexpr std::uint64_t kProbes = 64;
  if (!environment_.patience.Waits(file.place)) return {};
  // A few may be answered from memory.
  std::uint64_t answered = 0;
  Error error;
  for (std::uint64_t probe = 0; probe < kProbes; ++probe) {
    std::byte byte{};
    const Result<std::size_t> read =
        file.file->Read(file.size_bytes / kProbes * probe, std::span(&byte, 1));
    if (!read.ok()) error = read.error();
    answered += read.ok() ? 1 : 0;
  }
  if (answered >= kProbes / 2) return {};
  return error;
}

/// A name that a row speaks of was durable before that row. Any other may be one whose sync has
/// failed, in this life or an earlier one, so it is made again before anything stands below it.
Result<std::unique_ptr<Directory>> SegmentFlush::OpenDirectory(FlushJob& job) {
  const ServerUid& uid = job.log->owner.uid;
  if (job.name_trusted) {
    Result<std::unique_ptr<Directory>> opened =
        environment_.servers_dir.OpenDirectory(uid.ToString());
    if (opened.ok() || opened.error().code != ErrorCode::kNotFound) return opened;
  }
  job.names_changed = true;
  TRY(MakeName(environment_.servers_dir, uid));
  job.named = true;
  return environment_.servers_dir.OpenDirectory(uid.ToString());
}

/// A change that no sync has been asked for yet. A sync that failed has let go of those before it,
/// and says success the next time.
Status SegmentFlush::MakeName(Directory& servers_dir, const ServerUid& uid) {
  const std::string name = uid.ToString();
  const Status away = servers_dir.Rename(name, name + kAsideSuffix);
  if (!away.ok() && away.error().code != ErrorCode::kNotFound) return away;
  // Also what an attempt that failed has left there.
  const Status back = servers_dir.Rename(name + kAsideSuffix, name);
  if (back.ok() || back.error().code != ErrorCode::kNotFound) return back;
  return servers_dir.CreateDirectory(name);
}

}  // namespace duramen::log
