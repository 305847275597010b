#include "tools/wal_walk.h"

#include <algorithm>
#include <memory>
#include <set>

#include "base/bytes.h"

namespace duramen::tools {
namespace {

/// A damaged stretch can be as long as a file; a batch never is.
constexpr std::uint64_t kDamagedBytesMax = 256 << 20;

WalkedBatch FromJudged(const wal::JudgedBatch& judged) {
  return {.file = judged.file,
          .number = judged.number,
          .last_number = judged.last_number,
          .offset = judged.offset,
          .bytes = judged.bytes,
          .flags = judged.flags,
          .intact = judged.intact,
          .standing = Standing::kLive};
}

class Walk {
 public:
  Walk(const WalImage& image, WalVisitor& visitor) : image_(image), visitor_(visitor) {}

  void Live() {
    for (const wal::JudgedBatch& judged : image_.verdict.batches) {
      if (!visitor_.wants_more()) return;
      Batch(FromJudged(judged));
    }
  }

  /// File by file, in order of offset; says of each batch where it stands.
  void All() {
    std::map<std::pair<std::size_t, std::uint64_t>, const wal::JudgedBatch*> live;
    std::set<std::size_t> chained;
    for (const wal::ChainFile& chain : image_.verdict.chain) chained.insert(chain.file);
    const std::set<std::size_t> covered(image_.verdict.covered.begin(),
                                        image_.verdict.covered.end());
    for (const wal::JudgedBatch& judged : image_.verdict.batches) {
      live[{judged.file, judged.offset}] = &judged;
    }
    for (std::size_t file = 0; file < image_.files.size(); ++file) {
      for (const wal::BatchSummary& summary : image_.summaries[file].batches) {
        if (!visitor_.wants_more()) return;
        const auto found = live.find({file, summary.offset});
        if (found != live.end() && found->second->number == summary.number) {
          Batch(FromJudged(*found->second));
          live.erase(found);
          continue;
        }
        Batch({.file = file,
               .number = summary.number,
               .last_number = summary.number,
               .offset = summary.offset,
               .bytes = summary.bytes,
               .flags = summary.flags,
               .intact = summary.intact,
               .standing = chained.count(file) != 0   ? Standing::kCut
                           : covered.count(file) != 0 ? Standing::kCovered
                                                      : Standing::kOrphan});
      }
    }
    for (const auto& [place, judged] : live) Batch(FromJudged(*judged));  // Lost without a trace.
  }

 private:
  wal::FileWindow& WindowOf(std::size_t file) {
    if (window_ == nullptr || window_file_ != file) {
      const ReadOnlyFile& opened = *image_.files[file].file;
      window_ = std::make_unique<wal::FileWindow>(opened, opened.size());
      window_file_ = file;
    }
    return *window_;
  }

  void Batch(const WalkedBatch& batch) {
    // What is left of a recycled file hangs in the air: its bindings may be overwritten.
    if (recycled_.count(batch.file) != 0) return;
    visitor_.OnBatch(batch);
    if (!batch.intact) return Damaged(batch);
    const wal::FileSummary& summary = image_.summaries[batch.file];
    const wal::FileContext file_context = summary.Context(image_.system);
    const Bytes bytes = WindowOf(batch.file).At(batch.offset, batch.bytes);
    const Result<wal::BatchHeader> header =
        wal::DecodeBatchHeader(bytes, image_.system, file_context, batch.offset);
    if (!header.ok() || header->number != batch.number) return Lost(batch);
    const wal::FileContext context = wal::ContextOf(*header, image_.system, file_context);
    // Checked again in these very bytes: a running store may have overwritten them since the scan.
    if (!wal::BatchIntact(*header, bytes, image_.system, context, batch.offset)) return Lost(batch);
    const Result<wal::BatchContents> contents =
        wal::ReadIntactBatch(*header, bytes, context, batch.offset);
    if (!contents.ok()) return visitor_.OnSkipped(batch, batch.bytes, true);
    Bind(batch.file, contents->bindings);
    for (const wal::RunView& run : contents->runs) {
      visitor_.OnRun({batch, run, context, OwnerOf(batch.file, run, context)});
    }
  }

  /// Intact when it was judged and not any more.
  void Lost(const WalkedBatch& batch) {
    if (!LeftService(image_.files[batch.file])) return visitor_.OnSkipped(batch, batch.bytes, true);
    if (recycled_.insert(batch.file).second) visitor_.OnRecycled(batch);
  }

