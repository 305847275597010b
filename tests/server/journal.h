// What happened in the threads of servers, for a test to wait for.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace duramen::testing {

/// What all machines of a test saw, and a gate that holds those of one node.
class Journal {
 public:
  void Add(const std::string& line) {
    const std::lock_guard lock(mutex_);
    ++lines_[line];
    changed_.notify_all();
  }
  std::uint64_t Count(const std::string& line) {
    const std::lock_guard lock(mutex_);
    return lines_[line];
  }
  void Await(const std::string& line, std::uint64_t count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return lines_[line] >= count; });
  }
  void Hold(const std::string& node) {
    const std::lock_guard lock(mutex_);
    held_ = node;
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    held_.clear();
    changed_.notify_all();
  }
  void Pass(const std::string& node) {
    std::unique_lock lock(mutex_);
    if (held_ == node) ++lines_[node + " held"];
    changed_.notify_all();
    changed_.wait(lock, [&] { return held_ != node; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::uint64_t> lines_;
  std::string held_;
};

}  // namespace duramen::testing
