// Where the live entries of every log stand in WAL files: index ranges per log and file, as they
// landed [A11]. The WAL thread writes it after each sync; any thread finds runs to read entries
// that are no longer in memory. A file with no live run holds no entry that anybody needs.
//
// Per slot the runs partition [begin, end) in order of index: an overwrite, truncation or reset
// trims what it cuts, a floor trims from the front. Sparse runs are not kept here.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/io.h"
#include "wal/format.h"

namespace duramen::wal {

struct LandedRun {
  std::uint64_t file = 0;
  std::uint64_t offset = 0;  // of the run header
  Index first = 0;           // of the run as written
  std::uint32_t count = 0;   // as written
  std::uint32_t bytes = 0;   // of its records
  Term term = 0;
  Index live_begin = 0;  // what is still live of it
  Index live_end = 0;
};

/// A WAL file as readers see it; closed when the last reader lets go.
struct OpenWalFile {
  std::shared_ptr<File> file;
  FileContext context;
  std::uint64_t size_bytes = 0;
};

class LandedIndex {
 public:
  /// One change to the index; the WAL collects those of a batch and applies them under one lock.
  struct Change {
    enum class Kind : std::uint8_t { kAdd, kCut, kFloor, kReset };
    Kind kind = Kind::kAdd;
    std::uint32_t slot = 0;
    Index index = 0;  // new end, new begin, or the begin of a reset
    LandedRun run;    // kAdd; its live range is set from first and count
  };
  void Apply(std::span<const Change> changes);
  void AddFile(std::uint64_t number, OpenWalFile file);
  void RemoveFile(std::uint64_t number);
  /// The live run that holds `index`.
  std::optional<LandedRun> Find(std::uint32_t slot, Index index) const;
  std::optional<OpenWalFile> FindFile(std::uint64_t number) const;
  std::uint64_t LiveRunsIn(std::uint64_t file) const;
  /// {file, offset} of the slot's live run that was written first.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> OldestOf(std::uint32_t slot) const;
  std::vector<LandedRun> RunsOf(std::uint32_t slot) const;

 private:
  void Drop(const LandedRun& run);
  mutable std::mutex mutex_;
  std::vector<std::deque<LandedRun>> runs_;           // by slot
  std::map<std::uint64_t, std::uint64_t> live_runs_;  // by file
  std::map<std::uint64_t, OpenWalFile> files_;
};

}  // namespace duramen::wal
