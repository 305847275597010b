// What an exploration is worth, in numbers for people: states, shares, sites with their lines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/explorer/explorer.h"

namespace duramen::explorer {

/// Several lines: states, per crash kind, per workload with rolls, double crashes, speed.
std::string Summary(const Tally& tally, double seconds);
/// One line per call site, fewest states first: states, calls, operation, class of file, and the
/// line of the source where addr2line can tell it.
std::string SiteTableText(const Explorer& explorer);

/// "wal/wal_write.cc:145" for each site in order; empty where nobody can tell.
std::vector<std::string> SourceLinesOf(const sim::SiteTable& sites);

/// A line of the source that calls the port of base/io.h.
struct SourceCall {
  std::string file;  // "wal/wal_write.cc"
  std::size_t line = 0;
  std::string text;
};
/// Found by name in the .cc files of the folders below `root`.
std::vector<SourceCall> CallsInSource(const std::string& root,
                                      const std::vector<std::string>& folders);
/// Of code that only a repair runs; RepairSweep stops it, not the workloads.
bool OfARepair(const SourceCall& call);
/// Distinct states judged next to that line, of those by site. A call may spread over three lines.
std::uint64_t StatesAt(const SourceCall& call, const std::vector<std::uint64_t>& by_site,
                       const std::vector<std::string>& lines);

}  // namespace duramen::explorer
