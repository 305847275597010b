#include "server/sessions.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"

namespace duramen::server {

SessionTable::Finding SessionTable::Find(const SessionMark& mark, Index index) {
  auto at = sessions_.find(mark.client);
  if (at == sessions_.end()) {
    // One that was forgotten may have executed anything.
    if (mark.client <= forgotten_upto_) return {Standing::kExpired, ""};
    if (sessions_.size() == kClientsMax) {
      const auto oldest = std::min_element(
          sessions_.begin(), sessions_.end(),
          [](const auto& a, const auto& b) { return a.second.used_at < b.second.used_at; });
      forgotten_upto_ = std::max(forgotten_upto_, oldest->first);
      sessions_.erase(oldest);
    }
    at = sessions_.try_emplace(mark.client).first;
  }
  Session& session = at->second;
  session.used_at = index;
  session.acknowledged = std::max(session.acknowledged, mark.acknowledged);
  session.answers.erase(session.answers.begin(), session.answers.upper_bound(session.acknowledged));
  if (Planted(PlantedBug::kSessionByHighest) && !session.answers.empty() &&
      mark.sequence <= session.answers.rbegin()->first) {
    return {Standing::kExecuted, session.answers.rbegin()->second};
  }
  const auto kept = session.answers.find(mark.sequence);
  if (Planted(PlantedBug::kRetryRunsAgain) && kept != session.answers.end()) {
    session.answers.erase(kept);
    return {Standing::kNew, ""};
  }
  if (kept != session.answers.end()) return {Standing::kExecuted, kept->second};
  if (mark.sequence <= session.acknowledged || mark.sequence > session.acknowledged + kWindow) {
    return {Standing::kExpired, ""};
  }
  return {Standing::kNew, ""};
}

void SessionTable::Record(const SessionMark& mark, std::string answer) {
  const auto at = sessions_.find(mark.client);
  CHECK(at != sessions_.end() && mark.sequence > at->second.acknowledged);
  const bool first = at->second.answers.emplace(mark.sequence, std::move(answer)).second;
  CHECK(first);
}

void SessionTable::Amend(const SessionMark& mark, std::string answer) {
  const auto at = sessions_.find(mark.client);
  if (at == sessions_.end()) return;
  const auto kept = at->second.answers.find(mark.sequence);
  if (kept != at->second.answers.end()) kept->second = std::move(answer);
}

}  // namespace duramen::server
