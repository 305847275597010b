// What a replicated state machine is: deterministic code that is given the same commands in the
// same order on every member of its cluster.
//
//   class Counter final : public duramen::Machine {
//     void Apply(std::span<const Command> commands, Effects& effects) override {
//       for (std::size_t at = 0; at < commands.size(); ++at)
//         effects.Reply(at, std::to_string(++count_));
//     }
//     Status Query(Bytes, std::string& answer) const override {
//       answer = std::to_string(count_);
//       return {};
//     }
//     std::uint64_t count_ = 0;
//   };
//
// C++20, standard library only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/result.h"
#include "duramen/types.h"

namespace duramen {
inline namespace v1 {

struct ApplyMeta {
  Index index = 0;  // of the command in the cluster's log
  Term term = 0;
  std::int64_t leader_unix_ms = 0;  // when its leader took it, by that leader's clock
};

/// `payload` is borrowed until Apply returns.
struct Command {
  ApplyMeta meta;
  Bytes payload;
};

/// What a machine wants done for the commands that it was given.
class Effects final {
 public:
  /// The answer to the command at that place in the span of Apply. Copied; of two the last counts.
  /// Only the server that took the command has somebody to tell it to.
  void Reply(std::size_t command, std::string_view answer);
  /// Whether anybody waits for it here; an answer that is dear to make can be left out else.
  bool wants_reply(std::size_t command) const noexcept;

  class Sink;
  explicit Effects(Sink& sink) noexcept : sink_(sink) {}
  Effects(const Effects&) = delete;
  Effects& operator=(const Effects&) = delete;

 private:
  Sink& sink_;
};

struct MachineInit {
  std::string cluster;
  std::string uid;     // of this member
  std::string config;  // what the cluster was started with
};

/// Calls never overlap, but for Validate. What it throws stops this server only, with the reason in
/// its status.
class Machine {
 public:
  virtual ~Machine() = default;
  /// Before anything else. An error: the server does not start.
  virtual Status Init(const MachineInit&) { return {}; }
  /// Before a command is replicated, on any thread: an error goes to who sent it, and nothing else
  /// happens.
  virtual Status Validate(Bytes) const { return {}; }
  /// Commands that are committed, in the order of the log. Deterministic: the same commands make
  /// the same state and the same answers everywhere.
  virtual void Apply(std::span<const Command> commands, Effects& effects) = 0;
  /// A question that changes nothing. An error goes to who asked.
  virtual Status Query(Bytes query, std::string& answer) const = 0;
};

/// What a system knows how to make; clusters name it.
struct MachineType {
  std::string name;  // as a cluster's log keeps it: stable over releases
  std::function<std::unique_ptr<Machine>()> make;
};

}  // namespace v1
}  // namespace duramen
