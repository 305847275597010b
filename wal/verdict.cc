#include "wal/verdict.h"

#include <algorithm>

#include "base/planted.h"

namespace duramen::wal {
namespace {

std::uint64_t LowestBatch(const FileSummary& file) {
  std::uint64_t lowest = UINT64_MAX;
  for (const BatchSummary& batch : file.batches) lowest = std::min(lowest, batch.number);
  return lowest;
}

bool ProvenByItself(const FileSummary& file) {
  if (file.batches.empty()) return false;
  const std::uint64_t lowest = LowestBatch(file);
  return std::any_of(file.batches.begin(), file.batches.end(),
                     [&](const BatchSummary& batch) { return batch.durable_upto >= lowest; });
}

class Judge {
 public:
  Judge(std::span<const FileSummary> files, const FileEnd& covered)
      : files_(files), covered_(covered) {}

  TailVerdict Run() {
    FindHighest();
    BuildChain();
    JudgeReach();
    SortOutOthers();
    FindProof();
    for (std::size_t i = 0; i < verdict_.chain.size() && !stopped_; ++i) JudgeFile(i);
    return std::move(verdict_);
  }

 private:
  void FindHighest() {
    verdict_.highest_file = covered_.file;
    verdict_.highest_batch = covered_.batch;
    for (const FileSummary& file : files_) {
      verdict_.highest_file = std::max(verdict_.highest_file, file.number);
      std::uint64_t& highest = verdict_.highest_batch;
      if (file.header) {
        highest = std::max({highest, file.header->durable_upto, file.header->predecessor_end});
        if (file.header->first_batch > 0) highest = std::max(highest, file.header->first_batch - 1);
        verdict_.highest_file = std::max(verdict_.highest_file, file.header->predecessor_number);
      }
      for (const BatchSummary& batch : file.batches) highest = std::max(highest, batch.number);
    }
  }

  std::optional<std::size_t> FindFile(std::uint64_t number) const {
    for (std::size_t i = 0; i < files_.size(); ++i) {
      if (files_[i].number == number) return i;
    }
    return std::nullopt;
  }

  bool InService(std::size_t file) const {
    return files_[file].header || !files_[file].batches.empty();
  }

  /// Chained backwards from the newest file that was in service.
  void BuildChain() {
    std::optional<std::size_t> at;
    for (std::size_t i = files_.size(); i-- > 0 && !at;) {
      if (files_[i].number <= covered_.file) break;
      if (files_[i].header || ProvenByItself(files_[i])) at = i;
    }
    verdict_.oldest_live_known = !at || files_[*at].header;
    std::uint64_t end = UINT64_MAX;
    while (at) {
      const FileSummary& file = files_[*at];
      if (!file.header) verdict_.headerless.push_back(*at);
      if (file.header && verdict_.oldest_live == 0) {
        verdict_.oldest_live = file.header->oldest_live;
      }
      verdict_.chain.push_back({.file = *at, .end_batch = end});
      at = Predecessor(*at, end);
    }
    std::reverse(verdict_.chain.begin(), verdict_.chain.end());
    for (std::size_t i = 0; i < verdict_.chain.size(); ++i) {
      ChainFile& chain = verdict_.chain[i];
      chain.first_batch = FirstBatch(chain, i > 0 ? &verdict_.chain[i - 1] : nullptr);
    }
  }

  /// Without a header: what stands at the front says it; if that is gone too, every number behind
  /// the predecessor's end may have stood here.
  std::uint64_t FirstBatch(const ChainFile& chain, const ChainFile* predecessor) const {
    const FileSummary& file = files_[chain.file];
    if (file.header) return file.header->first_batch;
    for (const BatchSummary& batch : file.batches) {
      if (batch.offset == kFirstBatchOffset) return batch.number;
    }
    if (predecessor != nullptr) return predecessor->end_batch + 1;
    if (file.batches.empty()) return chain.end_batch;
    // Something stood in front of the lowest batch; how many batches it was is not known.
    return std::max<std::uint64_t>(LowestBatch(file), 2) - 1;
  }

  /// Sets `end` to the last batch of the predecessor that counts.
  std::optional<std::size_t> Predecessor(std::size_t at, std::uint64_t& end) {
    const FileSummary& file = files_[at];
    if (!file.header) {
      const std::optional<std::size_t> linked = LinkedBelow(file, end);
      return linked ? linked : NearestBelow(file.number, end);
    }
    const FileHeader& header = *file.header;
    const std::uint64_t predecessor = header.predecessor_number;
    if (predecessor == 0 || predecessor < verdict_.oldest_live || predecessor <= covered_.file) {
      return std::nullopt;
    }
    const std::optional<std::size_t> found = FindFile(header.predecessor_number);
    // A file of that name that holds another life is not the predecessor.
    const bool same_life =
        found && (files_[*found].life == header.predecessor_life || files_[*found].life == 0);
    if (found && same_life && files_[*found].number < file.number) {
      end = header.predecessor_end;
      return found;
    }
    verdict_.missing.push_back(header.predecessor_number);
    verdict_.chain.back().missing_before = true;
    return NearestBelow(std::min(header.predecessor_number, file.number), end);
  }

