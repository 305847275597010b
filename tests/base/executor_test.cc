// Both executors: no wake-up is lost, times are honoured, and one seed gives one order of steps.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/loop_executor.h"
#include "base/spin.h"
#include "base/thread_executor.h"

namespace duramen {
namespace {

class FunctionActor final : public Actor {
 public:
  explicit FunctionActor(std::function<std::int64_t()> step,
                         const char* name = "test-actor-with-a-long-name")
      : step_(std::move(step)), name_(name) {}
  std::int64_t Step() override { return step_(); }
  const char* name() const override { return name_; }

 private:
  std::function<std::int64_t()> step_;
  const char* name_;
};

/// Await for anything that can be called.
bool Await(ActorExecutor& executor, std::function<bool()> done,
           Deadline deadline = Deadline::max()) {
  return executor.Await(
      [](void* argument) { return (*static_cast<std::function<bool()>*>(argument))(); }, &done,
      deadline);
}

TEST(ThreadExecutor, NoWakeIsLost) {
  ThreadExecutor executor;
  std::atomic<std::uint64_t> asked{0};
  std::atomic<std::uint64_t> answered{0};
  FunctionActor actor([&] {
    answered.store(asked.load());
    executor.Progress();
    return Actor::kIdle;
  });
  executor.Start(actor);
  for (std::uint64_t round = 1; round <= 20'000; ++round) {
    asked.store(round);
    executor.Wake(actor);
    ASSERT_TRUE(Await(executor, [&] { return answered.load() == round; }));
  }
  executor.Stop(actor);
}

TEST(ThreadExecutor, NoWakeOfManyThreadsIsLost) {
  ThreadExecutor executor;
  constexpr int kWakers = 3;
  std::atomic<std::uint64_t> asked[kWakers] = {};
  std::atomic<std::uint64_t> answered[kWakers] = {};
  FunctionActor actor([&] {
    for (int waker = 0; waker < kWakers; ++waker) answered[waker].store(asked[waker].load());
    executor.Progress();
    return Actor::kIdle;
  });
  executor.Start(actor);
  std::vector<std::thread> threads;
  for (int waker = 0; waker < kWakers; ++waker) {
    threads.emplace_back([&, waker] {
      for (std::uint64_t round = 1; round <= 3'000; ++round) {
        asked[waker].store(round);
        executor.Wake(actor);
        EXPECT_TRUE(Await(executor, [&] { return answered[waker].load() >= round; }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  executor.Stop(actor);
}

TEST(ThreadExecutor, ActorsWakeEachOther) {
  ThreadExecutor executor;
  std::atomic<std::uint64_t> count{0};
  Actor* players[2] = {};
  const auto play = [&](std::uint64_t parity) {
    if (count.load() < 10'000 && count.load() % 2 == parity) {
      count.fetch_add(1);
      executor.Wake(*players[1 - parity]);
      executor.Progress();
    }
    return Actor::kIdle;
  };
  FunctionActor ping([&] { return play(0); }, "ping");
  FunctionActor pong([&] { return play(1); }, "pong");
  players[0] = &ping;
  players[1] = &pong;
  executor.Start(pong);
  executor.Start(ping);
  EXPECT_TRUE(Await(executor, [&] { return count.load() == 10'000; }));
  executor.Stop(ping);
  executor.Stop(pong);
}

TEST(ThreadExecutor, HonoursTheTimeThatStepReturns) {
  ThreadExecutor executor;
  const SystemClock clock;
  std::atomic<int> steps{0};
  std::atomic<int> early{0};
  std::int64_t wanted_ns = 0;
  FunctionActor actor([&] {
    const std::int64_t now_ns = clock.NowNs();
    if (now_ns < wanted_ns) early.fetch_add(1);
    wanted_ns = now_ns + 200'000;
    steps.fetch_add(1);
    executor.Progress();
    return wanted_ns;
  });
  executor.Start(actor);
  EXPECT_TRUE(Await(executor, [&] { return steps.load() >= 20; }));  // Nobody wakes it.
  executor.Stop(actor);
  EXPECT_EQ(early.load(), 0);
}

TEST(ThreadExecutor, AgainMeansAtOnceAndStopEndsIt) {
  ThreadExecutor executor;
  std::atomic<std::uint64_t> steps{0};
  FunctionActor actor([&] {
    steps.fetch_add(1);
    executor.Progress();
    return Actor::kAgain;
  });
  for (int round = 0; round < 3; ++round) {  // It may be started again.
    const std::uint64_t before = steps.load();
    executor.Start(actor);
    EXPECT_TRUE(Await(executor, [&] { return steps.load() > before + 100; }));
    executor.Stop(actor);
    const std::uint64_t after = steps.load();
    executor.Wake(actor);  // Of one that is stopped: nothing.
    EXPECT_EQ(steps.load(), after);
  }
  executor.Stop(actor);
}

TEST(ThreadExecutor, AwaitEndsAtItsDeadline) {
  ThreadExecutor executor;
  EXPECT_FALSE(Await(
      executor, [] { return false; }, Deadline()));
  EXPECT_FALSE(Await(
      executor, [] { return false; }, Deadline::min()));
  EXPECT_TRUE(Await(
      executor, [] { return true; }, Deadline()));
  const Deadline soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
  EXPECT_FALSE(Await(
      executor, [] { return false; }, soon));
  EXPECT_GE(std::chrono::steady_clock::now(), soon);
}

// Its thread sits in a step; another takes the next ones, and Stop does not wait for the first.
TEST(ThreadExecutor, SM12_AStepThatDoesNotReturnIsReplaced) {
  struct Shared {
    std::atomic<int> steps{0};
    std::atomic<bool> open{false};
    std::atomic<bool> ended{false};
  };
  const auto shared = std::make_shared<Shared>();
  {
    ThreadExecutor executor;
    FunctionActor actor([shared, &executor] {
      const std::shared_ptr<Shared> mine = shared;  // The actor may go before this step ends.
      if (mine->steps.fetch_add(1) > 0) {
        executor.Progress();
        return Actor::kIdle;
      }
      mine->steps.notify_all();
      mine->open.wait(false);
      mine->ended.store(true);
      mine->ended.notify_all();
      return Actor::kGone;
    });
    executor.Start(actor);
    shared->steps.wait(0);
    executor.Replace(actor);
    const auto thrice = [&] {
      executor.Wake(actor);
      return shared->steps.load() >= 3;
    };
    ASSERT_TRUE(Await(executor, thrice));
    executor.Stop(actor);
    EXPECT_FALSE(shared->ended.load());
    shared->open.store(true);
    shared->open.notify_all();
    shared->ended.wait(false);
  }
}

TEST(ThreadExecutor, ItsThreadsLeaveSignalsToTheHost) {
  ThreadExecutor executor;
  std::atomic<int> blocked{-1};
  FunctionActor actor([&] {
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked.store(::sigismember(&mask, SIGTERM) == 1 && ::sigismember(&mask, SIGSEGV) == 0 ? 1 : 0);
    executor.Progress();
    return Actor::kIdle;
  });
  executor.Start(actor);
  EXPECT_TRUE(Await(executor, [&] { return blocked.load() >= 0; }));
  EXPECT_EQ(blocked.load(), 1);
  executor.Stop(actor);
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(::sigismember(&mask, SIGTERM), 0);  // The caller's mask is as it was.
}

class NicenessActor final : public Actor {
 public:
  NicenessActor(ActorExecutor& executor, bool background)
      : executor_(executor), background_(background) {}
  std::int64_t Step() override {
    niceness_.store(::getpriority(PRIO_PROCESS, 0));
    executor_.Progress();
    return kIdle;
  }
  const char* name() const override { return "actor"; }
  bool background() const override { return background_; }
  int niceness() const { return niceness_.load(); }

  static constexpr int kUnknown = -100;

 private:
  ActorExecutor& executor_;
  const bool background_;
  std::atomic<int> niceness_{kUnknown};
};

TEST(ThreadExecutor, PW3_BackgroundActorsLetTheOthersGoFirst) {
  const int own = ::getpriority(PRIO_PROCESS, 0);
  ThreadExecutor executor;
  NicenessActor background(executor, true);
  NicenessActor other(executor, false);
  for (NicenessActor* actor : {&background, &other}) {
    executor.Start(*actor);
    EXPECT_TRUE(Await(executor, [&] { return actor->niceness() != NicenessActor::kUnknown; }));
    executor.Stop(*actor);
  }
  EXPECT_GT(background.niceness(), own);
  EXPECT_EQ(other.niceness(), own);
  EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), own) << "only that thread";
}

/// The order of steps of three actors that wake each other now and then.
std::string Trace(std::uint64_t seed) {
  ManualClock clock;
  LoopExecutor executor(Rng(seed), clock);
  std::string trace;
  std::vector<std::unique_ptr<FunctionActor>> actors;
  for (int number = 0; number < 3; ++number) {
    actors.push_back(std::make_unique<FunctionActor>([&, number, left = 30]() mutable {
      trace += static_cast<char>('a' + number);
      if (left-- == 0) return Actor::kIdle;
      return left % 5 == 0 ? clock.NowNs() + 1000 * (number + 1) : Actor::kAgain;
    }));
    executor.Start(*actors.back());
  }
  EXPECT_FALSE(Await(executor, [] { return false; }));
  return trace;
}

TEST(LoopExecutor, TheSeedDecidesTheOrder) {
  EXPECT_EQ(Trace(1), Trace(1));
  EXPECT_NE(Trace(1), Trace(2));
  EXPECT_EQ(Trace(1).size(), 93u);
}

TEST(LoopExecutor, AwaitAdvancesTheClockOnlyWhenAllAreIdle) {
  ManualClock clock;
  LoopExecutor executor(Rng(5), clock);
  const std::int64_t start_ns = clock.NowNs();
  std::vector<std::int64_t> times;
  int busy_left = 10;
  FunctionActor busy([&] { return --busy_left > 0 ? Actor::kAgain : Actor::kIdle; });
  FunctionActor timer([&] {
    times.push_back(clock.NowNs() - start_ns);
    return clock.NowNs() + 50;
  });
  executor.Start(busy);
  executor.Start(timer);
  EXPECT_TRUE(Await(executor, [&] { return times.size() == 4; }));
  EXPECT_EQ(times, (std::vector<std::int64_t>{0, 50, 100, 150}));
  EXPECT_EQ(busy_left, 0);
  // A deadline is a point of the same clock.
  const Deadline deadline{std::chrono::nanoseconds(start_ns + 220)};
  EXPECT_FALSE(Await(
      executor, [] { return false; }, deadline));
  EXPECT_EQ(clock.NowNs(), start_ns + 220);
}

TEST(LoopExecutor, AwaitGivesUpWhenNothingCanRunOrNothingEverRests) {
  ManualClock clock;
  LoopExecutor executor(Rng(5), clock);
  EXPECT_FALSE(Await(executor, [] { return false; }));  // No actors at all.
  int steps = 0;
  FunctionActor sleeper([&] {
    ++steps;
    return Actor::kIdle;
  });
  executor.Start(sleeper);
  EXPECT_FALSE(Await(executor, [] { return false; }));
  EXPECT_EQ(steps, 1);
  executor.Wake(sleeper);
  EXPECT_TRUE(Await(executor, [&] { return steps == 2; }));

  FunctionActor restless([] { return Actor::kAgain; });
  executor.Start(restless);
  EXPECT_FALSE(Await(executor, [] { return false; }));
  EXPECT_FALSE(executor.RunUntilIdle(100));
  executor.Stop(restless);
  EXPECT_TRUE(executor.RunUntilIdle(100));
  EXPECT_FALSE(executor.RunOne());
  EXPECT_FALSE(executor.AdvanceToNextTimer());
}

TEST(LoopExecutor, AStepMayStopAndStartOthersAndAwait) {
  ManualClock clock;
  LoopExecutor executor(Rng(9), clock);
  int last_steps = 0;
  FunctionActor first([] { return Actor::kIdle; }, "first");
  FunctionActor last(
      [&] {
        ++last_steps;
        return Actor::kIdle;
      },
      "last");
  bool acted = false;
  FunctionActor actor([&] {
    if (acted) return Actor::kIdle;
    acted = true;
    executor.Stop(first);
    executor.Start(last);
    EXPECT_TRUE(Await(executor, [&] { return last_steps == 1; }));
    return Actor::kIdle;
  });
  executor.Start(first);
  executor.Start(actor);
  EXPECT_TRUE(executor.RunUntilIdle(100));
  EXPECT_TRUE(acted);
  EXPECT_EQ(last_steps, 1);
}

TEST(SpinPolicy, PW2_SpinsAfterShortWaitsAndNeverAfterLongOnes) {
  SpinPolicy policy;
  EXPECT_EQ(policy.SpinNs(), 0) << "nothing is known yet";
  int waits = 0;
  while (policy.SpinNs() == 0 && waits < 1000) {
    policy.Waited(100'000, false);
    ++waits;
  }
  EXPECT_GT(waits, 4);
  EXPECT_LT(waits, 40);
  EXPECT_EQ(policy.SpinNs(), SpinPolicy::kSpinNs);
  policy.Waited(1'000'000'000, true);
  EXPECT_EQ(policy.SpinNs(), 0) << "one long wait ends it";
  for (int i = 0; i < 1000; ++i) policy.Waited(4'000'000, true);
  EXPECT_EQ(policy.SpinNs(), 0);
  // Two who wait for each other asleep are late by their waking up, and must come out of it.
  for (int i = 0; i < 100; ++i) policy.Waited(SpinPolicy::kSpinNs + 40'000, true);
  EXPECT_EQ(policy.SpinNs(), SpinPolicy::kSpinNs);
}

}  // namespace
}  // namespace duramen
