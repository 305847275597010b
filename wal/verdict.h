// The tail verdict [A12]: from what the files of a WAL hold, which batches count, which are damage,
// and where the log was torn. Pure: it sees summaries only, so every rule is tested without a disk.
//
//  * Files are chained backwards from the newest one that was in service; a file off the chain is
//    an orphan and does not count, whatever it holds.
//  * `proven` is the highest batch that any valid header or batch of the chain says is durable with
//    all before it. A bad batch at or below it is damage; the first bad one above it is a tear, and
//    everything from there on, in later files too, is cut.
//  * A file whose two header copies are gone was in service if a successor names it, or if one of
//    its own batches says that one of its batches is durable (the header was then durable as well).
//    Its predecessor is the nearest lower file that was in service.
//  * A file that is missing is damage; the chain goes on below it.
//  * Files up to the covered one are not needed: checkpoints and segments hold what they held. The
//    chain ends above it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wal/summary.h"

namespace duramen::wal {

struct ChainFile {
  std::size_t file = 0;  // in the summaries
  std::uint64_t first_batch = 0;
  std::uint64_t end_batch = 0;  // last that counts; UINT64_MAX in the newest
  bool missing_before = false;  // its predecessor is not there
};

/// Batches [number, last_number] of one file, in order.
struct JudgedBatch {
  std::size_t file = 0;
  std::uint64_t number = 0;
  std::uint64_t last_number = 0;  // above `number` only for a stretch of damage without borders
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;  // 0: not known
  std::uint16_t flags = 0;
  bool intact = false;        // false: damage
  bool missing_file = false;  // damage: what stood in a file before this one
};

enum class CutKind : std::uint8_t { kNone, kTorn, kUnproven };

struct Cut {
  CutKind kind = CutKind::kNone;
  std::size_t file = 0;
  std::uint64_t number = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t later_batches = 0;  // valid ones that are cut with it
};

struct TailVerdict {
  std::vector<ChainFile> chain;         // oldest first; empty on a fresh directory
  std::vector<std::size_t> orphans;     // were in service once, or hold batches, and do not count
  std::vector<std::size_t> spares;      // never in service in this life
  std::vector<std::size_t> covered;     // not needed any more
  std::vector<std::size_t> headerless;  // in the chain with both header copies gone
  std::vector<std::uint64_t> missing;   // file numbers
  bool reaches_covered = true;  // false: between the covered batch and the chain something is gone
  std::uint64_t proven = 0;
  std::uint64_t oldest_live = 0;
  bool oldest_live_known = true;    // false: the newest header is gone, so a missing file may have
                                    // been recycled
  std::uint64_t highest_batch = 0;  // seen anywhere; numbers go on above it
  std::uint64_t highest_file = 0;
  std::vector<JudgedBatch> batches;
  Cut cut;
};

/// `files` in order of their numbers. `covered`: the last batch that a checkpoint covers.
TailVerdict JudgeTail(std::span<const FileSummary> files, const FileEnd& covered = {});

}  // namespace duramen::wal