  /// The file that holds the batch which the lowest readable one names as the one before it.
  std::optional<std::size_t> LinkedBelow(const FileSummary& file, std::uint64_t& end) const {
    const std::uint64_t lowest = LowestBatch(file);
    for (const BatchSummary& own : file.batches) {
      if (own.number != lowest || !own.header_ok || own.previous_checksum == 0) continue;
      for (std::size_t i = 0; i < files_.size() && files_[i].number < file.number; ++i) {
        if (files_[i].number <= covered_.file) continue;
        for (const BatchSummary& batch : files_[i].batches) {
          if (batch.checksum != own.previous_checksum) continue;
          end = batch.number;
          return i;
        }
      }
    }
    return std::nullopt;
  }

  /// The newest file below `number` that was in service and may be live; all that it holds counts.
  std::optional<std::size_t> NearestBelow(std::uint64_t number, std::uint64_t& end) const {
    for (std::size_t i = files_.size(); i-- > 0;) {
      const FileSummary& file = files_[i];
      if (file.number >= number || file.number < verdict_.oldest_live || !InService(i)) continue;
      if (file.number <= covered_.file) continue;
      end = file.header && file.header->first_batch > 0 ? file.header->first_batch - 1 : 0;
      for (const BatchSummary& batch : file.batches) end = std::max(end, batch.number);
      return i;
    }
    return std::nullopt;
  }

  /// What a checkpoint covers has a successor: the file whose first batch made it a closed one.
  void JudgeReach() {
    if (covered_.file == 0) return;
    if (verdict_.chain.empty()) {
      verdict_.reaches_covered = false;
      return;
    }
    const FileSummary& first = files_[verdict_.chain.front().file];
    if (first.header) {
      verdict_.reaches_covered = first.header->predecessor_number <= covered_.file &&
                                 first.header->predecessor_end <= covered_.batch;
    } else {
      verdict_.reaches_covered = verdict_.chain.front().first_batch <= covered_.batch + 1;
    }
  }

  void SortOutOthers() {
    for (std::size_t i = 0; i < files_.size(); ++i) {
      const bool chained = std::any_of(verdict_.chain.begin(), verdict_.chain.end(),
                                       [&](const ChainFile& chain) { return chain.file == i; });
      if (chained) continue;
      if (files_[i].number <= covered_.file) {
        verdict_.covered.push_back(i);
        continue;
      }
      const bool was_used = files_[i].header || !files_[i].batches.empty();
      (was_used ? verdict_.orphans : verdict_.spares).push_back(i);
    }
  }

  void FindProof() {
    if (Planted(PlantedBug::kDurableUptoIgnored)) return;
    verdict_.proven = covered_.batch;
    for (const ChainFile& chain : verdict_.chain) {
      const FileSummary& file = files_[chain.file];
      if (file.header) verdict_.proven = std::max(verdict_.proven, file.header->durable_upto);
      for (const BatchSummary& batch : file.batches) {
        if (batch.number < chain.first_batch || batch.number > chain.end_batch) continue;
        verdict_.proven = std::max(verdict_.proven, batch.durable_upto);
      }
    }
  }

  /// Of several that say they are this batch, an intact one; they follow each other.
  const BatchSummary* BestOf(const FileSummary& file, std::size_t cursor) const {
    const BatchSummary* found = &file.batches[cursor];
    for (; cursor < file.batches.size() && file.batches[cursor].number == found->number; ++cursor) {
      if (file.batches[cursor].intact) return &file.batches[cursor];
    }
    return found;
  }

