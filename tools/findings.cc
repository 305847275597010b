#include "tools/findings.h"

#include <algorithm>

#include "tools/text.h"

namespace duramen::tools {
namespace {

class Collector {
 public:
  explicit Collector(const WalImage& image) : image_(image) {}

  std::vector<ImageFinding> Run() {
    for (const std::uint64_t number : image_.verdict.missing) {
      Add({.kind = FindingKind::kMissingFile,
           .file = wal::FileName(number),
           .sentence = "a WAL file that is still needed is not there",
           .touched = {}},
          true);
    }
    if (!image_.verdict.reaches_covered) {
      const bool none = image_.verdict.chain.empty();
      Add({.kind = FindingKind::kDamage,
           .file = none ? "wal" : image_.files[image_.verdict.chain.front().file].name,
           .sentence = "what followed the checkpoint is gone; nothing says whose it was",
           .touched = {}},
          true);
    }
    for (const std::size_t file : image_.headless) {
      Add({.kind = FindingKind::kDamage,
           .file = image_.files[file].name,
           .size_bytes = image_.files[file].size_bytes,
           .sentence =
               "both copies of the file header are unreadable, and no other file tells which "
               "system it belongs to",
           .touched = {}},
          true);
    }
    for (const wal::ChainFile& chain : image_.verdict.chain) HeaderCopies(chain.file);
    for (const std::size_t file : image_.verdict.orphans) {
      Add({.kind = FindingKind::kOrphanFile,
           .file = image_.files[file].name,
           .size_bytes = image_.files[file].size_bytes,
           .sentence = "off the chain of files: nothing in it counts",
           .touched = {}},
          false);
    }
    for (const wal::JudgedBatch& batch : image_.verdict.batches) Damage(batch);
    TheCut();
    return std::move(found_);
  }

 private:
  void Add(Finding finding, bool acknowledged) {
    found_.push_back({std::move(finding), acknowledged, acknowledged});
  }

  void HeaderCopies(std::size_t file) {
    const wal::FileSummary& summary = image_.summaries[file];
    // Before its first batch a crash can leave one copy; after it both were durable.
    const bool in_use = !summary.batches.empty();
    for (std::uint64_t copy = 0; copy < wal::kHeaderCopies; ++copy) {
      if (summary.copy_ok[copy]) continue;
      Add({.kind = FindingKind::kHeaderCopy,
           .file = image_.files[file].name,
           .offset_bytes = copy * wal::kBlockBytes,
           .size_bytes = wal::kBlockBytes,
           .sentence = in_use ? "one copy of the file header is unreadable; nothing is lost"
                              : "a copy of the file header was not completed; nothing is lost",
           .touched = {}},
          false);
      found_.back().failed_check = in_use;
    }
  }

  void Damage(const wal::JudgedBatch& batch) {
    if (batch.intact) return;
    Finding finding{.kind = FindingKind::kDamage,
                    .file = image_.files[batch.file].name,
                    .offset_bytes = batch.offset,
                    .size_bytes = batch.bytes,
                    .batch = batch.number,
                    .sentence = "bytes that were durable cannot be read",
                    .touched = {}};
    if (batch.last_number != batch.number) {
      finding.sentence = "batches " + std::to_string(batch.number) + " to " +
                         std::to_string(batch.last_number) + " were durable and are not there";
    }
    Add(std::move(finding), true);
  }

  void TheCut() {
    const wal::Cut& cut = image_.verdict.cut;
    if (cut.kind == wal::CutKind::kNone) return;
    const bool torn = cut.kind == wal::CutKind::kTorn;
    Finding finding{.kind = torn ? FindingKind::kTornTail : FindingKind::kUnprovenTail,
                    .file = image_.files[cut.file].name,
                    .offset_bytes = cut.offset,
                    .size_bytes = cut.bytes,
                    .batch = cut.number,
                    .sentence = {},
                    .touched = {}};
    finding.sentence = torn
                           ? "the last batch was not completed, so nothing of it was acknowledged; "
                             "a start cuts it"
                           : "the last batch has a complete header over a bad body, and nothing "
                             "proves that it was ever durable; a start cuts it";
    if (cut.later_batches > 0) {
      finding.sentence += ", with " + Plural(cut.later_batches, "later batch");
    }
    Add(std::move(finding), false);
  }

  const WalImage& image_;
  std::vector<ImageFinding> found_;
};

}  // namespace

std::vector<ImageFinding> FindingsOf(const WalImage& image) { return Collector(image).Run(); }

std::string SentenceOf(const Finding& finding) {
  std::string text = std::string(FindingKindName(finding.kind)) + ": ";
  if (finding.batch != 0) text += "batch " + std::to_string(finding.batch) + " of ";
  text += finding.file;
  if (finding.offset_bytes != 0) text += " at offset " + std::to_string(finding.offset_bytes);
  if (finding.size_bytes != 0) text += ", " + HumanBytes(finding.size_bytes);
  return text + ": " + finding.sentence;
}

std::string VerdictSentence(const WalImage& image) {
  if (image.damaged()) return "damage";
  switch (image.verdict.cut.kind) {
    case wal::CutKind::kTorn:
      return "clean, with a torn tail that a start cuts";
    case wal::CutKind::kUnproven:
      return "clean, with an unproven tail that a start cuts";
    case wal::CutKind::kNone:
      break;
  }
  return "clean";
}

}  // namespace duramen::tools
