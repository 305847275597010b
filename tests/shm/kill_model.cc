#include "tests/shm/kill_model.h"

#include <sstream>

namespace duramen::shm::testing {
namespace {

std::string Show(const States& states) {
  std::string text;
  for (const auto& [name, log] : states) {
    text += " " + name + "[" + std::to_string(log.begin) + " vote " + std::to_string(log.vote);
    for (const auto& [term, entry] : log.entries) {
      text += " " + std::to_string(term) + ":" + entry;
    }
    text += "]";
  }
  return text;
}

/// A log that nobody has written is the same as none.
States Written(States states) {
  std::erase_if(states, [](const auto& log) { return log.second == LogState(); });
  return states;
}

}  // namespace

std::string ReadLogLine(const std::string& line, States& states) {
  std::istringstream words(line);
  std::string word;
  std::string name;
  std::uint64_t end = 0;
  LogState state;
  words >> word >> name >> state.begin >> end >> state.vote;
  while (words >> word) {
    const std::size_t colon = word.find(':');
    state.entries.emplace_back(std::stoull(word), word.substr(colon + 1));
    if (state.entries.back().second == "bad") return "nobody wrote what is in: " + line;
  }
  if (state.entries.size() != end - state.begin) return "entries are missing in: " + line;
  states[name] = std::move(state);
  return "";
}

void KillModel::OnOp(const std::string& line) {
  std::istringstream words(line);
  std::string word;
  Op op;
  words >> word >> op.log >> op.what >> op.number >> op.term >> op.text;
  ops_.push_back(std::move(op));
}

void KillModel::OnAck(std::uint64_t count) {
  for (; acked_ < count && !ops_.empty(); ++acked_) {
    Apply(ops_.front(), base_);
    ops_.pop_front();
  }
}

void KillModel::Apply(const Op& op, States& states) {
  if (op.what == "delete") {
    states.erase(op.log);
    return;
  }
  LogState& log = states[op.log];
  const auto at = static_cast<std::ptrdiff_t>(op.number - log.begin);
  if (op.what == "vote") {
    log.vote = op.number;
  } else if (op.what == "prefix") {
    log.entries.erase(log.entries.begin(), log.entries.begin() + at);
    log.begin = op.number;
  } else {
    log.entries.erase(log.entries.begin() + at, log.entries.end());
    if (op.what == "entry") log.entries.emplace_back(op.term, op.text);
  }
}

std::string KillModel::OnOpen(const States& all) {
  const States found = Written(all);
  States due = base_;
  bool matches = false;
  for (std::uint64_t done = 0;; ++done) {
    matches = matches || Written(due) == found;
    if (done == ops_.size()) break;
    Apply(ops_[done], due);
  }
  if (!matches) {
    return std::to_string(acked_) + " operations were acknowledged, which is" + Show(base_) +
           ", and with " + std::to_string(ops_.size()) + " that were not" + Show(due) +
           "; found was" + Show(found);
  }
  base_ = found;
  ops_.clear();
  acked_ = 0;
  return "";
}

}  // namespace duramen::shm::testing
