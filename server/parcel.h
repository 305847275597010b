// What goes between systems, and between a system's clients and its servers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "duramen/system.h"
#include "server/replica.h"

namespace duramen::server {

/// The value of a log that says which machine its server has: name \n config.
inline constexpr std::string_view kMachineKey = "machine";
/// The value that says that its cluster is deleted: the Birth row of Farewell.
inline constexpr std::string_view kDeletedKey = "deleted";
/// The answer of a change that was one already [ME5].
inline constexpr std::string_view kNothingChanged = "nothing changed";

/// Who waits for an answer.
struct Asker {
  std::string node;
  std::uint64_t client = 0;  // of that node; 0: nobody
  std::uint64_t correlation = 0;
  std::uint64_t call = 0;  // correlations may be used again
};

/// A client, as machines know it: number @ node.
std::string AddressOf(const std::string& node, std::uint64_t client);
std::string_view NodeOf(std::string_view address);
/// 0: it is no address.
std::uint64_t ClientOf(std::string_view address);

enum class Ask : std::uint8_t {
  kCommand,
  kQuery,
  kTransfer,
  kTrigger,
  kInvite,
  kAdd,
  kRemove,
  kAux,
  kDelete,
};

struct Request {
  Asker asker;
  Ask ask = Ask::kCommand;
  Consistency consistency = Consistency::kLocal;  // of a query
  Token after;                                    // of a query: not before that is applied
  ReplyWhen reply = ReplyWhen::kApplied;          // of a command
  Priority priority = Priority::kNormal;
  std::string reply_from;  // a node; empty: the leader
  std::string cluster;
  std::string target;  // a node: of a transfer or change
  ServerUid uid;       // of a member that is to be added
  std::vector<std::byte> payload;

  std::size_t bytes() const { return sizeof *this + payload.size(); }
};

/// Of the member that is here, whoever leads.
inline bool StaysHere(const Request& request) {
  return request.ask == Ask::kTrigger || request.ask == Ask::kAux ||
         (request.ask == Ask::kQuery && request.consistency == Consistency::kLocal);
}

/// To the asker's node.
struct Response {
  std::uint64_t client = 0;
  std::uint64_t call = 0;
  Outcome outcome;
};

/// An outcome that the member on that node passes on once it has applied as much [CM8].
struct Relay {
  std::string cluster;
  Asker asker;
  Outcome outcome;
};

/// Of a machine, to a client.
struct Notice {
  std::uint64_t client = 0;
  Message message;
};

/// A member has stopped, or begun a life, while its node is up: nobody need wait for its word.
struct PeerNotice {
  ServerUid to;
  ServerUid about;
  std::optional<std::uint64_t> boot;  // nothing: it has stopped
};

/// A member has it durable that its cluster is deleted, or is gone already [CL8].
struct Farewell {
  ServerUid to;
  ServerUid about;
  std::string node;   // that `about` was on
  Birth deleted;      // the cluster, and those who have to know
  bool reply = false;
};

using Parcel = std::variant<Envelope, Request, Response, PeerNotice, Relay, Notice, Farewell>;

/// Takes parcels to where they belong. Any thread; never blocks.
class Router {
 public:
  virtual ~Router() = default;
  /// What cannot be delivered is lost; that node may be this one.
  virtual void Send(const std::string& node, std::vector<Parcel> parcels) = 0;
  /// A server here has heard of a leader.
  virtual void OnLeader(const std::string& cluster, const std::string& node, Term term) = 0;
  /// In the worker of that cluster: its server has nobody left to tell that the cluster is deleted.
  virtual void OnDeleted(const std::string& cluster) = 0;
  virtual const std::string& node() const = 0;
};

}  // namespace duramen::server
