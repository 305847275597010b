// What `demo` shows at its end: the store verifies, and a copy of it that was damaged on purpose is
// found out, repaired, and put back.
#pragma once

#include <cstdint>
#include <string>

#include "duramen/result.h"

namespace duramen::tools {

struct DemoRepair {
  bool good = false;
  std::string sentence;  // what happened, or what did not
};

/// `data_dir` is only read; `copy_dir` is made. `seed` chooses the byte. Errors: kIo, kNotFound
/// (nothing in the store is worth a damage).
Result<DemoRepair> ShowRepair(const std::string& data_dir, const std::string& copy_dir,
                              std::uint64_t seed);

}  // namespace duramen::tools
