// Where the live entries of every log stand in WAL files: index ranges per log and file, as they
// landed [A11]. The WAL thread writes it after each sync; any thread finds runs to read entries
// that are no longer in memory. A file with no live run holds no entry that anybody needs.
//
// Per slot the runs are in order of index, and of file: an overwrite, truncation or reset trims
// what it cuts, a floor trims from the front, a flush takes whole files from the front. Entries
// below `flushed_end` that no run holds are in segments. Sparse runs are not kept here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/io.h"
#include "base/memory_budget.h"
#include "wal/format.h"
#include "wal/landed_runs.h"
#include "wal/place.h"

namespace duramen::wal {

/// A WAL file as readers see it; closed when the last reader lets go.
struct OpenWalFile {
  std::shared_ptr<File> file;
  FileContext context;
  std::uint64_t size_bytes = 0;
  Place place = Place::kHome;
};

class LandedIndex {
 public:
  /// Memory counts in `budget`, which may be null and outlives the index.
  explicit LandedIndex(MemoryBudget* budget = nullptr) : blocks_(budget) {}
  ~LandedIndex();
  LandedIndex(const LandedIndex&) = delete;
  LandedIndex& operator=(const LandedIndex&) = delete;

  /// One change to the index; the WAL collects those of a batch and applies them under one lock.
  struct Change {
    enum class Kind : std::uint8_t { kAdd, kCut, kFloor, kReset, kFlushed };
    Kind kind = Kind::kAdd;
    std::uint32_t slot = 0;
    Index index = 0;  // new end, new begin, the begin of a reset, or the end of what is in segments
    LandedRun run;    // kAdd; its live range is set from first and count
  };
  void Apply(std::span<const Change> changes);
  void AddFile(std::uint64_t number, OpenWalFile file);
  void RemoveFile(std::uint64_t number);
  /// The live run that holds `index`.
  std::optional<LandedRun> Find(std::uint32_t slot, Index index) const;
  std::optional<OpenWalFile> FindFile(std::uint64_t number) const;
  /// {file, offset} of the slot's live run that was written first.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> OldestOf(std::uint32_t slot) const;
  std::vector<LandedRun> RunsOf(std::uint32_t slot) const;

  /// What is still live of one log in the files up to some number.
  struct Survivors {
    std::uint32_t slot = 0;
    Index segments_end = 1;  // what segments hold at and above it is dead
    Index floor = 0;         // durable; 0: never moved since the start
    std::vector<LandedRun> runs;
    std::uint64_t LiveBytes() const;  // about
  };
  /// Logs with live runs in files <= `file_max`, and how many bytes these have. Only what is
  /// durable is in here, so no floor or cut is used before it is durable [A9].
  struct Due {
    std::vector<std::uint32_t> slots;
    std::uint64_t bytes = 0;
  };
  Due DueUpTo(std::uint64_t file_max) const;
  /// Of one log; what was cut until now is not among them.
  Survivors SurvivorsOf(std::uint32_t slot, std::uint64_t file_max);
  /// The runs that SurvivorsOf(slot, file_max) gave are in segments now, up to `end`. What
  /// was cut since then stays cut [C8].
  void OnFlushed(std::uint32_t slot, std::uint64_t file_max, Index end);
  /// Entries below it that no run holds are in segments.
  Index FlushedEnd(std::uint32_t slot) const;
  /// Of the log; 0: never moved since the start.
  Index Floor(std::uint32_t slot) const;
  /// Tells the memory of the runs of all logs there; it outlives the index.
  void CountIn(Counter& bytes);

 private:
  struct Log {
    RunQueue runs;
    Index flushed_end = 1;
    Index floor = 0;
    Index lowest_cut = UINT64_MAX;  // since the last SurvivorsOf
  };
  void Apply(const Change& change);
  mutable std::mutex mutex_;  // guards all below
  RunBlocks blocks_;
  std::vector<Log> logs_;  // by slot
  std::map<std::uint64_t, OpenWalFile> files_;
};

}  // namespace duramen::wal
