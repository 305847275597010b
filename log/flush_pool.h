// Several threads that flush logs at once: helpers, and the owner's own.
//
// Owned by the flusher, on whose thread all calls come but those that say otherwise. Helpers are
// actors, so that in simulation the seed says who takes which job when. Which log is done first
// means nothing: no two jobs of a round share a log, and the round goes on when all are done.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/actor.h"
#include "log/segment_flush.h"

namespace duramen::log {

class FlushPool {
 public:
  struct Options {
    std::uint32_t threads = 1;  // the owner's among them
    ActorExecutor& executor;
    Actor& owner;  // woken when all jobs are done
  };
  FlushPool(const Options& options, const SegmentFlush::Environment& environment, Rng& rng);
  ~FlushPool();
  FlushPool(const FlushPool&) = delete;
  FlushPool& operator=(const FlushPool&) = delete;

  /// Of the helpers, by the owner of the owner; those that were started are stopped.
  void Start();
  void Stop();

  bool has_helpers() const { return !helpers_.empty(); }
  void Submit(FlushJob job);
  /// Does a job that nobody has begun; false: there is none.
  bool RunOne();
  /// Moves what is done to the end of `done`.
  void Take(std::vector<FlushJob>& done);
  /// Submitted and not taken.
  std::size_t unfinished() const { return unfinished_; }

 private:
  class Helper final : public Actor {
   public:
    Helper(FlushPool& pool, const SegmentFlush::Environment& environment, Rng rng)
        : pool_(pool), flush_(environment, rng) {}
    /// Takes a job, or does the one that it has taken: in simulation others step between.
    std::int64_t Step() override;
    const char* name() const override { return "flush-helper"; }
    bool background() const override { return true; }

   private:
    FlushPool& pool_;
    SegmentFlush flush_;
    std::optional<FlushJob> job_;
  };
  std::optional<FlushJob> Begin();  // any thread
  bool End(FlushJob job);           // any thread; true: nothing is under way or waiting any more

  ActorExecutor& executor_;
  Actor& owner_;
  SegmentFlush own_;
  std::vector<std::unique_ptr<Helper>> helpers_;
  bool started_ = false;
  std::size_t unfinished_ = 0;
  std::mutex mutex_;  // guards all below
  std::deque<FlushJob> waiting_;
  std::size_t running_ = 0;
  std::vector<FlushJob> done_;
};

}  // namespace duramen::log
