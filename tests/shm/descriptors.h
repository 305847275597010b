// How many descriptors this process has open: what a call took and did not give back.
#pragma once

#include <filesystem>
#include <iterator>
#include <string>

#include "base/descriptor.h"

namespace duramen::shm::testing {

inline std::ptrdiff_t OpenDescriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

}  // namespace duramen::shm::testing
