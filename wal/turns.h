// Whose ring is drained next [B7]. Those who write take turns by bytes, whatever number of rings
// they have; the rings of one take turns within its own. Pure.
//
// Rings are known by their places; the WAL thread's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace duramen::wal {

class Turns {
 public:
  static constexpr std::uint64_t kQuantumBytes = 64 << 10;  // of one before the next has its turn

  /// `owners`: of each ring, who writes it. Who is next stays it.
  void Reset(std::span<const void* const> owners);

  struct Taken {
    std::uint64_t bytes = 0;
    bool full = false;  // no more can be taken from anybody
  };
  /// Calls `take(ring, bytes)` until nobody has anything more, or all is full: whose turn it was
  /// goes on with it the next time. It takes from that ring up to so many bytes, or one record more
  /// than fits.
  template <typename Take>
  void Run(Take take) {
    std::size_t idle = 0;
    while (idle < owners_.size()) {
      Owner& owner = owners_[next_];
      const Taken taken = RunOne(owner, take);
      if (taken.full && owner.spent < kQuantumBytes) return;
      owner.spent = 0;
      next_ = (next_ + 1) % owners_.size();
      if (taken.full) return;
      idle = taken.bytes == 0 ? idle + 1 : 0;
    }
  }

 private:
  struct Owner {
    const void* id = nullptr;
    std::vector<std::size_t> rings = {};
    std::size_t next = 0;     // in `rings`
    std::uint64_t spent = 0;  // of a turn that was cut short
  };

  /// One turn: what a ring leaves of it another one of the same owner may have.
  template <typename Take>
  Taken RunOne(Owner& owner, Take& take) {
    Taken all;
    for (std::size_t looked = 0; looked < owner.rings.size() && owner.spent < kQuantumBytes;
         ++looked) {
      const Taken taken = take(owner.rings[owner.next], kQuantumBytes - owner.spent);
      owner.spent += taken.bytes;
      all.bytes += taken.bytes;
      all.full = taken.full;
      if (all.full && owner.spent < kQuantumBytes) return all;
      owner.next = (owner.next + 1) % owner.rings.size();
      if (all.full) return all;
    }
    return all;
  }

  std::vector<Owner> owners_;
  std::size_t next_ = 0;  // in `owners_`
};

}  // namespace duramen::wal
