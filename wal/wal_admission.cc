// What state the WAL is in, and what it therefore takes; see wal/wal.h.
#include "wal/wal.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kReserveFiles = 2;  // above max_files, for rows and marks [B1]

}  // namespace

/// What is left are the spares, which are not for entries [B4].
bool Wal::OutOfFiles() const {
  const std::optional<Error> failure = pool().failure();
  return failure && failure->code == ErrorCode::kDiskFull && pool().Exhausted();
}

void Wal::SetState(WalState state, const std::string& reason) {
  if (this->state() == state) return;
  {
    const std::lock_guard lock(mailbox_mutex_);
    state_reason_ = reason;
  }
  status_.state.store(state, std::memory_order_release);
  counters_.state.Set(static_cast<std::uint64_t>(state));
  if (state == WalState::kWaitingForFile) return;
  counters_.free_bytes.Set(pool().FreeBytes());
  const bool up = state == WalState::kUp;
  environment_.log.Write(up ? LogLevel::kInfo : LogLevel::kError, up ? "wal.up" : "wal.state",
                         up ? "the WAL writes again" : "the WAL cannot write",
                         {{"reason", reason}});
}

std::string Wal::state_reason() const {
  const std::lock_guard lock(mailbox_mutex_);
  return state_reason_;
}

void Wal::UpdateAdmission() {
  counters_.files.Set(files_.size());
  counters_.row_files_ready.Set(environment_.pool.row_files_ready());
  counters_.current_file.Set(current_.live.number);
  counters_.file_used_bytes.Set(current_.offset);
  counters_.file_size_bytes.Set(current_.live.size_bytes);
  const bool up =
      (state() == WalState::kUp || state() == WalState::kWaitingForFile) && !EntriesFull();
  const bool few = files_.size() <= options_.max_files || !FlushIsDue();
  status_.entries_admitted.store(up && few, std::memory_order_release);
  // Those in a row file hold none that has to be flushed.
  const bool rows = current_.rows_only || files_.size() <= options_.max_files + kReserveFiles;
  status_.rows_admitted.store(rows, std::memory_order_release);
}

/// A generation is closed and its files are not retired yet. With none, to refuse entries would be
/// for good: only a first batch closes the one that a start has found, where the last life ended
/// between its two checkpoints.
bool Wal::FlushIsDue() const {
  return environment_.sink == nullptr || closed_file_ > retired_upto_;
}

}  // namespace duramen::wal
