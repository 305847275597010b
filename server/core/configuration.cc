#include "server/core/configuration.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace duramen::core {
namespace {

bool ByUid(const Member& member, const ServerUid& uid) { return member.uid < uid; }

}  // namespace

const Member* Configuration::Find(const ServerUid& uid) const {
  const auto at = std::lower_bound(members.begin(), members.end(), uid, ByUid);
  return at != members.end() && at->uid == uid ? &*at : nullptr;
}

bool Configuration::IsVoter(const ServerUid& uid) const {
  const Member* member = Find(uid);
  return member != nullptr && member->role == MemberRole::kVoter;
}

std::size_t Configuration::voters() const {
  return static_cast<std::size_t>(
      std::count_if(members.begin(), members.end(),
                    [](const Member& member) { return member.role == MemberRole::kVoter; }));
}

bool Configuration::IsValid() const {
  if (members.empty() || members.size() > kMembersMax || voters() == 0) return false;
  if (members.front().uid.is_nil()) return false;
  for (std::size_t at = 0; at < members.size(); ++at) {
    if (members[at].role > MemberRole::kNonVoter) return false;
    if (members[at].node.size() > kNodeNameBytesMax) return false;
    if (at > 0 && !(members[at - 1].uid < members[at].uid)) return false;
  }
  return true;
}

Configuration Configuration::With(Member member) const {
  Configuration changed = Without(member.uid);
  const auto at =
      std::lower_bound(changed.members.begin(), changed.members.end(), member.uid, ByUid);
  changed.members.insert(at, std::move(member));
  return changed;
}

Configuration Configuration::Without(const ServerUid& uid) const {
  Configuration changed = *this;
  std::erase_if(changed.members, [&](const Member& member) { return member.uid == uid; });
  return changed;
}

const Configuration& SpecialHistory::configuration() const {
  for (auto at = entries_.rbegin(); at != entries_.rend(); ++at) {
    if (at->configuration) return *at->configuration;
  }
  CHECK(base_.configuration);
  return *base_.configuration;
}

Index SpecialHistory::configuration_index() const {
  for (auto at = entries_.rbegin(); at != entries_.rend(); ++at) {
    if (at->configuration) return at->index;
  }
  return base_.index;
}

const Configuration& SpecialHistory::ConfigurationAt(Index index) const {
  for (auto at = entries_.rbegin(); at != entries_.rend(); ++at) {
    if (at->index <= index && at->configuration) return *at->configuration;
  }
  CHECK(base_.configuration);
  return *base_.configuration;
}

std::uint32_t SpecialHistory::MachineVersionAt(Index index) const {
  for (auto at = entries_.rbegin(); at != entries_.rend(); ++at) {
    if (at->index <= index && !at->configuration) return at->machine_version;
  }
  return base_.machine_version;
}

std::optional<Index> SpecialHistory::FirstAbove(std::uint32_t known, Index applied) const {
  for (const SpecialEntry& entry : entries_) {
    if (entry.index > applied && !entry.configuration && entry.machine_version > known) {
      return entry.index;
    }
  }
  return std::nullopt;
}

void SpecialHistory::Append(SpecialEntry entry) {
  CHECK(entry.index > (entries_.empty() ? base_.index : entries_.back().index));
  entries_.push_back(std::move(entry));
}

void SpecialHistory::CutFrom(Index new_end) {
  if (Planted(PlantedBug::kChangeNotReverted) && !entries_.empty() &&
      entries_.back().index >= new_end) {
    base_.configuration = configuration();
    std::erase_if(entries_,
                  [](const SpecialEntry& entry) { return entry.configuration.has_value(); });
  }
  while (!entries_.empty() && entries_.back().index >= new_end) entries_.pop_back();
}

void SpecialHistory::FoldUpTo(Index index) {
  std::size_t folded = 0;
  for (; folded < entries_.size() && entries_[folded].index <= index; ++folded) {
    SpecialEntry& entry = entries_[folded];
    if (entry.configuration) {
      base_.configuration = std::move(entry.configuration);
      base_.index = entry.index;
    } else {
      base_.machine_version = entry.machine_version;
    }
  }
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(folded));
}

std::vector<SpecialEntry> SpecialHistory::Within(IndexRange range) const {
  std::vector<SpecialEntry> found;
  for (const SpecialEntry& entry : entries_) {
    if (range.Contains(entry.index)) found.push_back(entry);
  }
  return found;
}

}  // namespace duramen::core
