// An actor that does what is due: clients, trouble and administrators beside the actors of systems.
// What it does may wait in a call of a system; the others run meanwhile, other hands too.
//
// Owned by a world, which outlives its executor's use of it. One thread.
#pragma once

#include <functional>
#include <utility>

#include "base/loop_executor.h"
#include "simulator/agenda.h"

namespace duramen::simulator {

class Hand final : public Actor {
 public:
  struct Manners {
    /// Asked before each thing that is due: how many steps others may take first.
    std::function<std::uint64_t()> tarries;
    /// Asked before each: whether it has to wait a little, as somebody waits who could not go on.
    std::function<bool()> held;
  };
  Hand(LoopExecutor& executor, ManualClock& clock, Manners manners)
      : executor_(executor), clock_(clock), manners_(std::move(manners)) {
    executor_.Start(*this);
  }
  Hand(LoopExecutor& executor, ManualClock& clock) : Hand(executor, clock, Manners{}) {}
  ~Hand() override { executor_.Stop(*this); }
  Hand(const Hand&) = delete;
  Hand& operator=(const Hand&) = delete;

  void In(Moment delay, std::function<void()> what) {
    agenda_.At(clock_.NowNs() + delay, std::move(what));
    executor_.Wake(*this);
  }
  /// Done in every step.
  void Always(std::function<void()> what) { always_ = std::move(what); }
  void Wake() { executor_.Wake(*this); }

  std::int64_t Step() override {
    if (always_) always_();
    if (agenda_.next() > clock_.NowNs()) return agenda_.next();
    if (manners_.held && manners_.held()) return clock_.NowNs() + 100 * kMicrosecond;
    if (!drawn_ && manners_.tarries) {
      drawn_ = true;
      left_ = manners_.tarries();
    }
    if (left_ > 0) {
      --left_;
      return kAgain;
    }
    drawn_ = false;
    agenda_.Take()();
    return agenda_.next() > clock_.NowNs() ? agenda_.next() : kAgain;
  }
  const char* name() const override { return "hand"; }

 private:
  LoopExecutor& executor_;
  ManualClock& clock_;
  Manners manners_;
  std::function<void()> always_;
  Agenda agenda_;
  bool drawn_ = false;
  std::uint64_t left_ = 0;
};

}  // namespace duramen::simulator
