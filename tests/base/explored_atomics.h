// What base/atomics.h is in the test of all interleavings: each operation on a shared word is
// handed to the explorer (tests/base/interleavings.h), which decides what it does and when.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace duramen::testing {

enum class OpKind : std::uint8_t {
  kLoad,
  kStore,
  kExchange,
  kAdd,
  kCompareExchange,
  kWait,       // of a futex
  kWake,       // all of a futex
  kNoteLoad,   // of the test's own books, which are no memory of the ring's:
  kNoteStore,  // at once and seen by all
};

/// An operation of the thread that runs. Not only of the ring's: FutexWait is one too.
struct Op {
  OpKind kind = OpKind::kLoad;
  const void* at = nullptr;
  std::uint64_t operand = 0;
  std::uint64_t expected = 0;
  bool release = false;  // of a store: not before those that precede it
};

/// What the operation gives, if the explorer has it already; throws Pending if not.
std::uint64_t Perform(const Op& op);
/// Whether read-modify-write operations fall apart, as a planted mistake has it.
bool InTwo(OpKind kind);
/// Whether a piece of memory is shared.
bool IsShared(const void* at);

}  // namespace duramen::testing

namespace duramen {

template <typename T>
class Atomic {
 public:
  static constexpr bool is_always_lock_free = true;

  constexpr Atomic(T value = T{}) : initial_(value) {}  // NOLINT: implicit, as the standard's
  T load(std::memory_order = std::memory_order_seq_cst) const {
    return Do({.kind = testing::OpKind::kLoad});
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) {
    Do({.kind = testing::OpKind::kStore,
        .operand = value,
        .release = order != std::memory_order_relaxed});
  }
  T exchange(T value, std::memory_order = std::memory_order_seq_cst) {
    if (testing::InTwo(testing::OpKind::kExchange)) {
      const T before = load();
      store(value, std::memory_order_relaxed);
      return before;
    }
    return Do({.kind = testing::OpKind::kExchange, .operand = value});
  }
  T fetch_add(T value, std::memory_order = std::memory_order_seq_cst) {
    if (testing::InTwo(testing::OpKind::kAdd)) {
      const T before = load();
      store(static_cast<T>(before + value), std::memory_order_relaxed);
      return before;
    }
    return Do({.kind = testing::OpKind::kAdd, .operand = value});
  }
  T fetch_sub(T value, std::memory_order order = std::memory_order_seq_cst) {
    return fetch_add(static_cast<T>(T{} - value), order);
  }
  bool compare_exchange_strong(T& expected, T value, std::memory_order) {
    const T before =
        Do({.kind = testing::OpKind::kCompareExchange, .operand = value, .expected = expected});
    const bool equal = before == expected;
    expected = before;
    return equal;
  }

 private:
  T Do(testing::Op op) const {
    op.at = this;
    return static_cast<T>(testing::Perform(op));
  }

  T initial_;  // gives the word its size and place; the explorer has its value
};

/// In pieces of half a record, so that a torn one shows.
void CopyShared(void* to, const void* from, std::size_t size_bytes);

}  // namespace duramen
