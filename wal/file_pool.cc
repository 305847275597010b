#include "wal/file_pool.h"

#include <algorithm>

#include "base/planted.h"
#include "base/try.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kZeroChunkBytes = 4 << 20;
constexpr std::int64_t kRetryNs = 1'000'000'000;
constexpr std::uint64_t kExtraUsed = 2;  // recycled files kept beyond the target, to save making new

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
  std::optional<Used> used;
  bool wanted = false;
  {
    const std::lock_guard lock(mutex_);
    remove.swap(remove_);
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
    if (!wanted && remove.empty()) return kIdle;
  }
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
  Result<PoolFile> made = Make(used, options_.file_size_bytes, options_.file_size_bytes);
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

std::optional<PoolFile> FilePool::Take(bool for_recovery) {
  std::optional<PoolFile> taken;
  {
    const std::lock_guard lock(mutex_);
    const std::uint64_t kept = for_recovery ? 0 : options_.spare_files;
    if (ready_.size() > kept) {
      taken = std::move(ready_.front());
      ready_.pop_front();
    }
  }
  return taken;  // The WAL wakes the pool when its round is over: it may have recycled a file.
}

void FilePool::Recycle(std::uint64_t number, std::shared_ptr<File> file,
                       std::uint64_t size_bytes) {
  {
    const std::lock_guard lock(mutex_);
    used_.push_back({number, std::move(file), size_bytes});
  }
  executor_.Wake(*this);
}

void FilePool::Adopt(std::uint64_t number, std::uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  used_.push_back({number, nullptr, size_bytes});
}

void FilePool::Remove(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    remove_.push_back(number);
  }
  executor_.Wake(*this);
}

Result<PoolFile> FilePool::Now(std::uint64_t size_bytes) {
  std::optional<Used> used;
  {
    const std::lock_guard lock(mutex_);
    if (!used_.empty() && used_.front().size_bytes == size_bytes) {
      used = used_.front();
      used_.pop_front();
    }
  }
  // Only the front is zeroed here: a first start need not wait for all of it.
  return Make(used, size_bytes, std::min(size_bytes, kZeroChunkBytes));
}

Result<PoolFile> FilePool::Make(std::optional<Used>& used, std::uint64_t size_bytes,
                                std::uint64_t zero_bytes) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = next_number_++;
  }
  if (used) return Renew(*used, number);
  PoolFile made{number, nullptr, size_bytes, zero_bytes};
  made.file = TRY(directory_.Create(FileName(number)));
  Status ready = made.file->Allocate(size_bytes);
  if (ready.ok()) ready = Zero(*made.file, zero_bytes);
  if (!ready.ok()) {
    // A half-made file must not be left to eat the space that is missing.
    made.file.reset();
    (void)directory_.Remove(FileName(number));
    return std::move(ready).error();
  }
  TRY(made.file->SyncAll());
  if (!Planted(PlantedBug::kNoDirectorySync)) TRY(directory_.Sync());
  return made;
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

/// Blocks that have never been written cost a journal commit at their first sync, so they are
/// written once here, where nobody waits.
Status FilePool::Zero(File& file, std::uint64_t size_bytes) {
  const std::vector<std::byte> zeros(std::min(kZeroChunkBytes, size_bytes));
  for (std::uint64_t at = 0; at < size_bytes; at += zeros.size()) {
    const std::uint64_t size = std::min<std::uint64_t>(zeros.size(), size_bytes - at);
    TRY(file.Write(at, Bytes(zeros).first(size)));
    TRY(file.SyncData());  // In pieces: one large sync would delay the WAL's own.
  }
  return {};
}

std::optional<Error> FilePool::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::uint64_t FilePool::ready() const {
  const std::lock_guard lock(mutex_);
  return ready_.size();
}

std::uint64_t FilePool::next_number() const {
  const std::lock_guard lock(mutex_);
  return next_number_;
}

}  // namespace duramen::wal
