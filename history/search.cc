#include "history/search.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace duramen::history {
namespace {

constexpr std::uint64_t kStepsBetweenLooks = 1024;

}  // namespace

std::string_view NameOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kLinearizable:
      return "linearizable";
    case Verdict::kNotLinearizable:
      return "not linearizable";
    case Verdict::kUndecided:
      break;
  }
  return "undecided";
}

Search::Search(Model& model, std::span<const Item> items, const Budget& budget)
    : model_(model), items_(items), budget_(budget), visited_(budget.memory_max_bytes) {
  MakeLists();
  FindTwins();
  state_ = model_.Initial();
}

void Search::MakeLists() {
  links_.resize(2);
  links_[kKnownHead] = {kKnownHead, kKnownHead, 0, false, 0};
  links_[kUnknownHead] = {kUnknownHead, kUnknownHead, 0, false, 0};
  call_nodes_.assign(items_.size(), kNoNode);
  bits_.assign(items_.size(), 0);
  struct Place {
    std::uint64_t position;
    Node node;
  };
  std::vector<Place> places;
  std::uint32_t unknown = 0;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const auto item = static_cast<std::uint32_t>(i);
    const bool known = items_[i].known();
    if (!known && !model_.Matters(i)) continue;
    call_nodes_[i] = static_cast<Node>(links_.size());
    links_.push_back({kNoNode, kNoNode, item, true, items_[i].call});
    bits_[i] = known ? static_cast<std::uint32_t>(known_left_++) : unknown++;
    if (!known) continue;
    links_.push_back({kNoNode, kNoNode, item, false, items_[i].completion});
    if (model_.Judges(i)) ++judges_left_;
  }
  for (Node node = 2; node < links_.size(); ++node) places.push_back({links_[node].position, node});
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.position < b.position; });
  for (const Place& place : places) {
    const Node head = items_[links_[place.node].item].known() ? kKnownHead : kUnknownHead;
    links_[place.node].before = links_[head].before;
    links_[place.node].after = head;
    Relink(place.node);
  }
  known_bits_.assign(known_left_ / 64 + 1, 0);
  unknown_bits_.assign((unknown + 63) / 64, 0);
}

void Search::FindTwins() {
  using Kind = std::tuple<Function, Value, Value>;
  std::map<Kind, std::uint32_t> last;
  twins_.resize(items_.size());
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].known() || call_nodes_[i] == kNoNode) continue;
    const Operation& operation = *items_[i].operation;
    const auto item = static_cast<std::uint32_t>(i);
    const Kind kind(operation.function, operation.value, operation.expected);
    const auto [place, first] = last.try_emplace(kind, item);
    if (!first) twins_[i] = std::exchange(place->second, item);
  }
}

void Search::Unlink(Node node) {
  links_[links_[node].before].after = links_[node].after;
  links_[links_[node].after].before = links_[node].before;
}

void Search::Relink(Node node) {
  links_[links_[node].before].after = node;
  links_[links_[node].after].before = node;
}

/// What may come next by time alone: first the known ones that are called before anything completes
/// that is not placed, then the unknown ones.
Search::Node Search::CandidateAfter(Node node) {
  Node next = links_[node].after;
  const bool known =
      node != kUnknownHead && (node == kKnownHead || items_[links_[node].item].known());
  if (known) {
    if (links_[next].is_call) return next;
    next = links_[kUnknownHead].after;
  }
  return next != kUnknownHead && links_[next].position < limit_ ? next : kNoNode;
}

std::uint64_t Search::FirstCompletion() const {
  Node node = links_[kKnownHead].after;
  while (links_[node].is_call) node = links_[node].after;
  return links_[node].position;
}

Verdict Search::Run() {
  Node resume = kKnownHead;
  while (judges_left_ > 0) {
    if (OverBudget()) return Verdict::kUndecided;
    const Step step = Advance(resume);
    if (step == Step::kFull) return Verdict::kUndecided;
    resume = kKnownHead;
    if (step == Step::kPlaced) continue;
    resume = StepBack();
    if (resume == kNoNode) return Verdict::kNotLinearizable;
  }
  return Verdict::kLinearizable;
}

