#include "wal/file_pool.h"

#include <algorithm>
#include <cstring>

#include "base/planted.h"
#include "base/try.h"
#include "base/zeros.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kZeroChunkBytes = 1 << 20;
constexpr std::int64_t kZeroPauseNs = 4'000'000;      // between chunks: the WAL's syncs come first
constexpr std::int64_t kNoZeroPauseNs = 100'000'000;  // until it looks again
constexpr std::int64_t kRetryNs = 1'000'000'000;
constexpr std::uint64_t kExtraUsed =
    2;  // recycled files kept beyond the target, to save making new

}  // namespace

FilePool::FilePool(const FilePoolOptions& options, const Environment& environment)
    : directory_(environment.directory),
      executor_(environment.executor),
      clock_(environment.clock),
      options_(options),
      log_(environment.log),
      home_(options.home),
      next_number_(options.next_number) {}

std::int64_t FilePool::Step() {
  std::vector<std::uint64_t> remove;
  std::vector<std::uint64_t> aside;
  std::optional<Used> used;
  Stock stock = Stock::kNone;
  {
    const std::lock_guard lock(mutex_);
    remove.swap(remove_);
    aside.swap(aside_);
    if (!used_.empty()) {
      used = used_.front();
      used_.pop_front();
      stock = Lacking(used->size_bytes);
      renewing_row_ = stock == Stock::kRows;
      if (stock == Stock::kNone) {
        // Too many, of another setting or cut short: its space is worth more than the file.
        remove.push_back(used->number);
        used.reset();
      }
    } else {
      stock = Lacking(std::nullopt);
    }
  }
  const bool wanted = stock != Stock::kNone;
  if (!wanted && remove.empty() && aside.empty()) return ZeroNext();
  SetAside(aside);
  for (const std::uint64_t number : remove) {
    const Status removed = directory_.Remove(FileName(number));
    if (!removed.ok()) {
      log_.Write(LogLevel::kWarning, "wal.remove_failed", "a WAL file could not be deleted",
                 {{"file", FileName(number)}, {"error", removed.error().message}});
    }
  }
  if (!wanted) return kAgain;
  const bool row = stock == Stock::kRows;
  Result<PoolFile> made = Make(used, row ? options_.row_file_bytes : options_.file_size_bytes, row);
  const std::optional<Error> error = made.ok() ? std::nullopt : std::optional(made.error());
  OnMade(stock, used, std::move(made));
  if (waiter_ != nullptr) executor_.Wake(*waiter_);
  if (!error) return kAgain;
  log_.Write(LogLevel::kError, "wal.pool_failed", "no WAL file could be made ready",
             {{"error", error->message}});
  return clock_.NowNs() + kRetryNs;
}

/// Requires: the lock. First a spare, without which there is no start, and which the next start
/// gives back; then what votes go into, the other spare, and what is next. A used file is kept
/// beyond that, to save making a new one.
FilePool::Stock FilePool::Lacking(std::optional<std::uint64_t> used_bytes) const {
  const bool fits = !used_bytes || *used_bytes == options_.file_size_bytes;
  const bool fits_rows = !used_bytes || *used_bytes == options_.row_file_bytes;
  if (fits && ready_.empty()) return Stock::kReady;
  if (fits_rows && rows_.size() < options_.row_files) return Stock::kRows;
  if (fits && ready_.size() < target() + (used_bytes ? kExtraUsed : 0)) return Stock::kReady;
  return Stock::kNone;
}

void FilePool::OnMade(Stock stock, std::optional<Used> used, Result<PoolFile> made) {
  const std::lock_guard lock(mutex_);
  renewing_row_ = false;
  if (!made.ok()) {
    if (used && used->poisoned) {
      remove_.push_back(used->number);
    } else if (used) {
      used_.push_front(std::move(*used));  // Under the name that it has now; see Renew.
    }
    failure_ = std::move(made).error();
    return;
  }
  (stock == Stock::kRows ? rows_ : ready_).push_back(std::move(*made));
  // A file that was used before says nothing about space.
  if (!used || ready_.size() >= target()) failure_.reset();
}

void FilePool::Keep(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  keep_.insert(number);
}

/// Requires: the lock. Notes that the file has come in, if it is one of those.
bool FilePool::IsKept(std::uint64_t number) {
  if (!keep_.contains(number)) return false;
  aside_.push_back(number);
  return true;
}

/// Durable, because a start that finds the old name may find no damage in the chain any more and
/// recycle the file.
void FilePool::SetAside(std::span<const std::uint64_t> numbers) {
  if (numbers.empty()) return;
  Status status;
  for (const std::uint64_t number : numbers) {
    const Status renamed = directory_.Rename(FileName(number), KeptFileName(number));
    if (!renamed.ok()) status = renamed;
  }
  const Status synced = directory_.Sync();
  if (status.ok()) status = synced;
  if (status.ok()) return;
  log_.Write(LogLevel::kWarning, "wal.keep_failed",
             "a WAL file with damaged bytes could not be renamed for good",
             {{"error", status.error().message}});
}

