// What the golden segment of format version 1 holds. Never to change; a new version gets its own.
#pragma once

#include "tests/segments/specimen.h"

namespace duramen::segments::testing {

inline Server GoldenServer() {
  Server server({}, 20260101);
  SegmentWriter writer = server.NewWriter();
  server.PutSparse(writer, 3, Batch().Add(2, 1, "two").Add(5, 1, ""));
  server.Put(writer, 9, 3, Batch().Add(9, 2, "nine").Add(10, 2, "ten, padded").Add(11, 4, "x"));
  server.Put(writer, 11, 4, Batch().Add(11, 3, "eleven, of a lower term"));
  server.Commit(writer);
  return server;
}

}  // namespace duramen::segments::testing
