// One run of the kill matrix: a WAL process, a client and a bystander as processes of their own.
// Client and WAL process kill themselves at numbered steps (base/kill_step.h), who is dead is
// started again, and at the end all that was acknowledged is compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/kill_step.h"

namespace duramen::shm::testing {

struct Kill {
  KillStep step = KillStep::kCount;
  unsigned pass = 1;
};

struct KillRunOptions {
  std::string duramen;  // the binaries
  std::string client;
  std::string directory;  // of the run, which removes it
  /// Two of one side: in lives that follow each other, in this order.
  std::vector<Kill> kills;
  std::uint64_t seed = 1;
};

/// What was wrong, or "". A step that was not reached is.
std::string RunKills(const KillRunOptions& options);

}  // namespace duramen::shm::testing