std::optional<PoolFile> FilePool::Take(std::uint64_t kept, std::uint64_t above) {
  std::optional<PoolFile> taken;
  {
    const std::lock_guard lock(mutex_);
    kept = std::min(kept, options_.spare_files);
    if (ready_.size() <= kept) return std::nullopt;
    auto found = std::find_if(ready_.begin(), ready_.end(),
                              [&](const PoolFile& file) { return file.number > above; });
    const bool old = found == ready_.end();
    if (old) found = ready_.begin();
    if (found->number == zeroing_) return std::nullopt;
    taken = std::move(*found);
    ready_.erase(found);
    if (old) used_.push_front({taken->number, std::move(taken->file), taken->size_bytes});
    if (old) taken.reset();
  }
  if (!taken) executor_.Wake(*this);
  return taken;  // The WAL wakes the pool when its round is over: it may have recycled a file.
}

std::optional<PoolFile> FilePool::TakeRow() {
  const std::lock_guard lock(mutex_);
  if (rows_.empty()) return std::nullopt;
  PoolFile taken = std::move(rows_.front());
  rows_.pop_front();
  taken.rows_only = true;
  return taken;
}

Result<PoolFile> FilePool::NumberAbove(PoolFile taken, std::uint64_t above) {
  if (taken.number > above) return taken;
  Used used{taken.number, taken.file, taken.size_bytes};
  Result<PoolFile> renewed = Renew(used, NextNumber());
  if (renewed.ok()) {
    renewed->zeroed_bytes = taken.zeroed_bytes;
    renewed->rows_only = taken.rows_only;
    return renewed;
  }
  if (used.poisoned) {
    Remove(used.number);
  } else {
    Recycle(used.number, used.file, used.size_bytes);
  }
  return renewed;
}

void FilePool::Recycle(std::uint64_t number, std::shared_ptr<File> file, std::uint64_t size_bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (!IsKept(number)) used_.push_back({number, std::move(file), size_bytes});
  }
  executor_.Wake(*this);
}

void FilePool::Adopt(std::uint64_t number, std::uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  if (!IsKept(number)) used_.push_back({number, nullptr, size_bytes});
}

void FilePool::Remove(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    if (!IsKept(number)) remove_.push_back(number);
  }
  executor_.Wake(*this);
}

std::optional<FilePool::Used> FilePool::TakeUsed(std::uint64_t least_bytes,
                                                 std::uint64_t most_bytes) {
  const std::lock_guard lock(mutex_);
  const auto fits = std::find_if(used_.begin(), used_.end(), [&](const Used& candidate) {
    return candidate.size_bytes >= least_bytes && candidate.size_bytes <= most_bytes;
  });
  if (fits == used_.end()) return std::nullopt;
  Used used = *fits;
  used_.erase(fits);
  return used;
}

Result<PoolFile> FilePool::Now(std::uint64_t size_bytes, std::uint64_t least_bytes) {
  std::optional<Used> used = TakeUsed(size_bytes, size_bytes);
  Result<PoolFile> made = Make(used, size_bytes, false);
  if (!made.ok() && used && used->poisoned) {
    Remove(used->number);
    used.reset();
    made = Make(used, size_bytes, false);
  }
  if (made.ok() || made.error().code != ErrorCode::kDiskFull || used) return made;
  used = TakeUsed(least_bytes, UINT64_MAX);
  return used ? Make(used, used->size_bytes, false) : std::move(made);
}

Status FilePool::Prepare() {
  std::uint64_t row_files = 0;
  std::uint64_t others = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const Used& used : used_) {
      if (used.size_bytes == options_.row_file_bytes) ++row_files;
      if (used.size_bytes == options_.file_size_bytes) ++others;
    }
  }
  if (options_.row_file_bytes == options_.file_size_bytes) {
    row_files -= std::min(row_files, options_.spare_files);
    others = row_files > options_.row_files ? others - options_.row_files : row_files;
  }
  for (; row_files < options_.row_files; ++row_files) {
    std::optional<Used> none;
    Result<PoolFile> made = Make(none, options_.row_file_bytes, true);
    const Status status = made.ok() ? Status() : Status(made.error());
    OnMade(Stock::kRows, none, std::move(made));
    TRY(Status(status));
  }
  const std::uint64_t free_bytes = directory_.FreeBytes();
  if (others >= target() || free_bytes >= options_.file_size_bytes) return {};
  const std::lock_guard lock(mutex_);
  failure_ =
      Error{ErrorCode::kDiskFull,
            "'" + directory_.path() + "': " + std::to_string(free_bytes) +
                " bytes free, and a WAL file takes " + std::to_string(options_.file_size_bytes),
            ""};
  return {};
}

