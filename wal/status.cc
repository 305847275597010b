#include "wal/status.h"

namespace duramen::wal {

std::optional<ErrorCode> WalStatus::RefusesEntries() const {
  if (entries_admitted.load(std::memory_order_acquire)) return std::nullopt;
  switch (state.load(std::memory_order_acquire)) {
    case WalState::kDown:
      return ErrorCode::kWalDown;
    case WalState::kDiskFull:
      return ErrorCode::kDiskFull;
    default:
      return ErrorCode::kOverloaded;
  }
}

std::optional<ErrorCode> WalStatus::RefusesRows() const {
  if (const auto refused = RefusesMarks()) return refused;
  if (rows_admitted.load(std::memory_order_acquire)) return std::nullopt;
  return ErrorCode::kOverloaded;
}

std::optional<ErrorCode> WalStatus::RefusesMarks() const {
  const WalState now = state.load(std::memory_order_acquire);
  if (now == WalState::kDown) return ErrorCode::kWalDown;
  if (now == WalState::kDiskFull && blocked.load(std::memory_order_acquire)) {
    return ErrorCode::kDiskFull;
  }
  return std::nullopt;
}

}  // namespace duramen::wal