bool Search::OverBudget() {
  return stopped_ || steps_ >= budget_.steps_max || memory_bytes() >= budget_.memory_max_bytes;
}

/// Places one more: of what comes after `resume`, which is the head of the list at a new place.
Search::Step Search::Advance(Node resume) {
  limit_ = FirstCompletion();
  if (resume == kKnownHead) {
    bool found = false;
    const Step step = PlaceForced(found);
    if (found) return step;
  }
  const bool hidden = HiddenCandidate().has_value();
  bool tried_alike =
      resume != kKnownHead && model_.NatureOf(links_[resume].item) == Model::Nature::kAlike;
  for (Node node = CandidateAfter(resume); node != kNoNode; node = CandidateAfter(node)) {
    const std::uint32_t item = links_[node].item;
    const Model::Nature nature = model_.NatureOf(item);
    if (nature == Model::Nature::kForced || nature == Model::Nature::kHidden) continue;
    if (nature == Model::Nature::kAlike && std::exchange(tried_alike, true)) continue;
    // What hidden ones there are can as well be in front of it, where it hides them for good.
    const bool overwrites = nature == Model::Nature::kOverwrites || nature == Model::Nature::kAlike;
    if (overwrites && (hidden || must_be_seen_)) continue;
    if (!items_[item].known() && twins_[item] && !HasBit(*twins_[item])) continue;
    const std::optional<Model::State> next = Try(state_, item);
    if (!next || (!items_[item].known() && !IsSeen(*next, item))) continue;
    const Step step = Place(item, *next);
    if (step != Step::kStuck) return step;
  }
  return hidden && !must_be_seen_ ? PlaceHidden() : Step::kStuck;
}

/// `found`: there is one, whether or not the search has been there already.
Search::Step Search::PlaceForced(bool& found) {
  for (Node node = FirstCandidate(); node != kNoNode; node = CandidateAfter(node)) {
    const std::uint32_t item = links_[node].item;
    if (model_.NatureOf(item) != Model::Nature::kForced) continue;
    const std::optional<Model::State> next = Try(state_, item);
    if (!next) continue;
    found = true;
    const std::size_t before = frames_.size();
    Push(item, *next, true);
    return Enter(before);
  }
  return Step::kStuck;
}

std::optional<std::uint32_t> Search::HiddenCandidate() {
  for (Node node = FirstCandidate(); node != kNoNode; node = CandidateAfter(node)) {
    const std::uint32_t item = links_[node].item;
    if (!items_[item].known()) break;
    if (model_.NatureOf(item) == Model::Nature::kHidden) return item;
  }
  return std::nullopt;
}

/// All of them at once, and those that may come then: what is there is of no use to anybody until
/// something overwrites it.
Search::Step Search::PlaceHidden() {
  const std::size_t before = frames_.size();
  while (const std::optional<std::uint32_t> item = HiddenCandidate()) {
    const std::optional<Model::State> next = Try(state_, *item);
    if (!next) {
      while (frames_.size() > before) (void)Pop();
      return Step::kStuck;
    }
    Push(*item, *next, true);
    limit_ = FirstCompletion();
  }
  return Enter(before);
}

/// Whether something may come after unknown `item` that does not make it useless.
bool Search::IsSeen(Model::State state, std::uint32_t item) {
  for (Node node = FirstCandidate(); node != kNoNode; node = CandidateAfter(node)) {
    const std::uint32_t other = links_[node].item;
    const Model::Nature nature = model_.NatureOf(other);
    if (nature != Model::Nature::kForced && nature != Model::Nature::kOther) continue;
    if (other != item && Try(state, other)) return true;
  }
  return false;
}

std::optional<Model::State> Search::Try(Model::State state, std::uint32_t item) {
  ++steps_;
  if (steps_ % kStepsBetweenLooks == 0 && budget_.stop && budget_.stop()) stopped_ = true;
  return model_.Step(state, item);
}

