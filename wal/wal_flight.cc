// Batches under way: from the encoded plan to the write queue and back; see wal/wal.h.
#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/kill_step.h"
#include "base/planted.h"
#include "base/try.h"
#include "wal/wal.h"

namespace duramen::wal {
namespace {

constexpr std::uint32_t kBufferedDepth = 2;  // one is written and synced, one waits for it

}  // namespace

Wal::~Wal() = default;

void Wal::MakeQueue() {
  const bool direct = options_.sync_method == SyncMethod::kDsync;
  const std::uint32_t depth_max = direct ? options_.pipeline_depth : kBufferedDepth;
  climber_ = DepthClimber(depth_max);
  depth_ = direct && options_.depth_adapts ? climber_.depth() : depth_max;
  counters_.depth.Set(depth_);
  counters_.method.Set(static_cast<std::uint64_t>(options_.sync_method));
  environment_.pool.set_direct(direct);
  if (HasAway()) environment_.pool.away()->set_direct(direct);
  queue_ = environment_.file_system.MakeWriteQueue({.depth = depth_max,
                                                    .direct = direct,
                                                    .executor = environment_.executor,
                                                    .owner = *this,
                                                    .clock = environment_.clock,
                                                    .locks = environment_.locks});
}

MadeDurable Wal::How() const {
  if (options_.sync_method == SyncMethod::kDsync) return MadeDurable::kDirect;
  if (Planted(PlantedBug::kNoSyncBeforeAck)) return MadeDurable::kNot;
  switch (options_.sync_method) {
    case SyncMethod::kNone:
      return MadeDurable::kNot;
    case SyncMethod::kFsync:
      return MadeDurable::kAll;
    default:
      return MadeDurable::kData;
  }
}

/// The handle that batches of the file are written through.
Result<std::shared_ptr<File>> Wal::WriterOf(const LiveFile& file) const {
  if (How() != MadeDurable::kDirect) return file.file;
  return std::shared_ptr<File>(
      TRY(DirectoryOf(file.place).Open(FileName(file.number), OpenFor::kDirect)));
}

std::optional<WalEnd> Wal::End() const {
  const bool ended_well = state() == WalState::kUp && !failure_ && !must_roll_ && !InFlight() &&
                          stalled_.empty() && doomed_.empty() && poisoned_.empty();
  const bool sealed = sealed_ && written_.batch == durable_.batch;
  if (!ended_well || !sealed || current_.rows_only) return std::nullopt;
  if (options_.sync_method == SyncMethod::kNone) return std::nullopt;
  WalEnd end{.file = current_.live.number,
             .life = current_.live.life,
             .end_offset = current_.offset};
  if (current_.offset > kFirstBatchOffset) {
    end.batch = durable_.batch;
    end.checksum = durable_.checksum;
  }
  for (const LiveFile& file : files_) end.live.push_back(file.number);
  return end;
}

/// Between two files. The first file under `none` is synced once, header and first batch: else a
/// power loss might leave a checkpoint with nothing behind it, and nothing that says why. What
/// `none` wrote is synced when it ends, because from there on `durable_upto` says that all before
/// it is durable.
Status Wal::ChangeMethod() {
  if (!wanted_method_) return {};
  CHECK(flight_.empty());
  if (options_.sync_method == SyncMethod::kNone) {
    for (const LiveFile& file : files_) TRY(file.file->SyncData());
  }
  sync_opening_ = *wanted_method_ == SyncMethod::kNone;
  options_.sync_method = *wanted_method_;
  wanted_method_.reset();
  queue_.reset();
  MakeQueue();
  return {};
}

std::unique_ptr<Wal::Plan> Wal::NextPlan() {
  std::unique_ptr<Plan> plan;
  if (idle_plans_.empty()) {
    plan = std::make_unique<Plan>(environment_.budget, counters_.memory_bytes);
    plan->records.reserve(options_.max_batch_records);
  } else {
    plan = std::move(idle_plans_.back());
    idle_plans_.pop_back();
  }
  return plan;
}

/// The buffer holds `bytes`, and keeps what stands at its front.
void Wal::MakeRoom(Plan& plan, std::size_t bytes) {
  if (plan.buffer_bytes >= bytes) return;
  const std::size_t size = RoundUp(std::max(bytes, 2 * plan.buffer_bytes), kBlockBytes);
  plan.counted.Set(plan.buffer_bytes + size);
  AlignedBytes buffer = MakeAligned(size);
  if (plan.opens_file) std::memcpy(buffer.get(), plan.buffer.get(), kFirstBatchOffset);
  plan.buffer = std::move(buffer);
  plan.buffer_bytes = size;
  plan.counted.Set(size);
}

/// For a later batch, with its buffer: unless what is kept so would be too much. Entries wait for
/// memory, and nothing frees these but a batch, which may be waiting for entries [B1].
void Wal::Shelve(std::unique_ptr<Plan> plan) {
  std::uint64_t kept_bytes = plan->buffer_bytes;
  for (const std::unique_ptr<Plan>& idle : idle_plans_) kept_bytes += idle->buffer_bytes;
  if (kept_bytes > options_.idle_bytes_max) {
    plan->buffer.reset();
    plan->buffer_bytes = 0;
    plan->counted.Set(0);
  }
  idle_plans_.push_back(std::move(plan));
}

/// What may be unproven after a crash is copied into one new file, so it is bounded in bytes too.
bool Wal::MayPlan() const {
  return !InFlight() || (writes_in_flight_ < depth_ &&
                         bytes_in_flight_ <= MaxBatchBytes(current_.live.size_bytes));
}

void Wal::Send(std::unique_ptr<Plan> plan) {
  Pass(KillStep::kBatchEncoded);
  plan->submitted = true;
  newest_plan_ = plan->id;
  ++writes_in_flight_;
  bytes_in_flight_ += plan->bytes.size();
  counters_.bytes.Add(plan->bytes.size() - (plan->opens_file ? kFirstBatchOffset : 0));
  const WriteRequest request{.id = plan->id,
                             .file = plan->file.get(),
                             .offset = plan->write_offset,
                             .bytes = plan->bytes,
                             .how = sync_opening_ ? MadeDurable::kData : How()};
  sync_opening_ = false;
  bool alone = !HasAway() && flight_.empty() && plan->bytes.size() <= options_.alone_bytes_max;
  flight_.push_back(std::move(plan));
  telling_.OnInFlight(InFlightSince());
  if (alone) {
    SnapshotRings();
    alone = RingsEmpty();
  }
  if (!alone) return queue_->Submit(request);
  const std::int64_t begin_ns = environment_.clock.NowNs();
  Settle(queue_->Run(request));
  counters_.wait_ns.Add(static_cast<std::uint64_t>(environment_.clock.NowNs() - begin_ns));
  Land();
}

/// The WAL had nothing to do but to wait for a write, up to now.
void Wal::CountWait(std::int64_t now_ns) {
  if (waiting_since_ns_ == 0) return;
  counters_.wait_ns.Add(static_cast<std::uint64_t>(now_ns - waiting_since_ns_));
  waiting_since_ns_ = 0;
}

void Wal::TakeDone() {
  if (!InFlight()) return;
  done_.clear();
  queue_->Take(done_);
  for (const WriteDone& done : done_) Settle(done);
  if (!done_.empty()) Land();
}

void Wal::Settle(const WriteDone& done) {
  const auto found =
      std::find_if(flight_.begin(), flight_.end(),
                   [&](const std::unique_ptr<Plan>& plan) { return plan->id == done.id; });
  CHECK(found != flight_.end());
  Plan& plan = **found;
  plan.done = true;
  plan.failed = !done.status.ok();
  last_done_ns_ = done.synced_ns;
  --writes_in_flight_;
  bytes_in_flight_ -= plan.bytes.size();
  if (!plan.failed) telling_.OnDone(plan.trace, done, How() != MadeDurable::kNot);
  telling_.OnInFlight(InFlightSince());
  if (plan.failed && !failure_) failure_ = done.status.error();
  if (!plan.failed) Measure(done, plan.bytes.size());
}

void Wal::Measure(const WriteDone& done, std::uint64_t bytes) {
  usual_durable_ns_ += (done.synced_ns - done.begun_ns - usual_durable_ns_) / 8;
  if (How() != MadeDurable::kDirect || !options_.depth_adapts) return;
  // It was one of as many as the depth lets go, and more is waiting.
  const bool held_back = writes_in_flight_ + 1 >= depth_ && !RingsEmpty();
  climber_.OnBatch(bytes, done.synced_ns, held_back);
  depth_ = climber_.depth();
  counters_.depth.Set(depth_);
}

/// Publishes the contiguous prefix of what is complete.
void Wal::Land() {
  bool landed = false;
  for (std::size_t i = 0; i < flight_.size(); ++i) {
    Plan& plan = *flight_[i];
    const bool later_done =
        Planted(PlantedBug::kHoleAcknowledged) && i + 1 < flight_.size() && flight_[i + 1]->done;
    if (plan.failed || !(plan.done || later_done)) break;
    if (plan.published) continue;
    Publish(plan);
    landed = landed || plan.submitted;
  }
  while (!flight_.empty() && flight_.front()->published && flight_.front()->done) {
    Shelve(std::move(flight_.front()));
    flight_.erase(flight_.begin());
  }
  if (landed) OnLanded();
}

void Wal::OnLanded() {
  failures_ = 0;
  last_write_ns_ = environment_.clock.NowNs();
  status_.blocked.store(false, std::memory_order_release);
  const bool full = EntriesFull();
  SetState(full ? WalState::kDiskFull : WalState::kUp, full ? FullReason() : std::string());
  RecycleRetired();
  UpdateAdmission();
  if (took_file_) environment_.executor.Wake(pool());
  took_file_ = false;
}

/// False as long as something is in flight behind a failure. A file with an operation under way is
/// left alone until that has returned [A14].
bool Wal::FailedBack() {
  if (!failure_) return true;
  if (InFlight()) return false;
  const Error error = *failure_;
  failure_.reset();
  Fail(error);
  return true;
}

std::int64_t Wal::InFlightSince() const {
  for (const std::unique_ptr<Plan>& plan : flight_) {
    if (plan->submitted && !plan->done) return plan->trace.record().stage_at_ns;
  }
  return 0;
}

bool Wal::InFlightIn(std::uint64_t file) const {
  return std::any_of(flight_.begin(), flight_.end(), [&](const std::unique_ptr<Plan>& plan) {
    return plan->submitted && !plan->done && plan->file_number == file;
  });
}

}  // namespace duramen::wal
