// What tests of the flush do to a machine, and look at.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/log/machine.h"

namespace duramen::log {

inline void UseSmallFiles(Machine& machine) {
  machine.options.wal_max_size_bytes = 32 << 10;
  machine.options.wal_max_files = 64;
}

/// Appends to `log` until one more generation is flushed.
inline void Flush(Machine& machine, LogRef log) {
  const std::uint64_t before = machine.Metric("flush_rounds");
  for (int i = 0; i < 50 && machine.Metric("flush_rounds") == before; ++i) {
    const Index end = machine.store().BoundsOf(log)->end;
    machine.Write(log, end, 9, {std::string(3000, 'f')});
    machine.Settle();
  }
  ASSERT_GT(machine.Metric("flush_rounds"), before);
}

inline std::vector<std::string> NamesIn(Machine& machine, const std::string& path) {
  const sim::Image& image = machine.disk().disk().visible();
  const sim::Node node = image.FindPath(path);
  std::vector<std::string> names;
  if (node == 0) return names;
  for (const auto& [name, child] : image.entries(node)) names.push_back(name);
  return names;
}

inline std::string UidOf(Machine& machine, const std::string& name) {
  for (const LogInfo& info : machine.store().Logs()) {
    if (info.name == name) return info.uid;
  }
  return "";
}

inline bool Faulty(Machine& machine, const std::string& name) {
  for (const LogInfo& info : machine.store().Logs()) {
    if (info.name == name) return info.faulty;
  }
  return false;
}

}  // namespace duramen::log