  void Damaged(const WalkedBatch& batch) {
    const wal::FileContext context = image_.summaries[batch.file].Context(image_.system);
    const Bytes bytes =
        WindowOf(batch.file).At(batch.offset, std::min(batch.bytes, kDamagedBytesMax));
    const wal::BatchContents contents =
        wal::ReadDamagedBatch(bytes, image_.system, context, batch.offset, slots_[batch.file]);
    Bind(batch.file, contents.bindings);
    std::uint64_t readable = 0;
    // In the order in which they were written.
    std::vector<const wal::RunView*> runs;
    for (const wal::RunView& run : contents.runs) runs.push_back(&run);
    const std::size_t whole = runs.size();
    for (const wal::RunView& run : contents.partial) runs.push_back(&run);
    const wal::RunView* const* first_partial = runs.data() + whole;
    std::set<const wal::RunView*> partial(first_partial, first_partial + (runs.size() - whole));
    std::sort(runs.begin(), runs.end(),
              [](const wal::RunView* a, const wal::RunView* b) { return a->offset < b->offset; });
    std::size_t next_damaged = 0;
    const auto report_damaged = [&](std::uint64_t before) {
      for (; next_damaged < contents.damaged.size(); ++next_damaged) {
        const wal::DamagedRun& damaged = contents.damaged[next_damaged];
        if (damaged.offset >= before) return;
        visitor_.OnDamagedRun(batch, damaged, OwnerOf(batch.file, damaged.header.slot));
      }
    };
    for (const wal::RunView* run : runs) {
      report_damaged(run->offset);
      const WalkedRun walked{batch, *run, context, OwnerOf(batch.file, *run, context),
                             partial.count(run) != 0};
      readable += wal::kRunHeaderBytes + run->header.bytes;
      if (walked.partial) readable -= ForEachRecord(walked, [](const wal::RecordView&) {});
      visitor_.OnRun(walked);
    }
    report_damaged(UINT64_MAX);
    visitor_.OnSkipped(
        batch, batch.bytes > readable ? batch.bytes - readable : 0,
        contents.unattributed || batch.last_number != batch.number || batch.bytes == 0);
  }

  void Bind(std::size_t file, const std::vector<wal::Binding>& bindings) {
    for (const wal::Binding& binding : bindings) {
      slots_[file][binding.slot] = {binding.uid, binding.cluster_id};
      known_.emplace(binding.uid, wal::RecordOwner{binding.uid, binding.cluster_id});
    }
  }

  /// A binding lost with a damaged batch is found again by trying every known log against the
  /// checksum of the first record [C7].
  const wal::RecordOwner* OwnerOf(std::size_t file, const wal::RunView& run,
                                  const wal::FileContext& context) {
    const wal::RecordOwner* bound = OwnerOf(file, run.header.slot);
    if (bound != nullptr || wal::IsMark(run.header.kind)) return bound;
    for (const auto& [uid, owner] : known_) {
      const std::uint64_t seed =
          wal::RecordSeed(context.seed, run.offset + wal::kRunHeaderBytes, uid);
      if (!wal::RunIsOf(run.header, run.records, seed)) continue;
      return &slots_[file].emplace(run.header.slot, owner).first->second;
    }
    return nullptr;
  }

  const wal::RecordOwner* OwnerOf(std::size_t file, std::uint32_t slot) const {
    const auto table = slots_.find(file);
    if (table == slots_.end()) return nullptr;
    const auto owner = table->second.find(slot);
    return owner == table->second.end() ? nullptr : &owner->second;
  }

  const WalImage& image_;
  WalVisitor& visitor_;
  std::map<std::size_t, wal::SlotTable> slots_;
  std::map<ServerUid, wal::RecordOwner> known_;
  std::set<std::size_t> recycled_;
  std::unique_ptr<wal::FileWindow> window_;
  std::size_t window_file_ = 0;
};

}  // namespace

const char* StandingName(Standing standing) noexcept {
  switch (standing) {
    case Standing::kLive:
      return "live";
    case Standing::kCut:
      return "cut";
    case Standing::kOrphan:
      return "orphan";
    case Standing::kCovered:
      return "covered";
  }
  return "unknown";
}

void WalkWal(const WalImage& image, const WalkOptions& options, WalVisitor& visitor) {
  Walk walk(image, visitor);
  if (options.all) {
    walk.All();
  } else {
    walk.Live();
  }
}

}  // namespace duramen::tools
