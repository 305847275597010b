// What the measurements of `duramen tune` come to: the lines of a configuration. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bare_disk.h"
#include "tools/honesty.h"

namespace duramen::tools {

/// One method at one depth, on one layout, with writes of one size.
struct TunedCell {
  SyncMethod method = SyncMethod::kDatasync;
  std::uint32_t depth = 1;
  DiskLayout layout = DiskLayout::kZeroFilled;
  std::uint64_t bytes = 0;  // of a write
  std::uint64_t operations = 0;
  double operations_per_s = 0;
  double max_us = 0;
};

struct AdvisedSetting {
  std::string_view name;
  std::string_view reason_name;  // for programs
  std::string value;
  std::string reason;  // one line
  bool is_text = false;
};

/// The settings, in the order in which they are to be said; none where no method is worth one.
/// `dishonest` are left out. Only what is zero-filled counts: so are the files of the WAL.
std::vector<AdvisedSetting> Advise(std::span<const TunedCell> cells,
                                   std::span<const SyncMethod> dishonest);

/// "datasync", "dsync".
std::string MethodName(SyncMethod method);

}  // namespace duramen::tools
