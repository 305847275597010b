// A client of a simulated cluster: one operation at a time, each sent again under its session until
// it is answered or the client gives up; and a record of all of it. Several may share a session, as
// the lanes of a client that has many operations under way.
//
// Owned by the world. What stays true: an operation that was given up has an unknown outcome for
// ever, and the client goes on as somebody else, as it can no longer say what it has done.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "simulator/agenda.h"
#include "simulator/machine.h"

namespace duramen::simulator {

/// One line of a history.
struct Record {
  enum class Kind : std::uint8_t { kInvoke, kOk, kFail, kInfo };
  Kind kind = Kind::kInvoke;
  std::uint64_t process = 0;
  std::uint32_t cluster = 0;
  Request request;
  Response response;
  Moment at = 0;
};

/// An attempt on its way to a server.
struct Attempt {
  std::uint64_t number = 0;  // of the world's attempts; the answer names it
  std::uint32_t client = 0;
  std::uint32_t cluster = 0;
  Request request;
  bool by_query = false;  // a read outside the log
  bool by_lease = false;
  Index floor = 0;  // of a read: what was acknowledged when it reached the server
};

struct Session {
  std::uint64_t number = 0;
  std::uint64_t sequence = 0;          // of the newest command
  std::set<std::uint64_t> unanswered;  // those that may be sent again
  std::uint64_t acknowledged() const {
    return unanswered.empty() ? sequence : *unanswered.begin() - 1;
  }
};

struct Client {
  std::uint32_t number = 0;
  Rng rng{0};
  std::uint64_t process = 0;  // who it is in the history
  std::size_t session = 0;    // of the world's
  bool busy = false;
  Attempt attempt;  // the newest of the operation under way
  Moment began_at = 0;
  Moment give_up_at = 0;
  std::vector<std::uint32_t> leaders;  // by cluster: the node that it asks first
};

}  // namespace duramen::simulator
