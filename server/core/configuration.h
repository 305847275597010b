// Who belongs to a cluster: the members of one configuration, and the history of configurations
// that a log holds, of which the newest counts from the moment it is appended (dissertation §4.1).
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"

namespace duramen::core {

/// Only voters vote, lead and count. A promotable member becomes a voter once it has the entry at
/// `promote_at`; a non-voter stays one [EL10].
enum class MemberRole : std::uint8_t { kVoter, kPromotable, kNonVoter };

struct Member {
  ServerUid uid;  // of one incarnation: who lost its disk comes back as somebody else [A15]
  MemberRole role = MemberRole::kVoter;
  Index promote_at = 0;
  std::string node;  // where to reach it; the core passes it on and never looks
  friend bool operator==(const Member&, const Member&) = default;
};

inline constexpr std::size_t kMembersMax = 64;
inline constexpr std::size_t kNodeNameBytesMax = 1024;

struct Configuration {
  std::vector<Member> members;  // by uid, each once

  const Member* Find(const ServerUid& uid) const;
  bool IsVoter(const ServerUid& uid) const;
  std::size_t voters() const;
  /// Sorted, each uid once, at most kMembersMax, at least one voter, no nil uid, no long name.
  bool IsValid() const;
  /// This with `member` put in, or in the place of the one with its uid.
  Configuration With(Member member) const;
  Configuration Without(const ServerUid& uid) const;
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// What an entry says that the core itself must understand; all others are commands to it.
struct SpecialEntry {
  Index index = 0;
  std::optional<Configuration> configuration;  // a change of members, or
  std::uint32_t machine_version =
      0;  // the no-op that opens a term, or raises the version [EL8, SM8]
  friend bool operator==(const SpecialEntry&, const SpecialEntry&) = default;
};

/// Configurations and machine versions of a log, oldest first. A truncation reverts to what was
/// before, however many changes it takes away [C11, ME10].
class SpecialHistory {
 public:
  SpecialHistory() = default;
  /// `base` is what holds before the first entry of the log: the bootstrap's, or the snapshot's.
  explicit SpecialHistory(SpecialEntry base) : base_(std::move(base)) {}

  const Configuration& configuration() const;
  /// Where it stands in the log; the base's own index if no entry changed it.
  Index configuration_index() const;
  /// The configuration that held at `index`.
  const Configuration& ConfigurationAt(Index index) const;
  /// The machine version that entries behind `index` are applied with.
  std::uint32_t MachineVersionAt(Index index) const;
  /// The first entry behind `applied` that asks for more than `known`; nothing if none does.
  std::optional<Index> FirstAbove(std::uint32_t known, Index applied) const;
  void Append(SpecialEntry entry);
  void CutFrom(Index new_end);
  /// Entries up to `index` are folded into the base.
  void FoldUpTo(Index index);
  void Reset(SpecialEntry base) { *this = SpecialHistory(std::move(base)); }
  /// Those of [begin, end), as they travel with the entries.
  std::vector<SpecialEntry> Within(IndexRange range) const;
  std::size_t size() const { return entries_.size(); }

 private:
  SpecialEntry base_;
  std::vector<SpecialEntry> entries_;  // by index
};

}  // namespace duramen::core
