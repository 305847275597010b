// The threads of one simulated process: its actors run in the world's one loop, and none of them
// while the process stands still.
//
// Owned by a home, for the life of its system. One thread. What stays true: an actor that was
// stopped is never run again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/loop_executor.h"

namespace duramen::simulator {

class Process final : public ActorExecutor {
 public:
  /// `progress`: called when somebody who waits for an answer may have one.
  Process(LoopExecutor& executor, ManualClock& clock, std::function<void()> progress)
      : executor_(executor), clock_(clock), progress_(std::move(progress)) {}

  void Start(Actor& actor) override {
    auto thread = std::make_unique<Thread>(*this, actor);
    executor_.Start(*thread);
    threads_[&actor] = std::move(thread);
  }
  void Wake(Actor& actor) override {
    const auto thread = threads_.find(&actor);
    if (thread != threads_.end()) executor_.Wake(*thread->second);
  }
  void Stop(Actor& actor) override {
    const auto thread = threads_.find(&actor);
    if (thread == threads_.end()) return;
    executor_.Stop(*thread->second);
    threads_.erase(thread);
  }
  bool Await(bool (*done)(void*), void* argument, Deadline deadline) override {
    return executor_.Await(done, argument, deadline);
  }
  void Progress() override { progress_(); }

  /// It stands still until then.
  void PauseUntil(std::int64_t until_ns) {
    paused_until_ns_ = until_ns;
    for (const auto& [actor, thread] : threads_) executor_.Wake(*thread);
  }
  bool paused() const { return paused_until_ns_ > clock_.NowNs(); }
  /// One of its threads is in a step, and waits there.
  bool in_step() const { return in_steps_ > 0; }

 private:
  class Thread final : public Actor {
   public:
    Thread(Process& process, Actor& actor) : process_(process), actor_(actor) {}
    std::int64_t Step() override {
      if (process_.paused()) return process_.paused_until_ns_;
      ++process_.in_steps_;
      const std::int64_t next_ns = actor_.Step();
      --process_.in_steps_;
      return next_ns;
    }
    const char* name() const override { return actor_.name(); }

   private:
    Process& process_;
    Actor& actor_;
  };

  LoopExecutor& executor_;
  ManualClock& clock_;
  std::function<void()> progress_;
  std::map<const Actor*, std::unique_ptr<Thread>> threads_;  // its order says nothing
  std::int64_t paused_until_ns_ = 0;
  int in_steps_ = 0;
};

}  // namespace duramen::simulator
