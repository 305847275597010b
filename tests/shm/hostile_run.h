// A WAL process, two clients that compare all that they write, and one that breaks every rule
// (hostile_client.cc), as processes of their own. Under a sanitizer all of them are built with it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace duramen::shm::testing {

struct HostileOptions {
  std::string host;  // the binaries
  std::string honest;
  std::string hostile;
  std::string directory;  // of the run, which removes it
  std::uint64_t seed = 1;
  double seconds = 3;
};

struct HostileRun {
  std::string wrong;  // empty: the WAL process stands, and nobody else noticed anything
  std::map<std::string, std::uint64_t> cut_off;  // how often, by reason
  std::uint64_t acknowledged = 0;                // operations of the honest clients
};

HostileRun RunHostile(const HostileOptions& options);

}  // namespace duramen::shm::testing
