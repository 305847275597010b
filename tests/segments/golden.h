// What the golden segments of format version 1 and 2 hold. Never to change; a new version gets its
// own.
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

/// Version 2: compressed runs, and one that is not.
inline Server GoldenCompressedServer() {
  Server server({.compression = Compression::kZstd}, 20261122);
  SegmentWriter writer = server.NewWriter();
  server.PutSparse(writer, 3, Entries(5, 19, 1, 40));
  server.Put(writer, 100, 3, Entries(100, 60, 2, 40));
  server.Put(writer, 159, 4, Batch().Add(159, 3, "of a lower index, and too small"));
  server.Commit(writer);
  return server;
}

}  // namespace duramen::segments::testing
