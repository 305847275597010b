// Which records a dump is asked for; the strings of its options, parsed once.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "tools/dump.h"
#include "tools/server_names.h"

namespace duramen::tools {

/// What every record has, wherever it stands.
struct DumpCandidate {
  const ServerUid* uid = nullptr;  // null: nothing says whose it is
  std::string_view record;         // entry, row or mark
  std::string_view run;            // next, append, rows, ...
  std::string_view row;            // vote, ...; of a row
  std::optional<std::uint8_t> entry_kind;
  std::optional<Index> index;
  std::optional<Term> term;
};

class DumpFilter {
 public:
  /// `options` outlives the filter.
  DumpFilter(const DumpOptions& options, const ServerNames& names);
  bool Wants(const DumpCandidate& candidate) const;
  bool WantsServer(const ServerUid* uid) const;
  static bool KnownKind(const std::string& kind);

 private:
  bool WantsKind(const DumpCandidate& candidate) const;
  const DumpOptions& options_;
  std::set<ServerUid> servers_;
  std::optional<std::uint64_t> entry_kind_;
};

}  // namespace duramen::tools
