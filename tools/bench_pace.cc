// The open loop of BenchLoad: entries come when they are due, however long the ones before them
// take, and what is late counts from when it was due.
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "base/try.h"
#include "tools/bench_load.h"
#include "tools/interrupt.h"
#include "tools/line_entry.h"

namespace duramen::tools {
namespace {

constexpr std::int64_t kTickNs = 100'000;        // between two looks at what is due
constexpr std::uint64_t kGroupEntriesMax = 256;  // however much is due: the ring has to hold it
constexpr std::uint64_t kGroupBytesMax = 1 << 20;

}  // namespace

/// Runs what Writers post on the thread of the bench, which waits for it between two ticks.
class BenchLoad::Bell final : public Executor {
 public:
  void Post(void (*run)(void*) noexcept, void* argument) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      posted_.emplace_back(run, argument);
    }
    rung_.notify_one();
  }
  /// Runs what was posted; without any waits for it, until `until_ns` at most.
  void RunUntil(std::int64_t until_ns) {
    const auto until = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(until_ns));
    {
      std::unique_lock lock(mutex_);
      rung_.wait_until(lock, until, [this] { return !posted_.empty(); });
      running_.swap(posted_);
    }
    for (const auto& [run, argument] : running_) run(argument);
    running_.clear();
  }

 private:
  std::mutex mutex_;  // guards posted_
  std::condition_variable rung_;
  std::vector<std::pair<void (*)(void*) noexcept, void*>> posted_;
  std::vector<std::pair<void (*)(void*) noexcept, void*>> running_;
};

void BenchLoad::HangBell() {
  bell_ = std::make_shared<Bell>();
  for (Lane& lane : lanes_) {
    lane.writer.OnWritten(
        *bell_,
        [](void* argument, Writer&) noexcept {
          auto* told = static_cast<Lane*>(argument);
          told->load->TakeNews(*told);
        },
        &lane);
  }
}

Status BenchLoad::RunPaced(std::int64_t ns, const std::function<void()>& tick) {
  if (bell_ == nullptr) HangBell();
  const std::int64_t begin_ns = clock_.NowNs();
  std::uint64_t posted = 0;
  for (std::int64_t now_ns = begin_ns; now_ns - begin_ns < ns && !Interrupted();) {
    // The first is due at once: entry n comes n / rate seconds after it.
    const auto due = 1 + static_cast<std::uint64_t>(static_cast<double>(now_ns - begin_ns) *
                                                    static_cast<double>(options_.rate) / 1e9);
    posted += TRY(AppendDue({begin_ns, posted, due}));
    bell_->RunUntil(now_ns + kTickNs);
    tick();
    now_ns = clock_.NowNs();
  }
  while (outstanding_ > 0 && !Interrupted()) {
    bell_->RunUntil(clock_.NowNs() + kTickNs);
    TRY(CheckUp());
  }
  return {};
}

/// A WAL that is down rings no bell.
Status BenchLoad::CheckUp() {
  for (Lane& lane : lanes_) {
    if (lane.writer.durable() >= lane.newest) continue;
    const Status waited = lane.writer.Wait(lane.newest, std::chrono::steady_clock::now());
    if (!waited.ok() && waited.error().code != ErrorCode::kTimeout) return waited;
  }
  return {};
}

/// As many as there is room for; logs take turns.
Result<std::uint64_t> BenchLoad::AppendDue(const Due& due) {
  std::uint64_t posted = due.posted;
  const std::uint64_t group_max = std::clamp<std::uint64_t>(
      kGroupBytesMax / std::max<std::uint64_t>(options_.entry_bytes, 1), 1, kGroupEntriesMax);
  while (posted < due.upto) {
    const std::uint64_t number = next_log_++ % options_.servers;
    Lane& lane = lanes_[number % lanes_.size()];
    Log& log = lane.logs[number / lanes_.size()];
    const std::uint64_t count =
        std::clamp<std::uint64_t>((due.upto - posted) / options_.servers, 1, group_max);
    entries_of_call_.clear();
    for (Index index = log.end; index < log.end + count; ++index) {
      entries_of_call_.push_back({index, 1, kLineKind, payload_});
    }
    const LogAppend group{log.ref, entries_of_call_};
    const Result<Ticket> ticket = lane.writer.Append({&group, 1});
    if (!ticket.ok() && ticket.error().code != ErrorCode::kOverloaded) return ticket.error();
    if (!ticket.ok()) break;
    // All of them count from when the first was due.
    const auto waited_ns = static_cast<std::int64_t>(static_cast<double>(posted) * 1e9 /
                                                     static_cast<double>(options_.rate));
    lane.newest = *ticket;
    log.end += count;
    log.posted.push_back({log.end, due.begin_ns + waited_ns});
    outstanding_ += count;
    posted += count;
    const Status floor = MoveFloor(lane, log);
    if (!floor.ok() && floor.error().code != ErrorCode::kOverloaded) return floor.error();
  }
  return posted - due.posted;
}

}  // namespace duramen::tools
