// An observer's side of one server: what it is told, when, and once.
//
// Owned by the server's HostedMachine, in the server's thread; there is none where the system has
// no observer. What stays true: nothing is told of a term before OnElected, and nothing of it once
// the server has seen that it leads no more; what an observer throws stays here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/machine.h"
#include "server/replica.h"

namespace duramen::server {

class Observation {
 public:
  Observation(std::shared_ptr<Observer> observer, const MachineInit& server);

  /// This server leads `term`; `members` are those that it begins with. Again: nothing.
  void Lead(const Machine& machine, Term term, const core::Configuration& members);
  /// Of the term that it leads.
  void Committed(const Machine& machine, std::span<const Command> commands,
                 std::span<const std::string_view> answers);
  /// Nothing if it does not lead.
  void Answered(const Machine& machine, Bytes query, std::string_view answer);
  /// After each step: what has become of its role and its members.
  void After(const Machine& machine, const Replica& replica);

  std::uint64_t failures() const { return failures_; }

 private:
  Observed SeenWith(const Machine& machine, Term term) const;
  void TellMembers(const Machine& machine, const core::Configuration& members);
  /// What it throws is counted.
  template <typename Call>
  void Guarded(Call call);

  std::shared_ptr<Observer> observer_;  // A call that was left may outlive the system.
  std::string cluster_;
  std::string node_;
  bool started_ = false;
  Term leads_ = 0;  // that term; 0: none
  std::optional<Index> settled_;  // the configuration of that place is told
  std::vector<core::Member> members_;  // that the observer knows of
  std::uint64_t failures_ = 0;
};

}  // namespace duramen::server
