// Direct writes through io_uring: one ring, one thread that waits for completions. The ring keeps
// the descriptors of the locks registered, so that a lock is held until the kernel has torn the
// ring down, and so until no write can land any more, however the process died [A22].
#include "base/write_queue.h"

#if defined(DURAMEN_LIBURING)
#include <liburing.h>
#include <pthread.h>

#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include "base/check.h"
#include "base/posix_io.h"
#include "base/signals.h"
#endif

namespace duramen {

#if !defined(DURAMEN_LIBURING)

std::unique_ptr<WriteQueue> MakeUringQueue(const WriteQueueOptions&) { return nullptr; }

#else

namespace {

constexpr std::uint64_t kStop = UINT64_MAX;

class UringQueue final : public WriteQueue {
 public:
  explicit UringQueue(const WriteQueueOptions& options) : options_(options) {}

  ~UringQueue() override {
    if (!up_) return;
    Drain();
    Push({.id = kStop});
    reaper_.join();
    // Nothing is in flight: the locks are let go of now, and not when the kernel has torn the ring
    // down in its own time, or the next start would find them held.
    if (registered_) (void)::io_uring_unregister_files(&ring_);
    ::io_uring_queue_exit(&ring_);
  }

  /// False where the kernel does not let us.
  bool Start() {
    // One more for the stop.
    if (::io_uring_queue_init(options_.depth + 1, &ring_, 0) != 0) return false;
    std::vector<int> descriptors;
    for (const FileLock* lock : options_.locks) {
      if (lock != nullptr && lock->descriptor() >= 0) descriptors.push_back(lock->descriptor());
    }
    const bool registered =
        descriptors.empty() ||
        ::io_uring_register_files(&ring_, descriptors.data(),
                                  static_cast<unsigned>(descriptors.size())) == 0;
    if (!registered) {
      ::io_uring_queue_exit(&ring_);
      return false;
    }
    registered_ = !descriptors.empty();
    slots_.resize(options_.depth);
    for (std::uint32_t i = 0; i < options_.depth; ++i) free_.push_back(i);
    up_ = true;
    const SignalsBlocked blocked;
    reaper_ = std::thread([this] { Reap(); });
    return true;
  }

  void Submit(const WriteRequest& request) override {
    std::uint32_t slot = 0;
    {
      const std::lock_guard lock(mutex_);
      CHECK(!free_.empty());
      slot = free_.back();
      free_.pop_back();
      slots_[slot] = {request, options_.clock.NowNs()};
    }
    Push({.id = slot,
          .file = request.file,
          .offset = request.offset,
          .bytes = request.bytes,
          .how = request.how});
  }

  void Take(std::vector<WriteDone>& done) override {
    const std::lock_guard lock(mutex_);
    for (WriteDone& one : done_) done.push_back(std::move(one));
    done_.clear();
  }

  void Drain() override {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return free_.size() == slots_.size(); });
  }

  WriteDone Run(const WriteRequest& request) override { return RunWrite(request, options_.clock); }
  const char* name() const override { return "io_uring"; }

 private:
  struct Slot {
    WriteRequest request = {};
    std::int64_t begun_ns = 0;
  };

  void Push(const WriteRequest& request) {
    io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
    CHECK(sqe != nullptr);
    if (request.id == kStop) {
      ::io_uring_prep_nop(sqe);
    } else {
      ::io_uring_prep_write(sqe, request.file->descriptor(), request.bytes.data(),
                            static_cast<unsigned>(request.bytes.size()), request.offset);
      sqe->rw_flags = RWF_DSYNC;
    }
    sqe->user_data = request.id;
    int pushed = ::io_uring_submit(&ring_);
    while (pushed == -EINTR || pushed == -EAGAIN || pushed == -EBUSY) {
      pushed = ::io_uring_submit(&ring_);
    }
    CHECK(pushed == 1);
  }

  void Reap() {
    ::pthread_setname_np(::pthread_self(), "wal-ring");
    while (true) {
      io_uring_cqe* cqe = nullptr;
      const int waited = ::io_uring_wait_cqe(&ring_, &cqe);
      if (waited == -EINTR || waited == -EAGAIN) continue;
      CHECK(waited == 0);
      const std::uint64_t slot = cqe->user_data;
      const int result = cqe->res;
      ::io_uring_cqe_seen(&ring_, cqe);
      if (slot == kStop) return;
      Finish(static_cast<std::uint32_t>(slot), result);
    }
  }

  void Finish(std::uint32_t number, int result) {
    Slot slot;
    {
      const std::lock_guard lock(mutex_);
      slot = slots_[number];
    }
    WriteDone done{.id = slot.request.id, .begun_ns = slot.begun_ns};
    done.status = Settle(slot.request, result);
    done.written_ns = done.synced_ns = options_.clock.NowNs();
    const std::lock_guard lock(mutex_);
    done_.push_back(std::move(done));
    free_.push_back(number);
    if (free_.size() == slots_.size()) idle_.notify_all();
    // Under the lock: once nothing is in flight the owner may be gone.
    options_.executor.Wake(options_.owner);
  }

  /// A write that was cut short, or was not begun, is done the other way.
  static Status Settle(const WriteRequest& request, int result) {
    if (result == -EINTR || result == -EAGAIN) result = 0;
    if (result < 0) {
      return PosixError("write", "descriptor " + std::to_string(request.file->descriptor()),
                        -result);
    }
    const std::size_t put = static_cast<std::size_t>(result) / kDirectAlign * kDirectAlign;
    if (put >= request.bytes.size()) return {};
    return request.file->WriteDurable(request.offset + put, request.bytes.subspan(put));
  }

  const WriteQueueOptions options_;
  io_uring ring_ = {};
  bool up_ = false;
  bool registered_ = false;
  std::mutex mutex_;  // guards all below but reaper_
  std::condition_variable idle_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<WriteDone> done_;
  std::thread reaper_;
};

}  // namespace

std::unique_ptr<WriteQueue> MakeUringQueue(const WriteQueueOptions& options) {
  auto queue = std::make_unique<UringQueue>(options);
  if (!queue->Start()) return nullptr;
  return queue;
}

#endif

}  // namespace duramen
