#include "tools/server_names.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/try.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

class RowCollector final : public WalVisitor {
 public:
  RowCollector(const WalImage& image, ServerNames& names, WalVisitor* also)
      : image_(image), names_(names), also_(also) {}
  void OnBatch(const WalkedBatch& batch) override {
    if (also_ != nullptr) also_->OnBatch(batch);
  }
  void OnRun(const WalkedRun& walked) override {
    if (also_ != nullptr) also_->OnRun(walked);
    if (walked.owner == nullptr) return;
    names_.seen().insert(walked.owner->uid);
    if (walked.run.header.kind != wal::RunKind::kRows) return;
    const std::uint64_t file = image_.summaries[walked.batch.file].number;
    ForEachRecord(
        walked, [&](const wal::RecordView& record) { names_.Apply(*walked.owner, record, file); });
  }
  void OnDamagedRun(const WalkedBatch& batch, const wal::DamagedRun& damaged,
                    const wal::RecordOwner* owner) override {
    if (also_ != nullptr) also_->OnDamagedRun(batch, damaged, owner);
  }
  void OnSkipped(const WalkedBatch& batch, std::uint64_t bytes, bool unattributed) override {
    if (also_ != nullptr) also_->OnSkipped(batch, bytes, unattributed);
  }
  void OnRecycled(const WalkedBatch& batch) override {
    if (also_ != nullptr) also_->OnRecycled(batch);
  }
  bool wants_more() const override { return also_ == nullptr || also_->wants_more(); }

 private:
  const WalImage& image_;
  ServerNames& names_;
  WalVisitor* const also_;
};

struct RowPrinter {
  std::string operator()(const meta::IdentityRow& row) const {
    return "name=" + row.name + " node=" + row.node + " cluster=" + std::to_string(row.cluster_id) +
           " incarnation=" + std::to_string(row.incarnation);
  }
  std::string operator()(const meta::VoteRow& row) const {
    return "term=" + std::to_string(row.term) + " voted_for=" + row.voted_for;
  }
  std::string operator()(const meta::LastAppliedRow& row) const {
    return "index=" + std::to_string(row.index);
  }
  std::string operator()(const meta::BoundsRow& row) const {
    return "begin=" + std::to_string(row.begin) + " end=" + std::to_string(row.end) +
           " last_term=" + std::to_string(row.last_term) + " epoch=" + std::to_string(row.epoch);
  }
  std::string operator()(const meta::ValueRow& row) const {
    return "key=" + row.key + " value=" + Plural(row.value.size(), "byte");
  }
  std::string operator()(const meta::FaultyRow& row) const {
    if (!row.faulty()) return "healed";
    return "from=" + std::to_string(row.from) + " to=" + std::to_string(row.to) +
           (row.rows_lost ? " rows_lost" : "") + " reason=" + row.reason;
  }
  std::string operator()(const meta::TombstoneRow&) const { return "deleted"; }
  std::string operator()(const meta::FlushedRow& row) const {
    return "segment=" + std::to_string(row.segment) +
           " bytes=" + std::to_string(row.segment_bytes) + " end=" + std::to_string(row.end) +
           " last_term=" + std::to_string(row.last_term) + " epoch=" + std::to_string(row.epoch);
  }
};

}  // namespace

Result<DecodedRow> DecodeRowRecord(const wal::RecordView& record) {
  if (record.payload.size() < sizeof(std::uint64_t)) {
    return Error{ErrorCode::kCorruption, "a row without its sequence", ""};
  }
  const auto sequence = LoadLe<std::uint64_t>(record.payload.data());
  meta::Row row = TRY(meta::DecodeRow(record.kind, record.payload.subspan(sizeof sequence)));
  if (sequence == 0) return Error{ErrorCode::kCorruption, "a row of sequence 0", ""};
  return DecodedRow{sequence, std::move(row)};
}

std::string RowText(const meta::Row& row) { return std::visit(RowPrinter{}, row); }

ServerNames ServerNames::Of(const StoreImage& image, const WalkOptions& options, WalVisitor* also) {
  ServerNames names;
  if (image.rows != nullptr) {
    image.rows->With([&](const meta::Table& table) { names.Learn(table); });
  }
  if (image.state != nullptr) {
    const std::set<ServerUid>& unnamed = image.state->candidates();
    names.seen_.insert(unnamed.begin(), unnamed.end());
  }
  RowCollector collector(image.wal, names, also);
  WalkWal(image.wal, options, collector);
  return names;
}

void ServerNames::Learn(const meta::Table& table) {
  table_ = table;
  for (const auto& [uid, rows] : table.servers()) {
    seen_.insert(uid);
    if (rows.has(meta::RowKind::kIdentity)) names_[uid] = rows.identity.name;
  }
}

void ServerNames::Apply(const wal::RecordOwner& owner, const wal::RecordView& record,
                        std::uint64_t file) {
  const Result<DecodedRow> decoded = DecodeRowRecord(record);
  const meta::IdentityRow* identity =
      decoded.ok() ? std::get_if<meta::IdentityRow>(&decoded->row) : nullptr;
  if (!decoded.ok() || (identity != nullptr && identity->uid != owner.uid)) {
    ++bad_rows_;
    return;
  }
  if (identity != nullptr) names_[owner.uid] = identity->name;
  (void)table_.Apply(
      {.uid = owner.uid, .sequence = decoded->sequence, .file = std::max<std::uint64_t>(file, 1)},
      decoded->row);
}

std::string ServerNames::NameOf(const ServerUid& uid) const {
  const auto found = names_.find(uid);
  return found == names_.end() ? uid.ToString() : found->second;
}

std::set<ServerUid> ServerNames::Find(std::string_view name_or_uid) const {
  std::set<ServerUid> found;
  for (const auto& [uid, name] : names_) {
    if (name == name_or_uid) found.insert(uid);
  }
  const Result<Uid128> uid = Uid128::Parse(name_or_uid);
  if (uid.ok() && (seen_.count(*uid) != 0 || names_.count(*uid) != 0)) found.insert(*uid);
  return found;
}

std::string ServerNames::Nearest(std::string_view name) const {
  std::string nearest;
  std::size_t best = 0;
  for (const auto& [uid, other] : names_) {
    std::size_t common = 0;
    while (common < name.size() && common < other.size() && name[common] == other[common]) ++common;
    if (common > best) {
      best = common;
      nearest = other;
    }
  }
  return nearest;
}

}  // namespace duramen::tools
