#include "tests/base/interleavings.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <tuple>
#include <type_traits>
#include <unordered_set>

#include "base/futex.h"

namespace duramen::testing {
namespace {

constexpr std::size_t kWordsMax = 36;
constexpr std::size_t kThreadsMax = 6;
constexpr std::size_t kBufferMax = 12;
constexpr std::size_t kPieceBytes = kRingRecordBytes / 2;
constexpr std::size_t kStepsShown = 80;

/// Thrown at the first operation of a turn whose result is not known yet.
struct Pending {
  Op op;
};

/// The turn that is being run; one at a time.
struct Run {
  const Program* program = nullptr;
  Weakened weakened;
  const std::vector<std::uint8_t>* results = nullptr;  // none: nothing is explored
  std::size_t next = 0;
};
Run run;

struct Buffered {
  std::uint8_t word;
  std::uint8_t value;
  std::uint8_t release;
};

struct Thread {
  std::uint16_t id;  // of what it knows, see Explorer::Known
  std::uint8_t dead;
  std::uint8_t started;
  std::uint8_t asleep_on;  // word + 1
  std::uint8_t buffered;
  std::array<Buffered, kBufferMax> buffer;
};

struct State {
  std::array<std::uint8_t, kWordsMax> words;
  std::array<Thread, kThreadsMax> threads;
};
static_assert(std::has_unique_object_representations_v<State>);  // Hashed as it lies there.

std::uint64_t HashOf(const State& state) {
  std::uint64_t hash = 0x9E3779B97F4A7C15ULL;
  static_assert(sizeof(State) % 8 == 0);
  for (std::size_t at = 0; at < sizeof(State); at += 8) {
    std::uint64_t part = 0;
    std::memcpy(&part, reinterpret_cast<const char*>(&state) + at, 8);
    hash = (hash ^ part) * 0xFF51AFD7ED558CCDULL;
    hash ^= hash >> 32;
  }
  return hash;
}

enum class ActionKind : std::uint8_t { kStep, kReach, kKill };

struct Action {
  ActionKind kind;
  std::uint8_t thread;
  std::uint8_t which;  // kReach: which buffered store; kKill: how many of them remain
};

/// What a thread knows: where it stands in its turn, and what it does next.
struct Knowledge {
  std::size_t thread = 0;
  Local local;
  std::vector<std::uint8_t> results;
  bool finished = false;
  Op op;
  std::uint8_t word = 0;
  std::string violation;
  std::map<std::uint8_t, std::uint16_t> after;  // by the operation's result
};

class Explorer {
 public:
  Explorer(const Program& program, StoresReachMemory when) : program_(program), when_(when) {}

  Explored Go() {
    State first = {};
    for (std::size_t i = 0; i < program_.threads.size(); ++i) {
      first.threads[i].id = Know(i, program_.threads[i].start, {});
      first.threads[i].started = program_.threads[i].starts_after_death_of < 0;
    }
    Enter(first);
    while (!path_.empty() && found_.violation.empty()) {
      Frame& top = path_.back();
      if (top.next == top.actions.size()) {
        path_.pop_back();
        continue;
      }
      State state = top.state;
      Do(top.actions[top.next++], state);
      Enter(state);
    }
    return found_;
  }

 private:
  struct Frame {
    State state;
    std::vector<Action> actions;
    std::size_t next = 0;
  };

  std::uint8_t WordAt(const void* at) {
    const auto found = std::find(places_.begin(), places_.end(), at);
    if (found == places_.end()) {
      if (places_.size() == kWordsMax) std::abort();
      places_.push_back(at);
      return static_cast<std::uint8_t>(places_.size() - 1);
    }
    return static_cast<std::uint8_t>(found - places_.begin());
  }

