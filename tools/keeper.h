// Child processes that are started again when they are killed: how demo and bench run services and
// a WAL process beside each other.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/child.h"

namespace duramen::tools {

/// One program. A thread of its own is in Loop; the others may Signal.
class Keeper : public Child::Listener {
 public:
  /// A life that ends by a SIGKILL is followed by another.
  void Loop(const std::vector<std::string>& command);
  void Signal(int signal);
  /// SIGKILL. False: there is nobody just now who has not had one.
  bool Kill();
  void OnOut(std::string_view) override {}
  void OnErr(std::string_view line) override { last_words_ = line; }

  std::uint64_t kills() const { return kills_.load(); }
  /// After the loop: how it ended, if not well.
  const std::string& problem() const { return problem_; }

 protected:
  virtual void BeforeLife() {}
  /// Of an end that is no success: whether it is one to begin again after.
  virtual bool Forgives(int /*code*/) { return false; }
  virtual void AfterLife() {}

 private:
  std::mutex mutex_;  // guards that child_ is there while it is signalled
  std::optional<Child> child_;
  bool dying_ = false;  // it has had a SIGKILL
  std::string last_words_;
  std::string problem_;
  std::atomic<std::uint64_t> kills_{0};
};

/// `duramen wal`.
class WalKeeper final : public Keeper {
 public:
  explicit WalKeeper(std::string data_dir) : data_dir_(std::move(data_dir)) {}
  /// A loop of it.
  void Run(const std::string& socket, const std::vector<std::string>& flags);
  void OnOut(std::string_view line) override { OnErr(line); }
  void OnErr(std::string_view line) override;
  /// Until clients may attach. False: there will be no such moment any more.
  bool AwaitReady();
  /// After Run: of all its lives, as far as their statistics pages were there to be read.
  std::uint64_t syncs() const { return syncs_; }

 private:
  enum class State : std::uint8_t { kStarting, kReady, kEnded };
  void SetState(State state);
  void AfterLife() override;

  const std::string data_dir_;
  std::uint64_t syncs_ = 0;
  std::mutex state_mutex_;  // guards state_
  std::condition_variable state_changed_;
  State state_ = State::kStarting;
};

}  // namespace duramen::tools
