// What goes between systems, and between a system's clients and its servers.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "duramen/system.h"
#include "server/replica.h"

namespace duramen::server {

/// Who waits for an answer.
struct Asker {
  std::string node;
  std::uint64_t client = 0;  // of that node
  std::uint64_t correlation = 0;
};

enum class Ask : std::uint8_t { kCommand, kQuery, kTransfer, kTrigger };

struct Request {
  Asker asker;
  Ask ask = Ask::kCommand;
  Consistency consistency = Consistency::kLocal;  // of a query
  std::string cluster;
  std::string target;  // of a transfer: a node
  std::vector<std::byte> payload;

  std::size_t bytes() const { return sizeof *this + payload.size(); }
};

/// To the asker's node.
struct Response {
  std::uint64_t client = 0;
  Outcome outcome;
};

using Parcel = std::variant<Envelope, Request, Response>;

/// Takes parcels to where they belong. Any thread; never blocks.
class Router {
 public:
  virtual ~Router() = default;
  /// What cannot be delivered is lost; that node may be this one.
  virtual void Send(const std::string& node, std::vector<Parcel> parcels) = 0;
  /// A server here has heard of a leader.
  virtual void OnLeader(const std::string& cluster, const std::string& node, Term term) = 0;
  virtual const std::string& node() const = 0;
};

}  // namespace duramen::server
