#include "tools/exit_code.h"

namespace duramen::tools {

ExitCode ExitCodeOf(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kCorruption:
    case ErrorCode::kShortRead:
    case ErrorCode::kFaulty:
      return ExitCode::kDamage;
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kConfiguration:
    case ErrorCode::kTooLarge:
      return ExitCode::kUsage;
    case ErrorCode::kInUse:
      return ExitCode::kInUse;
    case ErrorCode::kDiskFull:
    case ErrorCode::kOverloaded:
      return ExitCode::kNoSpace;
    case ErrorCode::kUnknownVersion:
      return ExitCode::kUnknownVersion;
    case ErrorCode::kRefused:
      return ExitCode::kRefused;
    default:
      return ExitCode::kUnreadable;
  }
}

}  // namespace duramen::tools
