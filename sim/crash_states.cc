#include "sim/crash_states.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace duramen::sim {
namespace {

constexpr std::size_t kAllSubsetsUpTo = 10;
constexpr std::uint64_t kSamples = 64;

std::uint64_t Scramble(std::uint64_t x) {  // splitmix64's finaliser
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

bool IsMetadata(OpKind kind) { return !IsWrite(kind) && !IsSync(kind); }

// The pair (prefix, early) number `ordinal` of those with prefix < early < units.
std::vector<bool> EarlyArrival(std::size_t units, std::uint64_t ordinal) {
  std::vector<bool> subset(units, false);
  for (std::size_t prefix = 0; prefix + 1 < units; ++prefix) {
    const std::uint64_t here = units - prefix - 1;
    if (ordinal >= here) {
      ordinal -= here;
      continue;
    }
    for (std::size_t i = 0; i < prefix; ++i) subset[i] = true;
    subset[prefix + 1 + ordinal] = true;
    return subset;
  }
  return subset;
}

}  // namespace

const char* ProfileName(Profile profile) {
  return profile == Profile::kExt4 ? "ext4" : "adversary";
}

std::uint64_t SubsetCount(std::size_t units) {
  if (units <= kAllSubsetsUpTo) return 1ULL << units;
  const std::uint64_t prefixes = units + 1;
  return prefixes + units + units * (units - 1) / 2 + kSamples;
}

std::vector<bool> SubsetAt(std::size_t units, std::uint64_t ordinal) {
  CHECK(ordinal < SubsetCount(units));
  std::vector<bool> subset(units, false);
  if (units <= kAllSubsetsUpTo) {
    for (std::size_t i = 0; i < units; ++i) subset[i] = ((ordinal >> i) & 1) != 0;
    return subset;
  }
  if (ordinal <= units) {  // a prefix
    for (std::size_t i = 0; i < ordinal; ++i) subset[i] = true;
    return subset;
  }
  ordinal -= units + 1;
  if (ordinal < units) {  // a single omission
    subset.assign(units, true);
    subset[ordinal] = false;
    return subset;
  }
  ordinal -= units;
  const std::uint64_t early = units * (units - 1) / 2;
  if (ordinal < early) return EarlyArrival(units, ordinal);
  ordinal -= early;
  for (std::size_t i = 0; i < units; ++i) subset[i] = (Scramble(ordinal * 4096 + i) & 1) != 0;
  return subset;
}

std::string Choice::ToString(std::size_t change) const {
  static constexpr std::array<char, 4> kLetters = {'-', '+', 't', 's'};
  std::string text(1, kLetters[static_cast<std::size_t>(keep[change])]);
  if (keep[change] != Keep::kTorn) return text;
  text += '[';
  for (const bool kept : sectors[change]) text += kept ? '1' : '0';
  return text + ']';
}

CrashStates::CrashStates(const DiskState& disk, Profile profile) : disk_(disk), profile_(profile) {
  for (std::size_t i = 0; i < disk.pending().size(); ++i) {
    const bool forced = profile == Profile::kExt4 && disk.pending()[i].journaled;
    if (!forced) optional_.push_back(i);
  }
  AddFamilies();
  for (const Family& family : families_) count_ += family.count;
}

void CrashStates::AddFamilies() {
  families_.push_back({Family::Shape::kOperations, 0, false, SubsetCount(optional_.size())});
  for (const std::size_t i : optional_) {
    const Op& op = disk_.pending()[i].op;
    for (const bool later_kept : {false, true}) {
      if (later_kept && i == optional_.back()) continue;  // the same states
      if (SectorCount(op) > 1) {
        families_.push_back({Family::Shape::kSectors, i, later_kept, SubsetCount(SectorCount(op))});
      }
      if (op.kind == OpKind::kAllocate && profile_ == Profile::kAdversary) {
        families_.push_back({Family::Shape::kStaleGrowth, i, later_kept, 1});
      }
    }
  }
  if (optional_.size() > 1) families_.push_back({Family::Shape::kMixture, 0, false, kSamples});
}

Choice CrashStates::At(std::uint64_t ordinal) const {
  CHECK(ordinal < count_);
  const std::size_t changes = disk_.pending().size();
  Choice choice{std::vector<Keep>(changes, Keep::kWhole), std::vector<std::vector<bool>>(changes)};
  std::size_t number = 0;
  while (ordinal >= families_[number].count) ordinal -= families_[number++].count;
  const Family& family = families_[number];
  if (family.shape == Family::Shape::kOperations) {
    const std::vector<bool> subset = SubsetAt(optional_.size(), ordinal);
    for (std::size_t i = 0; i < optional_.size(); ++i) {
      if (!subset[i]) choice.keep[optional_[i]] = Keep::kAbsent;
    }
    return choice;
  }
  if (family.shape == Family::Shape::kMixture) {
    for (const std::size_t i : optional_) {
      const std::uint64_t draw = Scramble(ordinal * 8192 + i);
      const std::size_t sectors = SectorCount(disk_.pending()[i].op);
      choice.keep[i] = static_cast<Keep>(draw % 4);
      const bool grows = disk_.pending()[i].op.kind == OpKind::kAllocate;
      const bool may_be_stale = grows && profile_ == Profile::kAdversary;
      if (choice.keep[i] == Keep::kStale && !may_be_stale) choice.keep[i] = Keep::kWhole;
      if (choice.keep[i] == Keep::kTorn && sectors == 0) choice.keep[i] = Keep::kWhole;
      for (std::size_t s = 0; s < sectors; ++s) {
        choice.sectors[i].push_back((Scramble(draw + s) & 1) != 0);
      }
    }
    return choice;
  }
  for (const std::size_t i : optional_) {
    if (i > family.change && !family.later_kept) choice.keep[i] = Keep::kAbsent;
  }
  if (family.shape == Family::Shape::kStaleGrowth) {
    choice.keep[family.change] = Keep::kStale;
    return choice;
  }
  choice.keep[family.change] = Keep::kTorn;
  choice.sectors[family.change] = SubsetAt(SectorCount(disk_.pending()[family.change].op), ordinal);
  return choice;
}

void CrashStates::ApplyWrite(Image& image, const Pending& change,
                             const std::vector<bool>* sectors) const {
  const Op& op = change.op;
  const std::uint64_t end = op.offset + op.bytes->size();
  const std::uint64_t size = image.content(op.node).size_bytes();
  const bool grew = end > change.size_before_bytes;
  std::uint64_t sector = op.offset / kSectorBytes;
  for (std::size_t i = 0; i < SectorCount(op); ++i, ++sector) {
    const std::uint64_t begin = std::max(op.offset, sector * kSectorBytes);
    std::uint64_t stop = std::min(end, (sector + 1) * kSectorBytes);
    const bool kept =
        (sectors == nullptr || (*sectors)[i]) && (!change.clean || !change.overwritten[i]);
    if (profile_ == Profile::kExt4) {
      // Without its own size change a write shows only what lies inside the file; with it, data
      // comes before the size, so the first missing sector ends the growth.
      if (!grew) stop = std::min(stop, size);
      if (grew && stop > size && (!kept || begin > image.content(op.node).size_bytes())) return;
    }
    if (!kept || begin >= stop) continue;
    image.MutableContent(op.node).Write(begin,
                                        Bytes(*op.bytes).subspan(begin - op.offset, stop - begin));
  }
}

/// Growth whose blocks once belonged to a file that was removed: the newest one wins.
void CrashStates::ApplyStale(Image& image, const Pending& change) const {
  const std::uint64_t old_size = image.content(change.op.node).size_bytes();
  ApplyChange(image, change.op);
  for (std::size_t i = disk_.removed().size(); i-- > 0;) {
    const Node removed = disk_.removed()[i];
    if (removed == change.op.node) continue;
    const FileContent& former = disk_.visible().content(removed);
    if (former.size_bytes() <= old_size) continue;
    std::vector<std::byte> bytes(std::min(former.size_bytes(), change.op.size_bytes) - old_size);
    former.Read(old_size, bytes);
    image.MutableContent(change.op.node).Write(old_size, bytes);
    return;
  }
}

Image CrashStates::Materialize(const Choice& choice) const {
  Image image = disk_.durable();
  bool metadata_open = true;
  for (std::size_t i = 0; i < disk_.pending().size(); ++i) {
    const Pending& change = disk_.pending()[i];
    Keep keep = choice.keep[i];
    if (profile_ == Profile::kExt4 && IsMetadata(change.op.kind)) {
      if (change.journaled) {
        keep = Keep::kWhole;
      } else if (!metadata_open) {
        keep = Keep::kAbsent;  // metadata is in order: nothing behind the first that is missing
      } else if (keep == Keep::kAbsent) {
        metadata_open = false;
      }
    }
    if (keep == Keep::kAbsent) continue;
    if (IsWrite(change.op.kind)) {
      const bool torn = keep == Keep::kTorn;
      ApplyWrite(image, change, torn ? &choice.sectors[i] : nullptr);
    } else if (change.op.kind == OpKind::kAllocate && keep == Keep::kStale) {
      ApplyStale(image, change);
    } else {
      ApplyChange(image, change.op);
    }
  }
  return image;
}

}  // namespace duramen::sim
