#include "tools/dump_filter.h"

#include <algorithm>
#include <array>

#include "meta/row.h"
#include "tools/text.h"
#include "wal/format.h"

namespace duramen::tools {
namespace {

/// Of records, and of the runs that only segments have.
constexpr std::array<std::string_view, 4> kWords = {"entry", "row", "mark", "append"};

}  // namespace

DumpFilter::DumpFilter(const DumpOptions& options, const ServerNames& names) : options_(options) {
  if (!options.server.empty()) servers_ = names.Find(options.server);
  entry_kind_ = ParseCount(options.kind);
}

bool DumpFilter::WantsServer(const ServerUid* uid) const {
  return options_.server.empty() || (uid != nullptr && servers_.count(*uid) != 0);
}

bool DumpFilter::Wants(const DumpCandidate& candidate) const {
  if (!WantsServer(candidate.uid)) return false;
  const bool by_index = options_.from || options_.to || options_.term;
  if (by_index && !candidate.index) return false;
  if (options_.from && *candidate.index < *options_.from) return false;
  if (options_.to && *candidate.index > *options_.to) return false;
  if (options_.term && candidate.term != options_.term) return false;
  return WantsKind(candidate);
}

bool DumpFilter::WantsKind(const DumpCandidate& candidate) const {
  const std::string& kind = options_.kind;
  if (kind.empty() || kind == candidate.record || kind == candidate.run) return true;
  if (candidate.entry_kind) return entry_kind_ && *entry_kind_ == *candidate.entry_kind;
  return !candidate.row.empty() && kind == candidate.row;
}

bool DumpFilter::KnownKind(const std::string& kind) {
  if (kind.empty() || ParseCount(kind).value_or(256) < 256) return true;
  if (std::find(kWords.begin(), kWords.end(), kind) != kWords.end()) return true;
  for (std::uint8_t run = 1; run <= 9; ++run) {
    if (kind == wal::RunKindName(static_cast<wal::RunKind>(run))) return true;
  }
  for (std::uint8_t row = meta::kFirstRowKind; row <= meta::kLastRowKind; ++row) {
    if (kind == meta::RowKindName(static_cast<meta::RowKind>(row))) return true;
  }
  return false;
}

}  // namespace duramen::tools
