// The rows and the last line of `duramen dump`, whatever file a record stands in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/checkpoint_walk.h"
#include "tools/dump.h"
#include "tools/dump_filter.h"
#include "tools/segment_walk.h"
#include "tools/server_names.h"
#include "tools/wal_walk.h"

namespace duramen::tools {

struct DumpTotals {
  std::uint64_t records = 0;
  std::uint64_t entries = 0;
  std::uint64_t wal_records = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t segments = 0;
  std::uint64_t batches = 0;
  std::uint64_t seals = 0;
  std::uint64_t batch_bytes = 0;
  std::uint64_t skipped_bytes = 0;
  std::uint64_t skipped_files = 0;  // nothing in them could be read, be they empty
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> by_kind;  // records, bytes
};

/// Owned by one run of the verb.
class DumpPrinter final : public WalVisitor, public SegmentVisitor {
 public:
  /// All outlive the printer. `wal` is null for a file that is none.
  DumpPrinter(const DumpOptions& options, const ServerNames& names, Terminal& terminal,
              const WalImage* wal);

  void OnBatch(const WalkedBatch& batch) override;
  void OnRun(const WalkedRun& walked) override;
  void OnSkipped(const WalkedBatch& batch, std::uint64_t bytes, bool) override;
  void OnRecycled(const WalkedBatch& batch) override;
  void OnSegmentRecord(const SegmentRecord& record) override;
  void OnSegmentSkipped(const std::string& file, std::uint64_t offset,
                        std::uint64_t bytes) override;
  void OnSegmentGone(const std::string& file) override;
  /// All rows of the servers that are asked for.
  void OnCheckpoint(const std::string& file, const CheckpointImage& image);
  bool wants_more() const override;

  /// A file of `bytes` in which nothing can be read.
  void OnFileSkipped(const std::string& file, std::uint64_t bytes, const std::string& why);

  void CountSegments(std::uint64_t segments) { totals_.segments += segments; }
  bool recycled() const { return recycled_; }
  const DumpFilter& filter() const { return filter_; }
  /// Because of damage.
  bool skipped_any() const { return totals_.skipped_bytes > 0 || totals_.skipped_files > 0; }
  /// The last line, or the counts. `verdict`: what the exit says too. `more`: for programs.
  void Finish(const std::string& verdict, const std::vector<Field>& more);
  const DumpTotals& totals() const { return totals_; }

 private:
  void Fill(const WalkedRun& walked, std::uint64_t offset);
  void PrintRecord(const WalkedRun& walked, const wal::RecordView& record);
  void FillRowText(const WalkedRun& walked, const wal::RecordView& record);
  void PrintMark(const WalkedRun& walked);
  void PrintRow(const ServerUid& uid, const CheckpointRow& row);
  void SetServer(const ServerUid& uid);
  /// Payload, or the words that say more than the bytes of a row.
  void SetContent(Bytes payload, bool entry);
  void Count(const std::string& kind, std::uint64_t bytes);
  void Skipped(const std::string& what, std::uint64_t bytes);
  void PrintStats(const std::string& verdict, std::span<const Field> summary);

  const DumpOptions& options_;
  const ServerNames& names_;
  const WalImage* const wal_;
  DumpFilter filter_;
  Terminal& terminal_;
  std::optional<Sheet> sheet_;
  std::vector<Cell> cells_;
  DumpTotals totals_;
  bool recycled_ = false;
};

}  // namespace duramen::tools
