#include "server/observation.h"

#include <algorithm>
#include <utility>

namespace duramen::server {

Observation::Observation(std::shared_ptr<Observer> observer, const MachineInit& server)
    : observer_(std::move(observer)), cluster_(server.cluster), node_(server.node) {}

Observed Observation::SeenWith(const Machine& machine, Term term) const {
  return {.cluster = cluster_, .node = node_, .term = term, .machine = machine};
}

template <typename Call>
void Observation::Guarded(Call call) {
  try {
    call();
  } catch (...) {
    ++failures_;
  }
}

void Observation::Lead(const Machine& machine, Term term, const core::Configuration& members) {
  if (leads_ == term) return;
  leads_ = term;
  settled_.reset();
  members_ = members.members;
  Guarded([&] { observer_->OnElected(SeenWith(machine, term)); });
}

void Observation::Committed(const Machine& machine, std::span<const Command> commands,
                            std::span<const std::string_view> answers) {
  Guarded([&] { observer_->OnCommitted(SeenWith(machine, leads_), commands, answers); });
}

void Observation::Answered(const Machine& machine, Bytes query, std::string_view answer) {
  if (leads_ == 0) return;
  Guarded([&] { observer_->OnAnswered(SeenWith(machine, leads_), query, answer); });
}

void Observation::After(const Machine& machine, const Replica& replica) {
  const core::Core& core = replica.core();
  if (!started_ && replica.replayed()) {
    started_ = true;
    const Index applied = replica.applied();
    const bool restored = core.log().last().index > 0;
    if (restored)
      Guarded([&] { observer_->OnRestored(SeenWith(machine, core.term()), applied); });
  }
  const auto* leader = std::get_if<core::Leader>(&core.role());
  if (leader == nullptr) {
    leads_ = 0;
    return;
  }
  if (replica.applied() < leader->own_first) return;
  const core::SpecialHistory& specials = core.specials();
  Lead(machine, core.term(), specials.ConfigurationAt(leader->own_first));
  const Index newest = specials.configuration_index();
  if (settled_ == newest) return;
  TellMembers(machine, specials.ConfigurationAt(replica.applied()));
  if (newest <= replica.applied()) settled_ = newest;
}

/// Who gets a vote is the member that it was.
void Observation::TellMembers(const Machine& machine, const core::Configuration& members) {
  const std::vector<core::Member> before = std::exchange(members_, members.members);
  const auto in = [](const std::vector<core::Member>& list, const core::Member& one) {
    return std::ranges::find(list, one.uid, &core::Member::uid) != list.end();
  };
  for (const core::Member& member : members_) {
    if (in(before, member)) continue;
    Guarded([&] { observer_->OnMemberAdded(SeenWith(machine, leads_), member.node); });
  }
  for (const core::Member& member : before) {
    if (in(members_, member)) continue;
    Guarded([&] { observer_->OnMemberRemoved(SeenWith(machine, leads_), member.node); });
  }
}

}  // namespace duramen::server