  void JudgeFile(std::size_t chain_index) {
    const ChainFile& chain = verdict_.chain[chain_index];
    const FileSummary& file = files_[chain.file];
    const bool newest = chain_index + 1 == verdict_.chain.size();
    std::uint64_t last = chain.end_batch;
    if (newest) {
      last = verdict_.proven;
      for (const BatchSummary& batch : file.batches) last = std::max(last, batch.number);
    }
    if (chain.missing_before) MissingStretch(chain_index);
    std::uint64_t offset = kFirstBatchOffset;
    // The batches of a file are in order, so one cursor finds them all.
    std::size_t cursor = 0;
    // Headers that contradict each other must not bring a number twice.
    std::uint64_t first = chain.first_batch;
    if (!verdict_.batches.empty()) {
      first = std::max(first, verdict_.batches.back().last_number + 1);
    }
    for (std::uint64_t number = first; number <= last; ++number) {
      while (cursor < file.batches.size() && file.batches[cursor].number < number) ++cursor;
      const BatchSummary* found = cursor < file.batches.size() ? &file.batches[cursor] : nullptr;
      if (found != nullptr && found->number != number) found = nullptr;
      if (found != nullptr && !found->intact) found = BestOf(file, cursor);
      if (found != nullptr && found->intact && Linked(*found)) {
        Accept(chain.file, *found);
      } else if (number <= verdict_.proven) {
        // A stretch of which nothing is found is one piece: its borders are not known, and its
        // length may come from a hostile header.
        std::uint64_t stretch_last = number;
        if (found == nullptr) {
          stretch_last = std::min(last, verdict_.proven);
          if (cursor < file.batches.size()) {
            stretch_last = std::min(stretch_last, file.batches[cursor].number - 1);
          }
        }
        Damage(chain.file, found, {number, stretch_last}, offset);
        number = stretch_last;
      } else {
        CutHere(chain_index, found, number, offset);
        stopped_ = !Planted(PlantedBug::kLaterFileKeptAfterTear);
        return;
      }
      if (found != nullptr) offset = found->offset + found->bytes;
    }
    if (newest && file.torn_bytes) CutHere(chain_index, nullptr, last + 1, file.end_offset);
  }

  /// What stood in a file that is gone: a stretch of no bytes in front of the next one.
  void MissingStretch(std::size_t chain_index) {
    const ChainFile& chain = verdict_.chain[chain_index];
    const std::uint64_t last = files_[chain.file].header->predecessor_end;
    const std::uint64_t first =
        chain_index > 0 ? verdict_.chain[chain_index - 1].end_batch + 1 : last;
    verdict_.batches.push_back({.file = chain.file,
                                .number = std::min(first, last),
                                .last_number = last,
                                .offset = kFirstBatchOffset,
                                .missing_file = true});
  }

  /// The chain of checksums: a batch names the one before it.
  bool Linked(const BatchSummary& batch) const {
    if (verdict_.batches.empty() || verdict_.batches.back().checksum == 0) return true;
    return batch.previous_checksum == verdict_.batches.back().checksum ||
           Planted(PlantedBug::kLifeIgnored) || Planted(PlantedBug::kLaterFileKeptAfterTear);
  }

  void Accept(std::size_t file, const BatchSummary& batch) {
    verdict_.batches.push_back({.file = file,
                                .number = batch.number,
                                .last_number = batch.number,
                                .offset = batch.offset,
                                .bytes = batch.bytes,
                                .checksum = batch.checksum,
                                .flags = batch.flags,
                                .intact = true});
  }

  struct Stretch {
    std::uint64_t first;
    std::uint64_t last;
  };

  void Damage(std::size_t file, const BatchSummary* found, Stretch numbers, std::uint64_t offset) {
    JudgedBatch judged{.file = file, .number = numbers.first, .last_number = numbers.last};
    if (found != nullptr) {
      judged.offset = found->offset;
      judged.bytes = found->bytes;
      judged.checksum = found->checksum;
      judged.flags = found->flags;
    } else {
      std::uint64_t end = files_[file].size_bytes;
      for (const BatchSummary& batch : files_[file].batches) {
        if (batch.number > numbers.last) end = std::min(end, batch.offset);
      }
      judged.offset = offset;
      judged.bytes = std::max(end, offset) - offset;
    }
    verdict_.batches.push_back(judged);
  }

  void CutHere(std::size_t chain_index, const BatchSummary* found, std::uint64_t number,
               std::uint64_t offset) {
    Cut& cut = verdict_.cut;
    const std::size_t file = verdict_.chain[chain_index].file;
    for (std::size_t i = chain_index; i < verdict_.chain.size(); ++i) {
      for (const BatchSummary& batch : files_[verdict_.chain[i].file].batches) {
        if (batch.intact && batch.number > number) ++cut.later_batches;
      }
    }
    const bool unproven = found != nullptr && found->header_ok;
    cut.kind = unproven ? CutKind::kUnproven : CutKind::kTorn;
    cut.file = file;
    cut.number = number;
    cut.offset = found != nullptr ? found->offset : offset;
    cut.bytes = found != nullptr ? found->bytes : 0;
  }

  std::span<const FileSummary> files_;
  FileEnd covered_;
  TailVerdict verdict_;
  bool stopped_ = false;
};

}  // namespace

TailVerdict JudgeTail(std::span<const FileSummary> files, const FileEnd& covered) {
  return Judge(files, covered).Run();
}

}  // namespace duramen::wal
