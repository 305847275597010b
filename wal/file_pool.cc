#include "wal/file_pool.h"

#include <algorithm>
#include <cstring>

#include "base/aligned.h"
#include "base/planted.h"
#include "base/try.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kZeroChunkBytes = 1 << 20;
constexpr std::int64_t kZeroPauseNs = 4'000'000;  // between chunks: the WAL's syncs come first
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
      next_number_(options.next_number) {}

std::int64_t FilePool::Step() {
  std::vector<std::uint64_t> remove;
  std::vector<std::uint64_t> aside;
  std::optional<Used> used;
  bool wanted = false;
  {
    const std::lock_guard lock(mutex_);
    remove.swap(remove_);
    aside.swap(aside_);
    const bool room_for_used = ready_.size() < target() + kExtraUsed;
    if (!used_.empty()) {
      used = used_.front();
      used_.pop_front();
      if (!room_for_used) {
        remove.push_back(used->number);
        used.reset();
      }
    }
    wanted = used || ready_.size() < target();
  }
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
  if (used && used->size_bytes != options_.file_size_bytes) {
    // Of another setting or cut short: its space is worth more than the file.
    (void)directory_.Remove(FileName(used->number));
    return kAgain;
  }
  Result<PoolFile> made = Make(used, options_.file_size_bytes);
  {
    const std::lock_guard lock(mutex_);
    if (made.ok()) {
      failure_.reset();
      ready_.push_back(std::move(*made));
    } else {
      if (used) used_.push_front(*used);  // Under the name that it has now; see Renew.
      failure_ = made.error();
    }
  }
  if (waiter_ != nullptr) executor_.Wake(*waiter_);
  if (made.ok()) return kAgain;
  log_.Write(LogLevel::kError, "wal.pool_failed", "no WAL file could be made ready",
             {{"error", made.error().message}});
  return clock_.NowNs() + kRetryNs;
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

std::optional<PoolFile> FilePool::Take(std::uint64_t kept) {
  std::optional<PoolFile> taken;
  {
    const std::lock_guard lock(mutex_);
    kept = std::min(kept, options_.spare_files);
    if (ready_.size() > kept && ready_.front().number != zeroing_) {
      taken = std::move(ready_.front());
      ready_.pop_front();
    }
  }
  return taken;  // The WAL wakes the pool when its round is over: it may have recycled a file.
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

Result<PoolFile> FilePool::Now(std::uint64_t size_bytes) {
  std::optional<Used> used;
  {
    const std::lock_guard lock(mutex_);
    const auto fits = std::find_if(used_.begin(), used_.end(), [&](const Used& candidate) {
      return candidate.size_bytes == size_bytes;
    });
    if (fits != used_.end()) {
      used = *fits;
      used_.erase(fits);
    }
  }
  return Make(used, size_bytes);
}

Result<PoolFile> FilePool::Make(std::optional<Used>& used, std::uint64_t size_bytes) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = next_number_++;
  }
  if (used) return Renew(*used, number);
  // Only the front is zeroed here: a first start need not wait for all of it.
  PoolFile made{number, nullptr, size_bytes, std::min(size_bytes, kZeroChunkBytes)};
  made.file = TRY(directory_.Create(FileName(number)));
  Status ready = made.file->Allocate(size_bytes);
  if (ready.ok()) ready = made.file->Write(0, std::vector<std::byte>(made.zeroed_bytes));
  if (ready.ok()) ready = made.file->SyncAll();
  if (ready.ok() && !Planted(PlantedBug::kNoDirectorySync)) ready = directory_.Sync();
  if (ready.ok()) return made;
  // A half-made file must not be left to eat space: the next try makes another one.
  made.file.reset();
  (void)directory_.Remove(FileName(number));
  return std::move(ready).error();
}

Result<PoolFile> FilePool::Renew(Used& used, std::uint64_t number) {
  PoolFile renewed{number, used.file, used.size_bytes, used.size_bytes};
  TRY(directory_.Rename(FileName(used.number), FileName(number)));
  used.number = number;  // What is tried again after a failure below is the file of this name.
  if (!renewed.file) {
    renewed.file = TRY(directory_.Open(FileName(number), OpenFor::kReadWrite));
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
  const AlignedBytes zeros = MakeAligned(size);
  std::memset(zeros.get(), 0, size);
  const Bytes chunk(zeros.get(), size);
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

bool FilePool::Exhausted() const { return ready() <= options_.spare_files; }

std::uint64_t FilePool::next_number() const {
  const std::lock_guard lock(mutex_);
  return next_number_;
}

}  // namespace duramen::wal
