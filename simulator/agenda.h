// What is to happen, and when: the only queue of a simulated world. Things of one moment happen in
// the order in which they were put in, so that a seed says everything.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

namespace duramen::simulator {

/// Nanoseconds since the world began, by the one clock that nobody in it sees.
using Moment = std::int64_t;
inline constexpr Moment kMicrosecond = 1'000;
inline constexpr Moment kMillisecond = 1'000'000;
inline constexpr Moment kSecond = 1'000'000'000;
inline constexpr Moment kNever = INT64_MAX;

class Agenda {
 public:
  void At(Moment when, std::function<void()> what) {
    items_.push({when, ++count_, std::move(what)});
  }
  Moment next() const { return items_.empty() ? kNever : items_.top().when; }
  /// Requires: something is there.
  std::function<void()> Take() {
    std::function<void()> what = std::move(const_cast<Item&>(items_.top()).what);
    items_.pop();
    return what;
  }

 private:
  struct Item {
    Moment when = 0;
    std::uint64_t number = 0;
    std::function<void()> what;
    bool operator<(const Item& other) const {
      return when != other.when ? when > other.when : number > other.number;
    }
  };
  std::priority_queue<Item> items_;
  std::uint64_t count_ = 0;
};

}  // namespace duramen::simulator
