// What can be read of a specimen by a list of its segments, and what a check of them says.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/bytes.h"
#include "segments/reader.h"
#include "segments/scan.h"
#include "tests/segments/specimen.h"

namespace duramen::segments::testing {

inline VerifyResult Verify(const Server& server, const SegmentList& list) {
  return VerifyServer({.directory = server.directory, .identity = Identity()}, list).value();
}

/// Of the model; those that can be read must be what was appended.
inline std::set<Index> Unreadable(const Server& server, const SegmentList& list) {
  OpenFiles files(server.directory);
  std::set<Index> unreadable;
  for (const auto& [index, expected] : server.model) {
    ReadEntries read;
    const ReadPlan plan = PlanRange(list, Identity(), {index, index + 1}, 1);
    if (!ExecutePlan(plan, files, read).ok()) {
      unreadable.insert(index);
      continue;
    }
    EXPECT_EQ(std::string(AsText(read.entries[0].payload)), expected.payload) << index;
    EXPECT_EQ(read.entries[0].term, expected.term) << index;
  }
  return unreadable;
}

}  // namespace duramen::segments::testing
