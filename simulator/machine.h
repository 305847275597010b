// The machine of a simulated cluster: registers by key, and sets by key. It says of each command
// that it applies where it stood, so that no two members ever disagree unseen.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/replica.h"
#include "server/sessions.h"

namespace duramen::simulator {

enum class Act : std::uint8_t { kRead, kWrite, kCas, kAdd, kMembers };

struct Request {
  server::SessionMark mark;
  Act act = Act::kRead;
  std::uint64_t key = 0;
  std::int64_t value = 0;
  std::int64_t expected = 0;
};

struct Response {
  bool expired = false;                // the session no longer knows whether it ran
  bool swapped = false;                // of a cas
  std::optional<std::int64_t> value;   // of a read
  std::vector<std::int64_t> elements;  // of a set
};

std::vector<std::byte> Encode(const Request& request);
Request DecodeRequest(Bytes bytes);
std::string Encode(const Response& response);
Response DecodeResponse(std::string_view text);

class Machine final : public server::StateMachine {
 public:
  /// Hears of each application.
  class Witness {
   public:
    virtual ~Witness() = default;
    virtual void OnApply(const Machine& machine, core::LogEnd at, Bytes command) = 0;
  };
  Machine(std::uint32_t cluster, Witness& witness) : cluster_(cluster), witness_(witness) {}
  void Apply(const server::ApplyContext& context, std::span<const server::Committed> commands,
             std::span<server::Applied> answers) override;
  /// A read outside the log.
  Response Read(const Request& request) const;
  std::uint32_t cluster() const { return cluster_; }

 private:
  std::string Apply(core::LogEnd at, Bytes command);
  Response Execute(const Request& request);
  std::uint32_t cluster_;
  Witness& witness_;
  server::SessionTable sessions_;
  std::map<std::uint64_t, std::int64_t> registers_;
  std::map<std::uint64_t, std::set<std::int64_t>> sets_;
};

}  // namespace duramen::simulator
