// Commands in sessions under load: each is sent several times, through any node, until as many
// outcomes say that it is done, and every one of them must tell the same.
//
// One thread's; its systems outlive it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "duramen/system.h"
#include "tests/server/systems_fixture.h"

namespace duramen::testing {

class SessionLoad {
 public:
  struct Plan {
    std::string cluster;
    std::uint64_t first = 0;     // the commands are numbers from here
    std::uint64_t commands = 0;  // how many
    std::uint64_t sends = 1;     // of each, whose outcomes are known
  };
  /// Its clients are on `systems`, and are used in turns.
  SessionLoad(const std::vector<System*>& systems, std::uint64_t session, const Plan& plan)
      : plan_(plan), session_(session), idle_(systems.front()->NewClient()) {
    for (System* system : systems) clients_.push_back(system->NewClient());
  }

  /// Until all is known; false if it has failed. `done` counts the outcomes that are known.
  bool Run(std::atomic<std::uint64_t>& done) {
    while (acknowledged_ < plan_.commands && error_.empty()) Step(done, true);
    return error_.empty();
  }
  /// Sends what it may, takes what is there; waits a little, if that is wanted, where nothing was
  /// done.
  void Step(std::atomic<std::uint64_t>& done, bool waits) {
    Fill();
    bool any = false;
    const std::uint64_t refused = refused_;
    for (Client& client : clients_) {
      for (const Outcome& outcome : client.Poll()) {
        any |= !outcome.error;
        Take(outcome, done);
      }
    }
    if (any || !waits) return;
    // Where nobody leads refusals come at once: then the one that has nothing under way waits.
    Client& client = refused_ == refused ? clients_.front() : idle_;
    (void)client.Wait(std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
  }
  bool finished() const { return acknowledged_ == plan_.commands || !error_.empty(); }
  /// What went wrong; empty: nothing.
  const std::string& error() const { return error_; }
  /// An outcome that ends it for good, such as kMachineFailed.
  const std::optional<Error>& fatal() const { return fatal_; }
  /// Those that were refused did not run, and are none.
  std::uint64_t sent() const { return sent_ - refused_; }
  std::uint64_t unknown() const { return unknown_; }
  std::uint64_t refused() const { return refused_; }

 private:
  static constexpr std::uint64_t kWindow = 64;  // as many as a session keeps
  static constexpr std::uint64_t kAtOnce = 2;   // attempts of one command

  struct One {
    std::uint64_t left = 0;       // sends to come
    std::uint64_t under_way = 0;
    std::string answer;           // of the first
  };

  void Fill() {
    while (window_.size() < kWindow && acknowledged_ + window_.size() < plan_.commands)
      window_.push_back({.left = plan_.sends});
    for (std::size_t at = 0; at < window_.size(); ++at) {
      One& one = window_[at];
      while (one.left > 0 && one.under_way < kAtOnce) {
        if (!Send(at)) return;
        --one.left;
        ++one.under_way;
      }
    }
  }

  bool Send(std::size_t at) {
    const std::uint64_t sequence = acknowledged_ + at + 1;
    const std::string command = std::to_string(plan_.first + sequence - 1);
    Client& client = clients_[next_++ % clients_.size()];
    const Status sent = client.Send(plan_.cluster, sequence, AsBytes(command),
                                    {.place = InSession{session_, sequence, acknowledged_}});
    if (sent.ok()) ++sent_;
    if (!sent.ok() && sent.error().code != ErrorCode::kOverloaded) error_ = sent.error().message;
    return sent.ok();
  }

  void Take(const Outcome& outcome, std::atomic<std::uint64_t>& done) {
    if (outcome.correlation <= acknowledged_ ||
        outcome.correlation > acknowledged_ + window_.size()) {
      error_ = "an outcome of " + std::to_string(outcome.correlation) + ", which has all";
      return;
    }
    One& one = window_[outcome.correlation - acknowledged_ - 1];
    --one.under_way;
    if (outcome.error) return TakeError(*outcome.error, one);
    done.fetch_add(1);
    if (one.answer.empty()) one.answer = outcome.answer;
    if (one.answer != outcome.answer) {
      error_ = "command " + std::to_string(plan_.first + outcome.correlation - 1) + " answered " +
               one.answer + ", and then " + outcome.answer;
    }
    while (!window_.empty() && window_.front().left == 0 && window_.front().under_way == 0) {
      window_.pop_front();
      ++acknowledged_;
    }
  }

  void TakeError(const Error& error, One& one) {
    ++one.left;
    switch (error.code) {
      case ErrorCode::kTimeout:
      case ErrorCode::kClosed:
        ++unknown_;
        break;
      case ErrorCode::kNotLeader:
      case ErrorCode::kOverloaded:
        ++refused_;
        break;
      default:
        fatal_ = error;
        error_ = error.message;
    }
  }

  Plan plan_;
  std::uint64_t session_;
  std::vector<Client> clients_;
  Client idle_;
  std::deque<One> window_;  // those behind `acknowledged_`
  std::uint64_t acknowledged_ = 0;
  std::uint64_t next_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t unknown_ = 0;
  std::uint64_t refused_ = 0;
  std::string error_;
  std::optional<Error> fatal_;
};

/// Knows which numbers it was given, and which twice. Answers with how many it had by then.
class Ledger final : public Machine {
 public:
  Status Init(const MachineInit& init) override {
    throws_ = init.config;
    return {};
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      const std::string text(AsText(commands[at].payload));
      if (text == throws_) throw std::runtime_error("it is told to at " + text);
      const std::uint64_t number = std::stoull(text);
      if (number >= seen_.size()) seen_.resize(number + 1);
      if (seen_[number]) ++twice_;
      seen_[number] = true;
      effects.Reply(at, std::to_string(++count_));
    }
  }
  /// "COUNT different, COUNT twice".
  Status Query(Bytes, std::string& answer) const override {
    answer = std::to_string(count_ - twice_) + " different, " + std::to_string(twice_) + " twice";
    return {};
  }

 private:
  std::string throws_;
  std::vector<bool> seen_;
  std::uint64_t count_ = 0;
  std::uint64_t twice_ = 0;
};

}  // namespace duramen::testing
