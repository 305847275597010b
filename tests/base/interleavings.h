// Tries every order in which the threads of a small program may take their steps on shared words,
// with every delay of a store that a processor may put in, and every moment at which a thread may
// be killed.
//
// The program's threads are functions that are called again and again: each call is a turn, with
// what the thread knows between turns in a Local. To find out what a thread does next, its turn is
// run with the results of the operations that it has done, up to the next one: so no thread is
// needed, a state is a value, and states that are equal are visited once.
//
// Memory: a store goes into its thread's buffer and reaches memory later, in any order but for
// those of the same word, and not before what precedes it where it is a release store. That is more
// than x86 does (first in, first out) and covers what a release store promises elsewhere. Loads see
// the own buffer first and are not delayed; a read-modify-write waits until the buffer is empty. A
// thread that is killed takes no further step; of what is in its buffer any number of first stores
// remains, as if it had been killed before the others.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/ring.h"
#include "tests/base/explored_atomics.h"

namespace duramen::testing {

/// What a thread of the program knows between two turns. `numbers` must tell apart what the sides
/// of the ring in it would tell apart.
struct Local {
  RingProducer producer;
  RingConsumer consumer;
  std::array<std::uint8_t, 6> numbers{};
  bool finished = false;
};

/// Thrown by a turn that sees what must not be.
struct Violation {
  std::string what;
};

struct ThreadSpec {
  std::string name;
  std::function<void(Local&)> turn;
  Local start;
  bool may_be_killed = false;
  int starts_after_death_of = -1;  // of which thread; -1: from the beginning
};

struct Program {
  std::vector<ThreadSpec> threads;
  const void* memory = nullptr;  // all that is shared, zeros at the start
  std::size_t memory_bytes = 0;
  /// Asked when no thread can go on and in each state; reads words by address. What is wrong, or
  /// "".
  std::function<std::string(const std::function<std::uint64_t(const void*)>& word,
                            const std::vector<bool>& dead, bool at_end)>
      judge;
};

/// Mistakes of memory order that the code could have: planted to see them found.
struct Weakened {
  bool release_stores = false;  // are not waited for by anything
  bool exchange = false;        // is a load and a store
  bool add = false;             // likewise
};

struct Explored {
  std::uint64_t states = 0;
  std::uint64_t ends = 0;
  std::string violation;  // empty: none; else what, and the steps that lead there
};

enum class StoresReachMemory { kAtOnce, kLater };

Explored Explore(const Program& program, StoresReachMemory when, const Weakened& weakened = {});

/// For turns: the test's own books.
std::uint64_t ReadNote(const void* at);
void WriteNote(const void* at, std::uint64_t value);

}  // namespace duramen::testing
