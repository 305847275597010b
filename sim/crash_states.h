// The legal disk images after a power loss, from what was pending when the power went.
//
// Profile ext4: metadata (names, sizes) survives as a prefix of its order, at least up to the last
// journal commit; of unsynced overwrites any subset of 512-byte sectors; growth by a write only
// together with its data, so data is there before the size that exposes it; allocated growth is
// absent or zeros.
// Profile adversary (what POSIX allows): any subset of unsynced operations, names included, so a
// rename before its data and a file without its directory entry; allocated growth may show what a
// removed file left in its place; a write may be longer than what it grew from.
//
// States are numbered: At(ordinal) is a pure function, so that a failure is replayed by its number.
// The numbers cover all subsets of up to ten operations (beyond that: all prefixes, each single
// omission, each single early arrival, seeded samples), the same over the sectors of every write of
// several sectors, with all other operations kept and with only the earlier ones kept, stale
// growth, and seeded mixtures of all that. A crash inside a write is a torn write at the boundary
// behind it.
//
// Pure. Requires: the DiskState outlives it and does not change.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/disk_state.h"

namespace duramen::sim {

enum class Profile : std::uint8_t { kExt4, kAdversary };
const char* ProfileName(Profile profile);

enum class Keep : std::uint8_t { kAbsent, kWhole, kTorn, kStale };

/// What a power loss kept, one element per pending change.
struct Choice {
  std::vector<Keep> keep;
  std::vector<std::vector<bool>> sectors;  // of torn writes; true: on disk
  /// '-' absent, '+' whole, 't' torn with its sectors, 's' stale; of one change.
  std::string ToString(std::size_t change) const;
};

class CrashStates {
 public:
  CrashStates(const DiskState& disk, Profile profile);
  /// How many numbered states there are, repeats included; at least 1.
  std::uint64_t count() const { return count_; }
  /// How many of them are about whole operations; they come first.
  std::uint64_t whole_count() const { return families_.front().count; }
  Choice At(std::uint64_t ordinal) const;
  Image Materialize(const Choice& choice) const;

 private:
  // A block of consecutive ordinals of one shape.
  struct Family {
    enum class Shape : std::uint8_t { kOperations, kSectors, kStaleGrowth, kMixture };
    Shape shape = Shape::kOperations;
    std::size_t change = 0;   // which pending change, for kSectors and kStaleGrowth
    bool later_kept = false;  // whether operations after `change` are kept
    std::uint64_t count = 0;
  };
  void AddFamilies();
  void ApplyWrite(Image& image, const Pending& change, const std::vector<bool>* sectors) const;
  void ApplyStale(Image& image, const Pending& change) const;
  const DiskState& disk_;
  Profile profile_;
  std::vector<std::size_t> optional_;  // changes that may be missing
  std::vector<Family> families_;
  std::uint64_t count_ = 0;
};

/// Number of subsets of `units` things that At() enumerates: all up to ten, else the named ones.
std::uint64_t SubsetCount(std::size_t units);
/// Subset number `ordinal` of them. Requires: ordinal < SubsetCount(units).
std::vector<bool> SubsetAt(std::size_t units, std::uint64_t ordinal);

}  // namespace duramen::sim