Search::Step Search::Place(std::uint32_t item, Model::State next) {
  const std::size_t before = frames_.size();
  Push(item, next, false);
  return Enter(before);
}

/// After something was pushed: kStuck where the search has been already, and then it is back.
Search::Step Search::Enter(std::size_t frames_before) {
  const Visited::Answer answer = visited_.Insert(KeyOf());
  if (answer == Visited::Answer::kNew) return Step::kPlaced;
  while (frames_.size() > frames_before) (void)Pop();
  return answer == Visited::Answer::kFull ? Step::kFull : Step::kStuck;
}

void Search::Push(std::uint32_t item, Model::State next, bool last_try) {
  frames_.push_back({item, state_, must_be_seen_, last_try});
  state_ = next;
  must_be_seen_ = !items_[item].known() && !last_try;
  SetBit(item);
  Unlink(CallOf(item));
  if (items_[item].known()) {
    Unlink(CallOf(item) + 1);
    --known_left_;
    if (model_.Judges(item)) --judges_left_;
  }
  model_.Placed(item);
}

Search::Frame Search::Pop() {
  const Frame frame = frames_.back();
  frames_.pop_back();
  model_.Lifted(frame.item);
  if (items_[frame.item].known()) {
    Relink(CallOf(frame.item) + 1);
    ++known_left_;
    if (model_.Judges(frame.item)) ++judges_left_;
  }
  Relink(CallOf(frame.item));
  ClearBit(frame.item);
  state_ = frame.state;
  must_be_seen_ = frame.must_be_seen;
  return frame;
}

Search::Node Search::StepBack() {
  while (!frames_.empty()) {
    const Frame frame = Pop();
    if (!frame.last_try) return CallOf(frame.item);
  }
  return kNoNode;
}

std::vector<Search::Placing> Search::Order() {
  std::vector<Placing> order;
  // What is left answers nothing.
  while (known_left_ > 0) {
    const std::uint32_t item = links_[links_[kKnownHead].after].item;
    Push(item, model_.Step(state_, item).value_or(state_), true);
  }
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    order.push_back({frames_[i].item, i + 1 < frames_.size() ? frames_[i + 1].state : state_});
  }
  return order;
}

void Search::SetBit(std::uint32_t item) {
  const std::uint32_t bit = bits_[item];
  if (!items_[item].known()) {
    unknown_bits_[bit / 64] |= 1ULL << bit % 64;
    return;
  }
  known_bits_[bit / 64] |= 1ULL << bit % 64;
  high_ = std::max<std::size_t>(high_, bit / 64);
  while (low_ + 1 < known_bits_.size() && known_bits_[low_] == UINT64_MAX) ++low_;
}

void Search::ClearBit(std::uint32_t item) {
  const std::uint32_t bit = bits_[item];
  if (!items_[item].known()) {
    unknown_bits_[bit / 64] &= ~(1ULL << bit % 64);
    return;
  }
  known_bits_[bit / 64] &= ~(1ULL << bit % 64);
  low_ = std::min<std::size_t>(low_, bit / 64);
  while (high_ > 0 && known_bits_[high_] == 0) --high_;
}

bool Search::HasBit(std::uint32_t item) const {
  const std::uint32_t bit = bits_[item];
  const std::vector<std::uint64_t>& words = items_[item].known() ? known_bits_ : unknown_bits_;
  return (words[bit / 64] >> bit % 64 & 1) != 0;
}

/// Two places are the same if and only if their keys are.
std::span<const std::uint64_t> Search::KeyOf() {
  key_.clear();
  key_.push_back(low_ | static_cast<std::uint64_t>(high_) << 32);
  for (std::size_t i = low_; i <= high_; ++i) key_.push_back(known_bits_[i]);
  key_.insert(key_.end(), unknown_bits_.begin(), unknown_bits_.end());
  key_.push_back(state_ | static_cast<std::uint64_t>(must_be_seen_) << 32);
  return key_;
}

}  // namespace duramen::history
