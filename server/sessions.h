// Which commands of a client were executed, and with what answer, so that a command that is sent
// again executes once (dissertation §6.3) [A20, CM2]. Part of a machine's state: deterministic, and
// in its snapshots. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/types.h"

namespace duramen::server {

/// The client's number of a command, and how far it has had answers.
struct SessionMark {
  std::uint64_t client = 0;
  std::uint64_t sequence = 0;      // from 1, each once
  std::uint64_t acknowledged = 0;  // all up to it were answered, so their answers may go
};

class SessionTable {
 public:
  /// Answers kept per client: as many as it may have unanswered.
  static constexpr std::uint64_t kWindow = 64;
  static constexpr std::size_t kClientsMax = 65536;

  enum class Standing : std::uint8_t {
    kNew,       // execute it, then Record
    kExecuted,  // `answer` is what it got
    kExpired,   // neither kept nor new: never execute it, since it may have been [A20]
  };
  struct Finding {
    Standing standing = Standing::kNew;
    std::string answer;
  };
  /// What to do with a command that stands at `index`.
  Finding Find(const SessionMark& mark, Index index);
  /// Requires: Find said kNew.
  void Record(const SessionMark& mark, std::string answer);
  /// The answer of what was recorded before it was known. Nothing, if it went meanwhile.
  void Amend(const SessionMark& mark, std::string answer);
  std::size_t size() const { return sessions_.size(); }

 private:
  struct Session {
    std::uint64_t acknowledged = 0;
    std::map<std::uint64_t, std::string> answers;  // by sequence, all above `acknowledged`
    Index used_at = 0;
  };
  std::map<std::uint64_t, Session> sessions_;  // by client
  /// No client above it was ever forgotten: clients are numbered by when they came.
  std::uint64_t forgotten_upto_ = 0;
};

}  // namespace duramen::server
