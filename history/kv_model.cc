// One text: get, put, append. A state is the number of a node in a tree of texts: what was put, and
// below it what was appended. Equal texts may have several nodes.
#include <algorithm>
#include <map>
#include <set>

#include "history/model.h"

namespace duramen::history {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

/// Work that is spent beforehand, in texts looked at, so that it saves some later.
constexpr std::uint64_t kLooksMax = 4'000'000;
constexpr std::size_t kBytesPerLook = 64;

const std::string& AsText(const Value& value) {
  static const std::string kEmpty;
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? kEmpty : *text;
}

class KvModel final : public Model {
 public:
  explicit KvModel(std::span<const Item> items) : items_(items), placed_(items.size(), false) {
    nodes_.push_back({.text = NumberOf("")});
    for (std::size_t i = 0; i < items_.size(); ++i) {
      text_of_.push_back(NumberOf(AsText(items_[i].operation->value)));
      if (IsA(i, Function::kGet) && items_[i].known()) gets_.push_back(i);
    }
    std::sort(gets_.begin(), gets_.end(), [&](std::size_t a, std::size_t b) {
      return AsText(items_[a].operation->result).size() <
             AsText(items_[b].operation->result).size();
    });
    FindWhatMatters();
    supply_.assign(texts_.size(), 0);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (IsA(i, Function::kPut) && (items_[i].known() || matters_[i])) ++supply_[text_of_[i]];
    }
    FindBeginnings();
    FindWhoSees();
  }

  State Initial() const override { return 0; }

  std::optional<State> Step(State state, std::size_t item) override {
    State next = state;
    switch (items_[item].operation->function) {
      case Function::kGet: {
        const std::string& result = AsText(items_[item].operation->result);
        const bool equal = nodes_[state].bytes == result.size() && Begins(result, state);
        return equal ? std::optional(state) : std::nullopt;
      }
      case Function::kPut:
        next = NodeOf(kNone, item);
        break;
      default:
        next = NodeOf(state, item);
    }
    if (!items_[item].known() && next == state) return std::nullopt;
    if (!LeavesNoGetBehind(state, next, item)) return std::nullopt;
    return next;
  }

  Nature NatureOf(std::size_t item) const override {
    if (IsA(item, Function::kGet)) return Nature::kForced;
    const bool put = IsA(item, Function::kPut);
    if ((put ? begun_left_ : had_left_)[text_of_[item]] == 0) return Nature::kHidden;
    return put ? Nature::kOverwrites : Nature::kOther;
  }

  bool Judges(std::size_t item) const override { return IsA(item, Function::kGet); }

  bool Matters(std::size_t item) const override { return matters_[item]; }

  void Placed(std::size_t item) override {
    placed_[item] = true;
    if (IsA(item, Function::kPut)) --supply_[text_of_[item]];
    for (const std::uint32_t text : begins_with_[item]) --begun_left_[text];
    for (const std::uint32_t text : has_[item]) --had_left_[text];
  }

  void Lifted(std::size_t item) override {
    placed_[item] = false;
    if (IsA(item, Function::kPut)) ++supply_[text_of_[item]];
    for (const std::uint32_t text : begins_with_[item]) ++begun_left_[text];
    for (const std::uint32_t text : has_[item]) ++had_left_[text];
  }

