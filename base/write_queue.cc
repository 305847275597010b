#include "base/write_queue.h"

#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/kill_step.h"
#include "base/ring_queue.h"
#include "base/signals.h"

namespace duramen {
namespace {

class ThreadQueue final : public WriteQueue {
 public:
  explicit ThreadQueue(const WriteQueueOptions& options) : options_(options) {
    const SignalsBlocked blocked;
    const std::uint32_t threads = options.direct ? options.depth : 1;
    for (std::uint32_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }

  ~ThreadQueue() override {
    Drain();
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Submit(const WriteRequest& request) override {
    {
      const std::lock_guard lock(mutex_);
      ++in_flight_;
      CHECK(in_flight_ <= options_.depth);
      waiting_.push_back(request);
    }
    work_.notify_one();
  }

  void Take(std::vector<WriteDone>& done) override {
    const std::lock_guard lock(mutex_);
    for (WriteDone& one : done_) done.push_back(std::move(one));
    done_.clear();
  }

  void Drain() override {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return in_flight_ == 0; });
  }

  WriteDone Run(const WriteRequest& request) override { return RunWrite(request, options_.clock); }
  const char* name() const override { return "threads"; }

 private:
  void Work() {
    ::pthread_setname_np(::pthread_self(), "wal-io");
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const WriteRequest request = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      WriteDone done = RunWrite(request, options_.clock);
      lock.lock();
      done_.push_back(std::move(done));
      if (--in_flight_ == 0) idle_.notify_all();
      // Under the lock: once nothing is in flight the owner may be gone.
      options_.executor.Wake(options_.owner);
    }
  }

  const WriteQueueOptions options_;
  std::mutex mutex_;  // guards all below but threads_
  std::condition_variable work_;
  std::condition_variable idle_;
  RingQueue<WriteRequest> waiting_;
  std::vector<WriteDone> done_;
  std::uint32_t in_flight_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

WriteDone RunWrite(const WriteRequest& request, const Clock& clock) {
  WriteDone done{.id = request.id, .begun_ns = clock.NowNs()};
  File& file = *request.file;
  if (request.how == MadeDurable::kDirect) {
    done.status = file.WriteDurable(request.offset, request.bytes);
    done.written_ns = done.synced_ns = clock.NowNs();
    return done;
  }
  done.status = file.Write(request.offset, request.bytes);
  done.written_ns = done.synced_ns = clock.NowNs();
  if (!done.status.ok() || request.how == MadeDurable::kNot) return done;
  Pass(KillStep::kBatchWritten);
  done.status = request.how == MadeDurable::kAll ? file.SyncAll() : file.SyncData();
  done.synced_ns = clock.NowNs();
  Pass(KillStep::kBatchSynced);
  return done;
}

void InlineWriteQueue::Submit(const WriteRequest& request) {
  done_.push_back(RunWrite(request, options_.clock));
  options_.executor.Wake(options_.owner);
}

void InlineWriteQueue::Take(std::vector<WriteDone>& done) {
  for (WriteDone& one : done_) done.push_back(std::move(one));
  done_.clear();
}

WriteDone InlineWriteQueue::Run(const WriteRequest& request) {
  return RunWrite(request, options_.clock);
}

std::unique_ptr<WriteQueue> MakeThreadQueue(const WriteQueueOptions& options) {
  return std::make_unique<ThreadQueue>(options);
}

std::unique_ptr<WriteQueue> FileSystem::MakeWriteQueue(const WriteQueueOptions& options) {
  return std::make_unique<InlineWriteQueue>(options);
}

}  // namespace duramen
