#include "wal/telling.h"

#include <algorithm>

#include "wal/format.h"

namespace duramen::wal {
namespace {

constexpr std::int64_t kQuietNs = 10'000'000'000;  // between two stalls that are told
constexpr std::size_t kBatchesTold = 16;

std::uint64_t Between(std::int64_t begin_ns, std::int64_t end_ns) {
  return end_ns > begin_ns ? static_cast<std::uint64_t>(end_ns - begin_ns) : 0;
}

}  // namespace

void BatchTrace::Reset() {
  record_ = {};
  calls_.clear();
}

void Telling::Enter(BatchTrace& trace, BatchStage stage, std::int64_t now_ns) {
  trace.record_.stage = stage;
  trace.record_.stage_at_ns = now_ns;
  stats_.recorder.Put(trace.record_);
}

void Telling::OnPlanned(BatchTrace& trace, std::uint64_t waiting) {
  const std::int64_t now = clock_.NowNs();
  BatchRecord& record = trace.record_;
  record.ordinal = ++ordinal_;
  record.begun_ns = now;
  record.waiting = waiting;
  stats_.queue_records.Set(waiting);
  for (const BatchTrace::Call& call : trace.calls_) {
    const std::uint64_t waited = Between(call.at_ns, now);
    stats_.queue_wait_ns.Add(waited, call.records);
    record.oldest_wait_ns = std::max(record.oldest_wait_ns, waited);
  }
  Enter(trace, BatchStage::kEncoding, now);
}

std::int64_t Telling::OnEncoded(BatchTrace& trace, const Encoded& encoded) {
  const std::int64_t now = clock_.NowNs();
  BatchRecord& record = trace.record_;
  record.batch = encoded.batch;
  record.file = encoded.file;
  record.bytes = encoded.bytes;
  record.encode_ns = Between(record.stage_at_ns, now);
  stats_.encode_ns.Add(record.encode_ns);
  Enter(trace, BatchStage::kWriting, now);
  return now;
}

void Telling::OnDone(BatchTrace& trace, const WriteDone& done, bool synced) {
  BatchRecord& record = trace.record_;
  record.write_ns = Between(done.begun_ns, done.written_ns);
  stats_.write_ns.Add(record.write_ns);
  if (synced) {
    record.sync_ns = Between(done.written_ns, done.synced_ns);
    stats_.sync_ns.Add(record.sync_ns);
    stats_.syncs.Add(1);
  }
  Enter(trace, BatchStage::kNotifying, done.synced_ns);
  CheckStall({"write", record.file, record.batch, done.begun_ns, done.written_ns});
  CheckStall({"sync", record.file, record.batch, done.written_ns, done.synced_ns});
}

void Telling::OnNotified(BatchTrace& trace) {
  const std::int64_t now = clock_.NowNs();
  BatchRecord& record = trace.record_;
  record.notify_ns = Between(record.stage_at_ns, now);
  stats_.notify_ns.Add(record.notify_ns);
  stats_.batches.Add(1);
  stats_.batch_records.Add(record.records);
  stats_.batch_bytes.Add(record.bytes);
  stats_.last_batch_at.SetTime(now);
  for (const BatchTrace::Call& call : trace.calls_) {
    stats_.commit_ns.Add(Between(call.at_ns, now), call.records);
  }
  Enter(trace, BatchStage::kDone, now);
}

void Telling::OnFailed(BatchTrace& trace) {
  const bool under_way = trace.record_.ordinal != 0 && trace.record_.stage != BatchStage::kDone;
  if (under_way) Enter(trace, BatchStage::kFailed, clock_.NowNs());
}

void Telling::OnGivenUp(const BatchTrace& trace) {
  const BatchRecord& record = trace.record();
  CheckStall({"given up", record.file, record.batch, record.stage_at_ns, clock_.NowNs()});
}

/// A device that is slow for long is told of now and then, so that its log says so and nothing
/// else is lost in it.
void Telling::CheckStall(const Waited& waited) {
  const std::uint64_t ns = Between(waited.begin_ns, waited.end_ns);
  if (stall_ns_ == 0 || ns < static_cast<std::uint64_t>(stall_ns_)) return;
  stats_.stalls.Add(1);
  stats_.stall_ns.Add(ns);
  if (waited.end_ns < quiet_until_ns_) {
    ++untold_;
    return;
  }
  std::string batches;
  for (const BatchRecord& record : stats_.recorder.Last(kBatchesTold)) {
    batches += (batches.empty() ? "" : "; ") + record.ToText();
  }
  log_.Write(LogLevel::kWarning, "wal.stall",
             "the device kept the WAL waiting for longer than wal_stall_threshold",
             {{"where", std::string(waited.where)},
              {"ms", std::to_string(ns / 1'000'000)},
              {"file", FileName(waited.file)},
              {"batch", std::to_string(waited.batch)},
              {"not_told_since", std::to_string(untold_)},
              {"batches", batches}});
  quiet_until_ns_ = waited.end_ns + kQuietNs;
  untold_ = 0;
}

}  // namespace duramen::wal
