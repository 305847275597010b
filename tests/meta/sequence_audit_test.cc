#include "meta/sequence_audit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/rng.h"

namespace duramen::meta {
namespace {

using Ranges = std::vector<SequenceRange>;

// Rule B10: a row that was written and is in no batch read leaves a gap.
TEST(SequenceAudit, MD2_AMissingRowIsAGap) {
  const ServerUid uid{};
  SequenceAudit audit;
  EXPECT_EQ(audit.MissingRows(uid), Ranges{});
  for (const std::uint64_t sequence : {5u, 6u, 7u, 9u, 12u, 6u}) audit.Note(uid, sequence);
  EXPECT_EQ(audit.MissingRows(uid), (Ranges{{8, 8}, {10, 11}}));
  audit.Note(uid, 8);  // Its repeat, in the batch after.
  EXPECT_EQ(audit.MissingRows(uid), (Ranges{{10, 11}}));
}

TEST(SequenceAudit, MD2_ServersDoNotMix) {
  ServerUid other{};
  other.bytes[0] = 1;
  SequenceAudit audit;
  audit.Note({}, 1);
  audit.Note(other, 2);
  audit.Note({}, 3);
  EXPECT_EQ(audit.MissingRows(other), Ranges{});
  EXPECT_EQ(audit.MissingRows({}), (Ranges{{2, 2}}));
}

TEST(SequenceAudit, MD2_AnyOrderFindsTheSameGaps) {
  Rng rng(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint64_t> noted;
    Ranges expected;
    for (std::uint64_t sequence = 1; sequence <= 60; ++sequence) {
      if (sequence == 1 || sequence == 60 || !rng.OneIn(3)) {
        noted.push_back(sequence);
      } else if (!expected.empty() && expected.back().last + 1 == sequence) {
        expected.back().last = sequence;
      } else {
        expected.push_back({sequence, sequence});
      }
    }
    for (std::size_t i = noted.size(); i > 1; --i) std::swap(noted[i - 1], noted[rng.Below(i)]);
    SequenceAudit audit;
    for (const std::uint64_t sequence : noted) audit.Note({}, sequence);
    ASSERT_EQ(audit.MissingRows({}), expected);
  }
}

TEST(SequenceAudit, MD2_TheTopOfTheRangeDoesNotWrap) {
  SequenceAudit audit;
  for (const std::uint64_t sequence : {UINT64_MAX, UINT64_MAX - 2, UINT64_MAX}) {
    audit.Note({}, sequence);
  }
  EXPECT_EQ(audit.MissingRows({}), (Ranges{{UINT64_MAX - 1, UINT64_MAX - 1}}));
}

}  // namespace
}  // namespace duramen::meta
