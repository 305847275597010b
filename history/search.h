// Whether the operations of one key can be put into an order that explains what they answered: the
// search of Wing and Gong, as Lowe made it fast. README.md says how, and why what it leaves out
// is never needed.
//
// A Search is used once, by one thread. It ends: there are finitely many places and it looks at
// each once, and it stops at a budget before.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "history/model.h"
#include "history/visited.h"

namespace duramen::history {

enum class Verdict : std::uint8_t {
  kLinearizable,
  kNotLinearizable,
  kUndecided,  // the budget ended before the search did: neither
};

/// "linearizable", "not linearizable", "undecided".
std::string_view NameOf(Verdict verdict);

/// Of one search.
struct Budget {
  std::uint64_t steps_max = 200'000'000;  // operations tried; some seconds for ten million
  std::uint64_t memory_max_bytes = 1ULL << 30;
  std::function<bool()> stop;  // asked now and then; may be empty
};

class Search {
 public:
  /// One operation of an order, and what was after it.
  struct Placing {
    std::size_t item = 0;
    Model::State state = 0;
  };

  /// `items` are those of `model`; both outlive the search.
  Search(Model& model, std::span<const Item> items, const Budget& budget);
  Verdict Run();

  /// After kLinearizable: an order that explains the history.
  std::vector<Placing> Order();
  std::uint64_t steps() const { return steps_; }
  std::uint64_t memory_bytes() const { return model_.memory_bytes() + visited_.memory_bytes(); }

 private:
  using Node = std::uint32_t;
  static constexpr Node kNoNode = UINT32_MAX;

  /// A call or a completion, in the list of those that are not placed.
  struct Link {
    Node before = kNoNode;
    Node after = kNoNode;
    std::uint32_t item = 0;
    bool is_call = false;
    std::uint64_t position = 0;
  };
  struct Frame {
    std::uint32_t item = 0;
    Model::State state = 0;  // before it
    bool must_be_seen = false;
    bool last_try = false;  // nothing else is worth trying in its place
  };
  enum class Step : std::uint8_t { kPlaced, kStuck, kFull };

  void MakeLists();
  void FindTwins();
  void Unlink(Node node);
  void Relink(Node node);
  Node CallOf(std::uint32_t item) const { return call_nodes_[item]; }

  Node FirstCandidate() { return CandidateAfter(kKnownHead); }
  Node CandidateAfter(Node node);
  std::uint64_t FirstCompletion() const;

  Step Advance(Node resume);
  Step PlaceForced(bool& found);
  bool IsSeen(Model::State state, std::uint32_t item);
  std::optional<Model::State> Try(Model::State state, std::uint32_t item);
  Step Place(std::uint32_t item, Model::State next);
  Step PlaceHidden();
  Step Enter(std::size_t frames_before);
  std::optional<std::uint32_t> HiddenCandidate();
  void Push(std::uint32_t item, Model::State next, bool last_try);
  Frame Pop();
  /// The node to go on from; kNoNode when nothing is left to try.
  Node StepBack();
  bool OverBudget();

  void SetBit(std::uint32_t item);
  void ClearBit(std::uint32_t item);
  bool HasBit(std::uint32_t item) const;
  std::span<const std::uint64_t> KeyOf();

  // The heads of the two lists: known items, with completions; unknown ones.
  static constexpr Node kKnownHead = 0;
  static constexpr Node kUnknownHead = 1;

  Model& model_;
  std::span<const Item> items_;
  Budget budget_;
  Visited visited_;
  std::vector<Link> links_;
  std::vector<Node> call_nodes_;                     // by item; the completion's follows
  std::vector<std::optional<std::uint32_t>> twins_;  // by unknown item: one like it, called before
  std::uint64_t known_left_ = 0;
  std::uint64_t judges_left_ = 0;
  std::vector<Frame> frames_;
  Model::State state_ = 0;
  bool must_be_seen_ =
      false;                 // the last one placed is unknown and of no use unless the next sees it
  std::uint64_t limit_ = 0;  // the first completion that is not placed

  // One bit per item: known ones by call in known_bits_, where all below `low_` are full words and
  // all above `high_` are empty ones; unknown ones in unknown_bits_.
  std::vector<std::uint32_t> bits_;  // by item
  std::vector<std::uint64_t> known_bits_;
  std::vector<std::uint64_t> unknown_bits_;
  std::size_t low_ = 0;
  std::size_t high_ = 0;
  std::vector<std::uint64_t> key_;

  std::uint64_t steps_ = 0;
  bool stopped_ = false;
};

}  // namespace duramen::history
