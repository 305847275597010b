// One core brought into a role by what really brings a core there, and one sane message of each
// kind to try on it.
#pragma once

#include <memory>
#include <string>

#include "server/core/core.h"

namespace duramen::core {

inline constexpr ClusterId kSceneCluster = 7;

/// Server 1 of three, all voters. Its log is 1..2@1 3..4@3, committed up to 2; its term is 5, and 6
/// once it has campaigned. Nobody has been heard for longer than an election timeout, so that
/// stickiness does not answer in the table's place.
class Scene {
 public:
  /// `learner`: server 4 is a member too, without a vote.
  explicit Scene(RoleKind role, bool learner = false);

  Core& core() { return *core_; }
  Effects Step(EventBody body);
  /// Term and index, so to speak: all that a message can change, as one line.
  std::string Fingerprint() const;
  /// The same without what time does.
  std::string Standing() const;

  /// From a member for whom it makes sense, with a term as far from the core's as `relation` says.
  Message Sane(std::size_t kind, TermRelation relation) const;
  static ServerUid Uid(int id);

 private:
  void Follow();
  void Campaign(bool to_the_end);
  void Lead();
  Message From(int id, Term term, MessageBody body) const;

  std::unique_ptr<Core> core_;
  Microseconds now_ = 0;
  std::uint64_t token_ = 0;     // of the round of pre-votes
  std::uint64_t transfer_ = 0;  // of the snapshot that server 2 is sent
};

/// That nothing at all is asked for.
bool IsNothing(const Effects& effects);
/// The kind that answers `kind`, if any does.
std::optional<std::size_t> AnswerTo(std::size_t kind);

}  // namespace duramen::core