  /// Runs a thread from the start of its turn as far as `results` reach, and finds the number of
  /// what it knows then.
  std::uint16_t Know(std::size_t thread, const Local& start, std::vector<std::uint8_t> results) {
    const auto key = std::tuple(thread, start.numbers, start.finished, results);
    if (const auto known = numbers_.find(key); known != numbers_.end()) return known->second;
    Knowledge knowledge{.thread = thread, .local = start, .results = results};
    Local local = start;
    run.results = &results;
    run.next = 0;
    std::optional<std::uint16_t> next_turn;
    try {
      knowledge.finished = start.finished;
      if (!start.finished) {
        program_.threads[thread].turn(local);
        next_turn = Know(thread, local, {});
      }
    } catch (const Pending& pending) {
      knowledge.op = pending.op;
      knowledge.word = WordAt(pending.op.at);
    } catch (const Violation& violation) {
      knowledge.violation = violation.what;
    }
    run.results = nullptr;
    const std::uint16_t number = next_turn ? *next_turn : static_cast<std::uint16_t>(known_.size());
    if (!next_turn) known_.push_back(std::move(knowledge));
    if (known_.size() > 0xFFFF) std::abort();  // The test's programs are small.
    numbers_.emplace(key, number);
    return number;
  }

  std::uint16_t After(std::uint16_t id, std::uint8_t result) {
    const auto known = known_[id].after.find(result);
    if (known != known_[id].after.end()) return known->second;
    std::vector<std::uint8_t> results = known_[id].results;
    results.push_back(result);
    const Local local = known_[id].local;
    const std::uint16_t next = Know(known_[id].thread, local, std::move(results));
    known_[id].after.emplace(result, next);
    return next;
  }

  /// Steps that no other thread can tell from later ones: stores into the own buffer, notes.
  void Settle(State& state) {
    for (std::size_t i = 0; i < program_.threads.size(); ++i) {
      Thread& thread = state.threads[i];
      const int dead = program_.threads[i].starts_after_death_of;
      if (dead >= 0 && state.threads[dead].dead && state.threads[dead].buffered == 0) {
        thread.started = 1;
      }
      while (thread.started && !thread.dead && IsSilent(known_[thread.id])) {
        Perform(i, state);
      }
    }
  }

  bool IsSilent(const Knowledge& knowledge) const {
    if (knowledge.finished || !knowledge.violation.empty()) return false;
    const OpKind kind = knowledge.op.kind;
    return kind == OpKind::kNoteLoad || kind == OpKind::kNoteStore ||
           (kind == OpKind::kStore && when_ == StoresReachMemory::kLater);
  }

  void Enter(State state) {
    Settle(state);
    if (!visited_.insert(HashOf(state)).second) return;
    ++found_.states;
    Frame frame{.state = state};
    bool goes_on = false;
    for (std::size_t i = 0; i < program_.threads.size(); ++i) {
      const std::size_t before = frame.actions.size();
      AddActions(i, state, frame.actions);
      goes_on |= frame.actions.size() != before;
    }
    for (std::size_t i = 0; i < program_.threads.size(); ++i) AddKills(i, state, frame.actions);
    Judge(state, !goes_on);
    if (!goes_on) ++found_.ends;
    path_.push_back(std::move(frame));
    if (!wrong_.empty()) found_.violation = wrong_ + Trace();
  }

  void Judge(const State& state, bool at_end) {
    std::vector<bool> dead;
    for (std::size_t i = 0; i < program_.threads.size(); ++i) {
      const Thread& thread = state.threads[i];
      dead.push_back(thread.dead != 0);
      const std::string& seen = known_[thread.id].violation;
      if (thread.started && !thread.dead && !seen.empty()) wrong_ = seen;
    }
    const auto word = [&](const void* at) -> std::uint64_t { return state.words[WordAt(at)]; };
    if (wrong_.empty()) wrong_ = program_.judge(word, dead, at_end);
  }

