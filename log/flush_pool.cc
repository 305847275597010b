#include "log/flush_pool.h"

#include <utility>

#include "base/check.h"

namespace duramen::log {

FlushPool::FlushPool(const Options& options, const SegmentFlush::Environment& environment, Rng& rng)
    : executor_(options.executor), owner_(options.owner), own_(environment, Rng(rng.Next())) {
  for (std::uint32_t i = 1; i < options.threads; ++i) {
    helpers_.push_back(std::make_unique<Helper>(*this, environment, Rng(rng.Next())));
  }
}

FlushPool::~FlushPool() { CHECK(!started_); }

void FlushPool::Start() {
  for (const auto& helper : helpers_) executor_.Start(*helper);
  started_ = true;
}

void FlushPool::Stop() {
  if (!started_) return;
  for (const auto& helper : helpers_) executor_.Stop(*helper);
  started_ = false;
}

void FlushPool::Submit(FlushJob job) {
  ++unfinished_;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(job));
  }
  for (const auto& helper : helpers_) executor_.Wake(*helper);
}

std::optional<FlushJob> FlushPool::Begin() {
  const std::lock_guard lock(mutex_);
  if (waiting_.empty()) return std::nullopt;
  std::optional<FlushJob> job = std::move(waiting_.front());
  waiting_.pop_front();
  ++running_;
  return job;
}

bool FlushPool::End(FlushJob job) {
  const std::lock_guard lock(mutex_);
  done_.push_back(std::move(job));
  return --running_ == 0 && waiting_.empty();
}

bool FlushPool::RunOne() {
  std::optional<FlushJob> job = Begin();
  if (!job) return false;
  own_.Run(*job);
  (void)End(std::move(*job));
  return true;
}

std::int64_t FlushPool::Helper::Step() {
  if (!job_) {
    job_ = pool_.Begin();
    return job_ ? kAgain : kIdle;
  }
  flush_.Run(*job_);
  const bool last = pool_.End(std::move(*job_));
  job_.reset();
  if (last) pool_.executor_.Wake(pool_.owner_);
  return kAgain;
}

void FlushPool::Take(std::vector<FlushJob>& done) {
  const std::lock_guard lock(mutex_);
  unfinished_ -= done_.size();
  for (FlushJob& job : done_) done.push_back(std::move(job));
  done_.clear();
}

}  // namespace duramen::log
