// What the logs of one client of the kill matrix may hold: all that was acknowledged, and of what
// it had put into its ring behind that a prefix, each once and in order.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace duramen::shm::testing {

struct LogState {
  std::uint64_t begin = 1;
  std::uint64_t vote = 0;
  std::vector<std::pair<std::uint64_t, std::string>> entries;  // term and text

  friend bool operator==(const LogState&, const LogState&) = default;
};
using States = std::map<std::string, LogState>;  // by the log's name

/// Of a line "log NAME BEGIN END VOTE TERM:TEXT..."; what is wrong with it, or "".
std::string ReadLogLine(const std::string& line, States& states);

class KillModel {
 public:
  /// Of a line "op ..." or "ack COUNT". Errors are for people: the client's bug.
  void OnOp(const std::string& line);
  void OnAck(std::uint64_t count);
  /// A new life begins with what it found; what is wrong with that, or "".
  std::string OnOpen(const States& all);

 private:
  struct Op {
    std::string log;
    std::string what;
    std::uint64_t number = 0;
    std::uint64_t term = 0;
    std::string text;
  };
  static void Apply(const Op& op, States& states);

  States base_;           // what was acknowledged
  std::deque<Op> ops_;    // what was not
  std::uint64_t acked_ = 0;  // operations of this life
};

}  // namespace duramen::shm::testing
