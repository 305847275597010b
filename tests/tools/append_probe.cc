// A million entries through a store of its own, with what they cost counted from outside the code:
// this program's malloc and pthread_mutex_lock count their calls, on all threads.
// Usage: append_probe DIR; prints "entries N allocations A locks L".
#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "duramen/log_store.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<std::uint64_t> allocations{0};
std::atomic<std::uint64_t> locks{0};

void Count(std::atomic<std::uint64_t>& calls) {
  if (counting.load(std::memory_order_relaxed)) calls.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" {

void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) {
  Count(allocations);
  return __libc_malloc(bytes);
}

void* calloc(std::size_t count, std::size_t bytes) {
  Count(allocations);
  return __libc_calloc(count, bytes);
}

void* realloc(void* old, std::size_t bytes) {
  Count(allocations);
  return __libc_realloc(old, bytes);
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  Count(allocations);
  return __libc_memalign(alignment, bytes);
}

int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) {
  Count(allocations);
  *out = __libc_memalign(alignment, bytes);
  return *out == nullptr ? ENOMEM : 0;
}

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  using Lock = int (*)(pthread_mutex_t*);
  static std::atomic<Lock> next{nullptr};
  Lock lock = next.load();
  if (lock == nullptr) {
    lock = reinterpret_cast<Lock>(::dlsym(RTLD_NEXT, "pthread_mutex_lock"));
    next.store(lock);
  }
  Count(locks);
  return lock(mutex);
}

}  // extern "C"

namespace {

using namespace duramen;

constexpr std::uint64_t kLogs = 100;
constexpr std::uint64_t kGroup = 10;     // entries of one log per Append
constexpr std::uint64_t kInFlight = 50;  // of one log
constexpr std::uint64_t kWarmUp = 300'000;
constexpr std::uint64_t kMeasured = 1'000'000;
constexpr std::uint64_t kFloorStep = 200;

struct Log {
  LogRef ref;
  Index end = 1;
  Index written_end = 1;
  Index floor = 1;
};

[[noreturn]] void Die(const Error& error) {
  std::fprintf(stderr, "append_probe: %s\n", error.message.c_str());
  std::exit(1);
}

class Probe {
 public:
  explicit Probe(const std::string& dir) {
    LogStoreOptions options;
    options.data_dir = dir;
    options.wal_max_size_bytes = 96'000'000;  // More than all of it takes: rolls are not per entry.
    Result<LogStore> store = LogStore::Open(options);
    if (!store.ok()) Die(store.error());
    store_.emplace(std::move(store).value());
    Result<Writer> writer = store_->NewWriter();
    if (!writer.ok()) Die(writer.error());
    writer_.emplace(std::move(writer).value());
    for (std::uint64_t i = 0; i < kLogs; ++i) {
      Result<LogRef> log =
          store_->OpenLog(*writer_, "log-" + std::to_string(i), OpenMode::kOpenOrCreate);
      if (!log.ok()) Die(log.error());
      if (place_.size() <= log->slot) place_.resize(log->slot + 1);
      place_[log->slot] = logs_.size();
      logs_.push_back({*log});
    }
  }

  /// Appends so many and waits for all of them.
  void Run(std::uint64_t entries) {
    std::uint64_t posted = 0;
    while (posted < entries || durable_ < newest_) {
      if (posted < entries) posted += Refill();
      const Ticket next = std::min(writer_->durable() + 1, newest_);
      const Status waited =
          writer_->Wait(next, std::chrono::steady_clock::now() + std::chrono::seconds(30));
      if (!waited.ok()) Die(waited.error());
      durable_ = writer_->durable();
      for (const Written& written : writer_->Poll()) {
        Log& log = logs_[place_[written.log.slot]];
        log.written_end = std::max(log.written_end, written.end);
      }
    }
  }

 private:
  std::uint64_t Refill() {
    std::uint64_t posted = 0;
    for (Log& log : logs_) {
      if (log.end + kGroup > log.written_end + kInFlight) continue;
      for (std::uint64_t i = 0; i < kGroup; ++i) group_[i] = {log.end + i, 1, 200, payload_};
      const LogAppend append{log.ref, group_};
      const Result<Ticket> ticket = writer_->Append({&append, 1});
      if (!ticket.ok() && ticket.error().code == ErrorCode::kOverloaded) break;
      if (!ticket.ok()) Die(ticket.error());
      newest_ = *ticket;
      log.end += kGroup;
      posted += kGroup;
      if (log.written_end < log.floor + kFloorStep) continue;
      const Result<Ticket> floor = writer_->TruncatePrefix(log.ref, log.written_end);
      if (!floor.ok() && floor.error().code != ErrorCode::kOverloaded) Die(floor.error());
      if (!floor.ok()) continue;
      newest_ = *floor;
      log.floor = log.written_end;
    }
    return posted;
  }

  std::optional<LogStore> store_;
  std::optional<Writer> writer_;
  std::vector<Log> logs_;
  std::vector<std::size_t> place_;
  std::vector<EntryView> group_{kGroup};
  std::byte payload_[1] = {};
  Ticket newest_ = 0;
  Ticket durable_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  Probe probe(argv[1]);
  probe.Run(kWarmUp);
  counting = true;
  probe.Run(kMeasured);
  counting = false;
  std::printf("entries %llu allocations %llu locks %llu\n",
              static_cast<unsigned long long>(kMeasured),
              static_cast<unsigned long long>(allocations.load()),
              static_cast<unsigned long long>(locks.load()));
  return 0;
}
