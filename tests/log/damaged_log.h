// A disk with a log that lost an acknowledged entry, for tests of what becomes of it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/bytes.h"
#include "tests/log/machine.h"

namespace duramen::log {

/// "a" has lost its third entry of five; "b" is whole.
inline sim::DiskState DamagedLog(std::string& uid) {
  Machine machine;
  machine.Start();
  const LogRef a = machine.Log("a");
  machine.Write(a, 1, 1, {"a1", "a2", "a-third", "a4"});
  EXPECT_TRUE(machine.Wait(machine.writer().PutVote(a, 3, "n1").value()).ok());
  machine.Write(machine.Log("b"), 1, 2, {"b1", "b2"});
  machine.Write(a, 5, 3, {"a5"});
  machine.Idle();
  uid = machine.UidOf("a");
  EXPECT_TRUE(machine.Close().ok());
  for (const std::string& name : machine.WalFiles()) {
    const std::string path = "/data/wal/" + name;
    const std::vector<std::byte> bytes = machine.FileBytes(path);
    const std::size_t at = AsText(bytes).find("a-third");
    if (at != std::string_view::npos) machine.Rot(path, at);
  }
  return machine.disk().disk();
}

}  // namespace duramen::log
