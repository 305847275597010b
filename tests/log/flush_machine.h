// What tests of the flush, and of what it leaves, do to a machine.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "tests/log/machine.h"

namespace duramen::log {

inline void UseSmallFiles(Machine& machine) {
  machine.options.wal_max_size_bytes = 32 << 10;
  machine.options.wal_max_files = 64;
}

/// Appends to `log` until `rounds` more generations are flushed.
inline void Flush(Machine& machine, LogRef log, std::uint64_t rounds = 1) {
  const std::uint64_t wanted = machine.Metric("flush_rounds") + rounds;
  const std::uint64_t writes_max = 30 + 20 * rounds;
  for (std::uint64_t i = 0; i < writes_max && machine.Metric("flush_rounds") < wanted; ++i) {
    const Index end = machine.store().BoundsOf(log)->end;
    machine.Write(log, end, 9, {std::string(3000, 'f')});
    machine.Settle();
  }
  ASSERT_GE(machine.Metric("flush_rounds"), wanted);
}

/// The path of the only, or the first, segment of the log with this uid.
inline std::string SegmentOf(const Machine& machine, const std::string& uid) {
  const std::string folder = "/data/servers/" + uid;
  return folder + "/" + machine.NamesIn(folder).at(0);
}

}  // namespace duramen::log
