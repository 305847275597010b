#include "tools/keeper.h"

#include <signal.h>

#include <utility>

#include "tools/interrupt.h"
#include "tools/live.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kLivesMax = 10'000;

}  // namespace

void Keeper::Loop(const std::vector<std::string>& command) {
  for (std::uint64_t life = 0; life < kLivesMax && !Interrupted(); ++life) {
    BeforeLife();
    Result<Child> child = Child::Start(command);
    if (!child.ok()) {
      problem_ = child.error().message;
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      child_.emplace(std::move(*child));
      dying_ = false;
    }
    const Result<Child::Exit> exit = child_->Run(*this);
    AfterLife();
    {
      const std::lock_guard lock(mutex_);
      child_.reset();
    }
    if (!exit.ok()) problem_ = exit.error().message;
    if (exit.ok() && !exit->killed && exit->code != 0 && Forgives(exit->code)) continue;
    if (exit.ok() && !exit->killed && exit->code != 0 && !Interrupted()) {
      problem_ = command[1] + " ended with exit " + std::to_string(exit->code) + ": " + last_words_;
    }
    if (!exit.ok() || !exit->killed) return;
    kills_.fetch_add(1);
  }
}

void Keeper::Signal(int signal) {
  const std::lock_guard lock(mutex_);
  if (child_) child_->Signal(signal);
}

bool Keeper::Kill() {
  const std::lock_guard lock(mutex_);
  if (!child_ || dying_) return false;
  dying_ = true;
  child_->Signal(SIGKILL);
  return true;
}

void WalKeeper::Run(const std::string& socket, const std::vector<std::string>& flags) {
  std::vector<std::string> command = {Child::OwnPath(), "wal",      "--data-dir",
                                      data_dir_,        "--socket", socket};
  command.insert(command.end(), flags.begin(), flags.end());
  Loop(command);
  SetState(State::kEnded);
}

void WalKeeper::OnErr(std::string_view line) {
  if (line.find("ready") != std::string_view::npos) SetState(State::kReady);
  Keeper::OnErr(line);
}

bool WalKeeper::AwaitReady() {
  std::unique_lock lock(state_mutex_);
  state_changed_.wait(lock, [this] { return state_ != State::kStarting; });
  return state_ == State::kReady;
}

void WalKeeper::SetState(State state) {
  {
    const std::lock_guard lock(state_mutex_);
    state_ = state;
  }
  state_changed_.notify_all();
}

/// The page of a process that was killed stays until the next start.
void WalKeeper::AfterLife() {
  SetState(State::kStarting);
  const Result<LiveStats> stats = ReadLive(data_dir_);
  if (stats.ok()) syncs_ += stats->Value("wal_syncs");
}

}  // namespace duramen::tools