  std::string TextOfState(State state) const override {
    std::vector<std::string_view> parts;
    for (State node = state; node != kNone; node = nodes_[node].above) {
      parts.push_back(texts_[nodes_[node].text]);
    }
    std::string text;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) text += *part;
    return Quoted(text);
  }

  std::uint64_t memory_bytes() const override {
    return nodes_.size() * (sizeof(Node) + sizeof(Key) + 64) + items_.size() * 64;
  }

 private:
  struct Node {
    std::uint32_t above = kNone;
    std::uint32_t root = 0;   // the text that was put last
    std::uint32_t text = 0;   // what this node adds
    std::uint64_t bytes = 0;  // of all texts from the root to here
  };
  using Key = std::pair<std::uint32_t, std::uint32_t>;  // node above, text

  bool IsA(std::size_t item, Function function) const {
    return items_[item].operation->function == function;
  }

  std::uint32_t NumberOf(std::string_view text) {
    const auto [place, added] =
        numbers_.try_emplace(text, static_cast<std::uint32_t>(texts_.size()));
    if (added) texts_.push_back(text);
    return place->second;
  }

  State NodeOf(State above, std::size_t item) {
    const std::uint32_t text = text_of_[item];
    if (texts_[text].empty()) return above == kNone ? 0 : above;
    const auto [place, added] =
        below_.try_emplace(Key(above, text), static_cast<State>(nodes_.size()));
    if (added && above == kNone) nodes_.push_back({kNone, text, text, texts_[text].size()});
    if (added && above != kNone) {
      nodes_.push_back(
          {above, nodes_[above].root, text, nodes_[above].bytes + texts_[text].size()});
    }
    return place->second;
  }

  /// Whether `result` begins with the text of `state`.
  bool Begins(std::string_view result, State state) const {
    if (nodes_[state].bytes > result.size()) return false;
    std::string_view rest = result.substr(0, nodes_[state].bytes);
    for (State node = state; node != kNone; node = nodes_[node].above) {
      const std::string_view part = texts_[nodes_[node].text];
      if (!rest.ends_with(part)) return false;
      rest.remove_suffix(part.size());
    }
    return true;
  }

  /// False where a get could never come after `item`: it began with what was put last, does not
  /// begin with what is there now, and no put is left that could begin it again. To look at the
  /// shortest such get is enough, for the longer ones begin with it or are lost as well.
  bool LeavesNoGetBehind(State state, State next, std::size_t item) const {
    const auto seen = seen_by_.find(nodes_[state].root);
    if (seen == seen_by_.end()) return true;
    const std::uint32_t used = IsA(item, Function::kPut) ? text_of_[item] : kNone;
    for (const std::size_t get : seen->second) {
      if (placed_[get]) continue;
      const std::vector<std::uint32_t>& begins = begins_with_[get];
      const bool again = std::any_of(begins.begin(), begins.end(), [&](std::uint32_t text) {
        return supply_[text] > (text == used ? 1U : 0U);
      });
      if (!again) return Begins(AsText(items_[get].operation->result), next);
    }
    return true;
  }

  /// Which gets begin with which of the texts that are put. Looks for one prefix of each length
  /// that is put.
  void FindBeginnings() {
    std::set<std::size_t> lengths = {0};
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (IsA(i, Function::kPut)) lengths.insert(texts_[text_of_[i]].size());
    }
    begins_with_.resize(items_.size());
    begun_left_.assign(texts_.size(), 0);
    if (lengths.size() * gets_.size() > kLooksMax) {
      begun_left_.assign(texts_.size(), 1);  // for ever
      return;
    }
    for (const std::size_t get : gets_) {
      const std::string_view result = AsText(items_[get].operation->result);
      for (const std::size_t length : lengths) {
        if (length > result.size()) break;
        const auto text = numbers_.find(result.substr(0, length));
        if (text == numbers_.end()) continue;
        begins_with_[get].push_back(text->second);
        seen_by_[text->second].push_back(get);
        ++begun_left_[text->second];
      }
    }
  }

  /// Which gets have which of the texts that are appended.
  void FindWhoSees() {
    has_.resize(items_.size());
    had_left_.assign(texts_.size(), 0);
    std::vector<bool> appended(texts_.size(), false);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (IsA(i, Function::kAppend)) appended[text_of_[i]] = true;
    }
    std::uint64_t looks = 0;
    for (std::uint32_t text = 0; text < texts_.size(); ++text) {
      if (!appended[text]) continue;
      for (const std::size_t get : gets_) {
        const std::string& result = AsText(items_[get].operation->result);
        looks += 1 + result.size() / kBytesPerLook;
        if (looks > kLooksMax) {
          had_left_[text] = 1;  // for ever
          break;
        }
        if (result.find(texts_[text]) == std::string::npos) continue;
        has_[get].push_back(text);
        ++had_left_[text];
      }
    }
  }

  /// An unknown put matters if a get that completes after its call begins with its text, an unknown
  /// append if one has it anywhere.
  void FindWhatMatters() {
    matters_.assign(items_.size(), false);
    std::uint64_t looks = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].known() || IsA(i, Function::kGet)) continue;
      const std::string_view text = texts_[text_of_[i]];
      matters_[i] = std::any_of(gets_.rbegin(), gets_.rend(), [&](std::size_t get) {
        if (++looks > kLooksMax) return true;
        if (items_[get].completion < items_[i].call) return false;
        const std::string& result = AsText(items_[get].operation->result);
        if (IsA(i, Function::kPut)) return result.starts_with(text);
        looks += result.size() / kBytesPerLook;
        return result.find(text) != std::string::npos;
      });
    }
  }

  std::span<const Item> items_;
  std::map<std::string_view, std::uint32_t> numbers_;
  std::vector<std::string_view> texts_;  // that are put or appended, each once
  std::vector<std::uint32_t> text_of_;   // by item
  std::vector<Node> nodes_;
  std::map<Key, State> below_;
  std::vector<bool> matters_;
  std::vector<bool> placed_;
  std::vector<std::uint32_t> supply_;  // by text: puts of it that are not placed
  std::vector<std::size_t> gets_;      // known ones, those with the shortest result first
  std::vector<std::vector<std::uint32_t>> begins_with_;        // by item: texts, of a get
  std::map<std::uint32_t, std::vector<std::size_t>> seen_by_;  // by text: gets that begin with it
  std::vector<std::uint32_t> begun_left_;                      // how many of them are not placed
  std::vector<std::vector<std::uint32_t>> has_;                // by item: texts anywhere in a get
  std::vector<std::uint32_t> had_left_;                        // how many of those are not placed
};

}  // namespace

std::unique_ptr<Model> MakeKvModel(std::span<const Item> items) {
  return std::make_unique<KvModel>(items);
}

}  // namespace duramen::history
