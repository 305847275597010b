// The pool of WAL files: the next one is ready before it is needed [PW4], and two more are kept for
// recovery alone [B4]. An actor of its own, so that making or zeroing a file delays no batch.
//
// A file gets a fresh number each time it enters the pool, by a rename, so that a number is never
// used twice [A13]. Its directory entry is durable before it is handed out; its header is written
// at the roll [C4]. A file that is found at start without having been in service enters through
// Adopt; one whose generation is done through Recycle; poisoned ones only through Remove [A14]. One
// with bytes that stand nowhere else, damaged or of a log that is left out, is renamed aside
// instead, by whichever way it comes.
//
// Two more are the row files: written to their last block when the store begins, and taken only
// when there is no space for another file [B3]. Where ordinary files are no larger, any of them
// will do.
//
// A fail-over directory has a pool of its own, and so a thread: a directory that does not answer
// holds up nobody in the other. Both draw from one sequence of numbers. A file of one that was made
// before the last file of the other entered service gets a new number before it is handed out.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "base/actor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "wal/format.h"
#include "wal/place.h"

namespace duramen::wal {

struct PoolFile {
  std::uint64_t number = 0;
  std::shared_ptr<File> file;
  std::uint64_t size_bytes = 0;
  std::uint64_t zeroed_bytes = 0;  // from the front; blocks behind have never been written
  bool rows_only = false;          // taken as a row file
  Place place = Place::kHome;
};

class FilePool;

struct FilePoolOptions {
  SystemUuid system;
  std::uint64_t file_size_bytes = 0;
  std::uint64_t spare_files = 2;
  std::uint64_t row_file_bytes = 0;
  std::uint64_t row_files = 0;
  std::uint64_t next_number = 1;
  FilePool* home = nullptr;  // of a fail-over directory: whose numbers it draws; outlives it
};

class FilePool final : public Actor {
 public:
  /// All outlive the pool. The directory is used by the pool's thread, and by Now() before Start.
  struct Environment {
    Directory& directory;
    ActorExecutor& executor;
    Clock& clock;
    Log log;
  };
  FilePool(const FilePoolOptions& options, const Environment& environment);

  // Actor
  std::int64_t Step() override;
  const char* name() const override { return "wal-pool"; }
  bool background() const override { return true; }

  /// The owner to wake when a file became ready or making one failed. Set before Start.
  void set_waiter(Actor* waiter) { waiter_ = waiter; }

  /// The pool of the fail-over directory. Set before Start.
  void set_away(FilePool* away) { away_ = away; }
  FilePool* away() { return away_; }
  FilePool& At(Place place) { return place == Place::kHome ? *this : *away_; }

  /// Files are zeroed past the page cache from now on, as they will be written [C6]. Any thread.
  void set_direct(bool direct) { direct_.store(direct); }

  /// False: what comes next need not be zeroed. Any thread.
  void set_zeroes(bool zeroes) { zeroes_.store(zeroes, std::memory_order_relaxed); }

  /// A file for the next roll, if more than `kept` are ready (at most spare_files are kept), with a
  /// number above `above`: where theirs are not, they are renewed, and the waiter is woken. Any
  /// thread.
  std::optional<PoolFile> Take(std::uint64_t kept, std::uint64_t above);
  /// A file for rows and marks, where there is no space for another one [B3]. Any thread.
  std::optional<PoolFile> TakeRow();
  /// Gives `taken` a number above `above`, durably: files are taken from two stocks, and the one
  /// with the highest number is the newest. Nothing to do but after a row file. On an error the
  /// file is given back. Any thread, for who took it.
  Result<PoolFile> NumberAbove(PoolFile taken, std::uint64_t above);
  /// Files under names that may be reused once renamed: they hold nothing that counts.
  void Recycle(std::uint64_t number, std::shared_ptr<File> file, std::uint64_t size_bytes);
  void Adopt(std::uint64_t number, std::uint64_t size_bytes);
  void Remove(std::uint64_t number);
  /// The bytes of this file are needed by people: when it comes in, it gets another name and is
  /// never written again [PW7]. Before Start.
  void Keep(std::uint64_t number);
  /// Makes one file ready on the calling thread; for recovery, before Start. Where there is no
  /// space for another one, any that was found will do which has `least_bytes`.
  Result<PoolFile> Now(std::uint64_t size_bytes, std::uint64_t least_bytes);
  /// Makes the row files that were not found, and looks whether there is space for another file, so
  /// that nothing is accepted before. On the calling thread, before Start. Errors: of making one;
  /// it is tried again later.
  Status Prepare();
  /// Why the last attempt to make a file failed; empty when it did not.
  std::optional<Error> failure() const;
  std::uint64_t ready() const;
  std::uint64_t row_files_ready() const;
  /// One is being renewed, which takes no space.
  bool RowFileComing() const;
  /// On the file system; UINT64_MAX: not known.
  std::uint64_t FreeBytes() const { return directory_.FreeBytes(); }
  std::uint64_t file_size_bytes() const { return options_.file_size_bytes; }
  std::uint64_t row_file_bytes() const { return options_.row_file_bytes; }
  /// Only the spares are left.
  bool Exhausted() const;
  /// Not even all of the spares are.
  bool SparesMissing() const { return ready() < options_.spare_files; }
  std::uint64_t next_number() const;

 private:
  struct Used {
    std::uint64_t number = 0;
    std::shared_ptr<File> file;  // may be null: opened on demand
    std::uint64_t size_bytes = 0;
    bool poisoned = false;  // a sync of it failed: it is never synced or handed out again [A14]
  };
  /// Where a file of some size is lacking; in the order of need.
  enum class Stock : std::uint8_t { kNone, kReady, kRows };
  Stock Lacking(std::optional<std::uint64_t> used_bytes) const;
  Result<PoolFile> Make(std::optional<Used>& used, std::uint64_t size_bytes, bool zero_all);
  Result<PoolFile> Renew(Used& used, std::uint64_t number);
  std::optional<Used> TakeUsed(std::uint64_t least_bytes, std::uint64_t most_bytes);
  void OnMade(Stock stock, std::optional<Used> used, Result<PoolFile> made);
  static Status Zero(File& file, std::uint64_t size_bytes);
  std::int64_t ZeroNext();
  Status ZeroChunk(const PoolFile& file, std::uint64_t size);
  bool IsKept(std::uint64_t number);
  void SetAside(std::span<const std::uint64_t> numbers);
  std::uint64_t NextNumber() { return home_ != nullptr ? home_->NextNumber() : next_number_++; }
  Place place() const { return home_ != nullptr ? Place::kAway : Place::kHome; }
  std::uint64_t target() const { return options_.spare_files + 1; }

  Directory& directory_;
  ActorExecutor& executor_;
  Clock& clock_;
  FilePoolOptions options_;
  Log log_;
  Actor* waiter_ = nullptr;
  FilePool* const home_;
  FilePool* away_ = nullptr;
  std::atomic<std::uint64_t> next_number_;
  std::atomic<bool> direct_{false};
  std::atomic<bool> zeroes_{true};
  mutable std::mutex mutex_;  // guards all below
  std::deque<PoolFile> ready_;
  std::deque<PoolFile> rows_;
  bool renewing_row_ = false;
  std::deque<Used> used_;
  std::vector<std::uint64_t> remove_;
  std::set<std::uint64_t> keep_;
  std::vector<std::uint64_t> aside_;  // of keep_, those that have come in
  std::uint64_t zeroing_ = 0;  // number of the file that a chunk is being written to; 0: none
  std::optional<Error> failure_;
};

}  // namespace duramen::wal
