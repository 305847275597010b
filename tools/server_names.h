// Who is who in a store: the rows of every server, folded, so that a uid can be shown as a name and
// a name be given where a uid is expected.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "meta/table.h"
#include "tools/store_image.h"
#include "tools/wal_walk.h"

namespace duramen::tools {

/// A row as it stands in a record: {row sequence u64, row}.
struct DecodedRow {
  std::uint64_t sequence = 0;
  meta::Row row;
};
/// Errors: kCorruption, kUnknownVersion.
Result<DecodedRow> DecodeRowRecord(const wal::RecordView& record);
/// One line for people: "name=orders node=n1 cluster=7 incarnation=3".
std::string RowText(const meta::Row& row);

class ServerNames {
 public:
  /// Reads all rows of the image, those of its checkpoints first; a damaged one is left out.
  /// `also` sees the same walk, and may end it; may be null.
  static ServerNames Of(const StoreImage& image, const WalkOptions& options,
                        WalVisitor* also = nullptr);
  /// Of a file on its own.
  void Learn(const meta::Table& table);
  /// The name; the uid where no row tells the name.
  std::string NameOf(const ServerUid& uid) const;
  /// All incarnations that `name_or_uid` may mean; empty where there is none.
  std::set<ServerUid> Find(std::string_view name_or_uid) const;
  /// A name that is near; empty when none is.
  std::string Nearest(std::string_view name) const;
  const meta::Table& table() const { return table_; }
  std::set<ServerUid>& seen() { return seen_; }
  const std::set<ServerUid>& seen() const { return seen_; }
  std::uint64_t bad_rows() const { return bad_rows_; }
  void Apply(const wal::RecordOwner& owner, const wal::RecordView& record, std::uint64_t file);

 private:
  meta::Table table_;
  std::map<ServerUid, std::string> names_;  // also of deleted servers
  std::set<ServerUid> seen_;                // every uid that a batch binds and uses
  std::uint64_t bad_rows_ = 0;
};

}  // namespace duramen::tools