  void AddActions(std::size_t i, const State& state, std::vector<Action>& actions) const {
    const Thread& thread = state.threads[i];
    const auto number = static_cast<std::uint8_t>(i);
    for (std::uint8_t at = 0; at < thread.buffered; ++at) {
      bool waits = thread.buffer[at].release && at != 0;
      for (std::uint8_t earlier = 0; earlier < at; ++earlier) {
        waits |= thread.buffer[earlier].word == thread.buffer[at].word;
      }
      if (!waits) actions.push_back({ActionKind::kReach, number, at});
    }
    const Knowledge& knowledge = known_[thread.id];
    if (!thread.started || thread.dead || thread.asleep_on != 0) return;
    if (knowledge.finished || !knowledge.violation.empty()) return;
    if (knowledge.op.kind != OpKind::kLoad && thread.buffered != 0) return;
    actions.push_back({ActionKind::kStep, number, 0});
  }

  void AddKills(std::size_t i, const State& state, std::vector<Action>& actions) const {
    const Thread& thread = state.threads[i];
    if (!program_.threads[i].may_be_killed || !thread.started || thread.dead) return;
    for (std::uint8_t remain = 0; remain <= thread.buffered; ++remain) {
      actions.push_back({ActionKind::kKill, static_cast<std::uint8_t>(i), remain});
    }
  }

  void Do(const Action& action, State& state) {
    Thread& thread = state.threads[action.thread];
    switch (action.kind) {
      case ActionKind::kStep:
        Perform(action.thread, state);
        break;
      case ActionKind::kReach:
        state.words[thread.buffer[action.which].word] = thread.buffer[action.which].value;
        for (std::size_t at = action.which; at + 1 < thread.buffered; ++at) {
          thread.buffer[at] = thread.buffer[at + 1];
        }
        thread.buffer[--thread.buffered] = {};
        break;
      case ActionKind::kKill:
        thread.dead = 1;
        thread.id = 0;
        thread.asleep_on = 0;
        while (thread.buffered > action.which) thread.buffer[--thread.buffered] = {};
        break;
    }
  }

  std::uint8_t Load(const State& state, const Thread& thread, std::uint8_t word) const {
    for (std::size_t at = thread.buffered; at-- > 0;) {
      if (thread.buffer[at].word == word) return thread.buffer[at].value;
    }
    return state.words[word];
  }

  void Perform(std::size_t i, State& state) {
    Thread& thread = state.threads[i];
    const Op op = known_[thread.id].op;
    const std::uint8_t number = known_[thread.id].word;
    std::uint8_t& word = state.words[number];
    const auto operand = static_cast<std::uint8_t>(op.operand);
    std::uint8_t result = word;
    switch (op.kind) {
      case OpKind::kLoad:
        result = Load(state, thread, number);
        break;
      case OpKind::kNoteLoad:
        break;
      case OpKind::kStore:
        if (op.operand > 0xFF) std::abort();
        result = 0;
        if (when_ == StoresReachMemory::kAtOnce) {
          word = operand;
        } else {
          if (thread.buffered == kBufferMax) std::abort();
          const bool release = op.release && !run.weakened.release_stores;
          thread.buffer[thread.buffered++] = {number, operand, release};
        }
        break;
      case OpKind::kNoteStore:
        word = operand;
        result = 0;
        break;
      case OpKind::kExchange:
        word = operand;
        break;
      case OpKind::kAdd:
        word = static_cast<std::uint8_t>(word + operand);
        break;
      case OpKind::kCompareExchange:
        if (word == op.expected) word = operand;
        break;
      case OpKind::kWait:
        if (word == op.expected) {
          thread.asleep_on = static_cast<std::uint8_t>(number + 1);
          return;
        }
        result = 0;
        break;
      case OpKind::kWake:
        WakeAll(number, state);
        result = 0;
        break;
    }
    thread.id = After(thread.id, result);
  }

  void WakeAll(std::uint8_t word, State& state) {
    for (Thread& thread : state.threads) {
      if (thread.asleep_on != word + 1) continue;
      thread.asleep_on = 0;
      thread.id = After(thread.id, 0);
    }
  }

