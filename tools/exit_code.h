// What a verb of the command line ends with; scripts rely on these numbers.
#pragma once

#include "duramen/result.h"

namespace duramen::tools {

enum class ExitCode : int {
  kClean = 0,           // a torn tail alone is clean, and said so
  kDamage = 1,          // damage, or a check that failed
  kUsage = 2,           // the command line or the configuration
  kInUse = 3,           // the directory belongs to a running process
  kUnreadable = 4,      // not there, not permitted, an I/O error
  kNoSpace = 5,         // of the disk, or of the WAL's files
  kUnknownVersion = 6,  // written by a newer release
  kRefused = 7,         // needs explicit consent
  kInterrupted = 130,
};

ExitCode ExitCodeOf(ErrorCode code) noexcept;

}  // namespace duramen::tools
