#include "duramen/result.h"

namespace duramen {
inline namespace v1 {

const char* ErrorCodeName(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kAlreadyExists:
      return "already_exists";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kCorruption:
      return "corruption";
    case ErrorCode::kShortRead:
      return "short_read";
    case ErrorCode::kUnknownVersion:
      return "unknown_version";
    case ErrorCode::kInUse:
      return "in_use";
    case ErrorCode::kPermission:
      return "permission";
    case ErrorCode::kDiskFull:
      return "disk_full";
    case ErrorCode::kWalDown:
      return "wal_down";
    case ErrorCode::kOverloaded:
      return "overloaded";
    case ErrorCode::kTooLarge:
      return "too_large";
    case ErrorCode::kGap:
      return "gap";
    case ErrorCode::kTermBelowPredecessor:
      return "term_below_predecessor";
    case ErrorCode::kFaulty:
      return "faulty";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kStaleRef:
      return "stale_ref";
    case ErrorCode::kConfiguration:
      return "configuration";
    case ErrorCode::kOutOfRange:
      return "out_of_range";
    case ErrorCode::kClosed:
      return "closed";
    case ErrorCode::kForked:
      return "forked";
    case ErrorCode::kRefused:
      return "refused";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kWrongWriter:
      return "wrong_writer";
    case ErrorCode::kNotLeader:
      return "not_leader";
    case ErrorCode::kMachineFailed:
      return "machine_failed";
  }
  return "unknown";  // A code of a newer release, cast from a number.
}

}  // namespace v1
}  // namespace duramen