  std::string Trace() const {
    std::string text;
    const std::size_t from = path_.size() > kStepsShown ? path_.size() - kStepsShown : 0;
    for (std::size_t i = from; i + 1 < path_.size(); ++i) {
      const Action& action = path_[i].actions[path_[i].next - 1];
      text += "\n  " + program_.threads[action.thread].name + Describe(path_[i].state, action);
    }
    return text;
  }

  std::string Describe(const State& state, const Action& action) const {
    static constexpr const char* kNames[] = {" loads",   " stores",   " exchanges",
                                             " adds to", " compares", " waits on",
                                             " wakes",   " notes",    " notes"};
    const Thread& thread = state.threads[action.thread];
    const auto place = [&](std::uint8_t word) {
      const auto offset =
          static_cast<const char*>(places_[word]) - static_cast<const char*>(program_.memory);
      return " word at " + std::to_string(offset) + " (" + std::to_string(state.words[word]) + ")";
    };
    switch (action.kind) {
      case ActionKind::kStep:
        return kNames[static_cast<int>(known_[thread.id].op.kind)] + place(known_[thread.id].word);
      case ActionKind::kReach:
        return "'s store of " + std::to_string(thread.buffer[action.which].value) + " reaches" +
               place(thread.buffer[action.which].word);
      case ActionKind::kKill:
        break;
    }
    return " is killed, " + std::to_string(action.which) + " stores remain";
  }

  const Program& program_;
  StoresReachMemory when_;
  std::vector<const void*> places_;
  std::vector<Knowledge> known_;
  std::map<std::tuple<std::size_t, std::array<std::uint8_t, 6>, bool, std::vector<std::uint8_t>>,
           std::uint16_t>
      numbers_;
  std::unordered_set<std::uint64_t> visited_;
  std::vector<Frame> path_;
  std::string wrong_;
  Explored found_;
};

}  // namespace

std::uint64_t Perform(const Op& op) {
  if (run.results == nullptr) return 0;  // The program is being made: memory is zeros.
  if (run.next < run.results->size()) return (*run.results)[run.next++];
  throw Pending{op};
}

bool InTwo(OpKind kind) {
  return kind == OpKind::kExchange ? run.weakened.exchange : run.weakened.add;
}

bool IsShared(const void* at) {
  const auto place = reinterpret_cast<std::uintptr_t>(at);
  const auto begin = reinterpret_cast<std::uintptr_t>(run.program->memory);
  return place >= begin && place < begin + run.program->memory_bytes;
}

std::uint64_t ReadNote(const void* at) { return Perform({.kind = OpKind::kNoteLoad, .at = at}); }

void WriteNote(const void* at, std::uint64_t value) {
  Perform({.kind = OpKind::kNoteStore, .at = at, .operand = value});
}

Explored Explore(const Program& program, StoresReachMemory when, const Weakened& weakened) {
  run = {.program = &program, .weakened = weakened};
  const Explored explored = Explorer(program, when).Go();
  run = {};
  return explored;
}

}  // namespace duramen::testing

namespace duramen {

void CopyShared(void* to, const void* from, std::size_t size_bytes) {
  using testing::Op;
  using testing::OpKind;
  auto* const target = static_cast<std::byte*>(to);
  const auto* const source = static_cast<const std::byte*>(from);
  for (std::size_t at = 0; at < size_bytes; at += testing::kPieceBytes) {
    std::uint64_t value = 0;
    if (testing::IsShared(target + at)) {
      std::memcpy(&value, source + at, sizeof value);
      testing::Perform({.kind = OpKind::kStore, .at = target + at, .operand = value});
    } else {
      value = testing::Perform({.kind = OpKind::kLoad, .at = source + at});
      std::memcpy(target + at, &value, sizeof value);
    }
  }
}

void FutexWait(Atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t, FutexScope) {
  testing::Perform({.kind = testing::OpKind::kWait, .at = &word, .expected = expected});
}

void FutexWakeAll(Atomic<std::uint32_t>& word, FutexScope) {
  testing::Perform({.kind = testing::OpKind::kWake, .at = &word});
}

}  // namespace duramen