Result<PoolFile> FilePool::Make(std::optional<Used>& used, std::uint64_t size_bytes,
                                bool zero_all) {
  const std::uint64_t number = NextNumber();
  if (used) return Renew(*used, number);
  // Only the front is zeroed here: a first start need not wait for all of it. A row file is written
  // whole, because what has been written once can be written again when nothing is free.
  const std::uint64_t zeroed = zero_all ? size_bytes : std::min(size_bytes, kZeroChunkBytes);
  PoolFile made{.number = number,
                .file = nullptr,
                .size_bytes = size_bytes,
                .zeroed_bytes = zeroed,
                .place = place()};
  made.file = TRY(directory_.Create(FileName(number)));
  Status ready = made.file->Allocate(size_bytes);
  if (ready.ok()) ready = Zero(*made.file, made.zeroed_bytes);
  if (ready.ok()) ready = made.file->SyncAll();
  if (ready.ok() && !Planted(PlantedBug::kNoDirectorySync)) ready = directory_.Sync();
  if (ready.ok()) return made;
  // A half-made file must not be left to eat space: the next try makes another one.
  made.file.reset();
  (void)directory_.Remove(FileName(number));
  return std::move(ready).error();
}

Status FilePool::Zero(File& file, std::uint64_t size_bytes) {
  const std::vector<std::byte> zeros(std::min(size_bytes, kZeroChunkBytes));
  for (std::uint64_t at = 0; at < size_bytes; at += zeros.size()) {
    const std::uint64_t bytes = std::min<std::uint64_t>(zeros.size(), size_bytes - at);
    TRY(file.Write(at, std::span(zeros).first(bytes)));
  }
  return {};
}

Result<PoolFile> FilePool::Renew(Used& used, std::uint64_t number) {
  PoolFile renewed{.number = number,
                   .file = used.file,
                   .size_bytes = used.size_bytes,
                   .zeroed_bytes = used.size_bytes,
                   .place = place()};
  TRY(directory_.Rename(FileName(used.number), FileName(number)));
  used.number = number;  // What is tried again after a failure below is the file of this name.
  if (!renewed.file) {
    renewed.file = TRY(directory_.Open(FileName(number), OpenFor::kReadWrite));
  }
  // Of a start that was killed, or of method `none`, dirty pages may be left; written back later
  // they would lie over direct writes [C6].
  const Status clean = renewed.file->SyncData();
  if (!clean.ok()) {
    used.poisoned = true;
    return clean.error();
  }
  if (!Planted(PlantedBug::kNoDirectorySync)) TRY(directory_.Sync());
  return renewed;
}

/// Blocks that have never been written cost a journal commit at their first sync, so the file that
/// comes next is written once here, in pieces, where nobody waits. What is missing when it is taken
/// the WAL zeroes ahead of itself.
std::int64_t FilePool::ZeroNext() {
  PoolFile next;
  {
    const std::lock_guard lock(mutex_);
    if (ready_.empty() || ready_.front().zeroed_bytes >= ready_.front().size_bytes) return kIdle;
    if (!zeroes_.load(std::memory_order_relaxed)) return clock_.NowNs() + kNoZeroPauseNs;
    next = ready_.front();
    zeroing_ = next.number;  // Not handed out meanwhile.
  }
  const std::uint64_t size = std::min(kZeroChunkBytes, next.size_bytes - next.zeroed_bytes);
  const Status zeroed = ZeroChunk(next, size);
  {
    const std::lock_guard lock(mutex_);
    zeroing_ = 0;
    // A file that cannot be zeroed is left as it is; who takes it finds out what is wrong with it.
    ready_.front().zeroed_bytes = zeroed.ok() ? next.zeroed_bytes + size : next.size_bytes;
  }
  if (waiter_ != nullptr) executor_.Wake(*waiter_);
  return clock_.NowNs() + kZeroPauseNs;
}

Status FilePool::ZeroChunk(const PoolFile& file, std::uint64_t size) {
  const Bytes chunk = ZeroBytes(size);
  if (direct_.load()) {
    const std::unique_ptr<File> direct =
        TRY(directory_.Open(FileName(file.number), OpenFor::kDirect));
    return direct->WriteDurable(file.zeroed_bytes, chunk);
  }
  TRY(file.file->Write(file.zeroed_bytes, chunk));
  return file.file->SyncData();
}

std::optional<Error> FilePool::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::uint64_t FilePool::ready() const {
  const std::lock_guard lock(mutex_);
  return ready_.size();
}

bool FilePool::RowFileComing() const {
  const std::lock_guard lock(mutex_);
  if (renewing_row_) return true;
  return rows_.size() < options_.row_files &&
         std::any_of(used_.begin(), used_.end(),
                     [&](const Used& used) { return used.size_bytes == options_.row_file_bytes; });
}

std::uint64_t FilePool::row_files_ready() const {
  const std::lock_guard lock(mutex_);
  return rows_.size();
}

bool FilePool::Exhausted() const { return ready() <= options_.spare_files; }

std::uint64_t FilePool::next_number() const { return next_number_.load(); }

}  // namespace duramen::wal
