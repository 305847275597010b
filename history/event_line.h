// Histories as lines of text: docs/history-format.md. A header, then one line an event.
//
// HistoryWriter and HistoryReader are owned by whoever records or judges; one thread each; neither
// touches a file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "duramen/result.h"
#include "history/history.h"

namespace duramen::history {

inline constexpr std::int64_t kHistoryVersion = 1;

/// Of one line, at most; a writer makes none that is longer, a reader takes none.
inline constexpr std::size_t kHistoryLineBytesMax = 1 << 20;

/// Without a newline. Requires: UTF-8.
std::string LineOf(const Event& event);

/// Errors: kInvalidArgument  it is no event in this form.
Result<Event> ParseEvent(std::string_view line);

/// Makes the text of a history, as it happens.
class HistoryWriter {
 public:
  /// More members of the header, for people: a seed, a commit.
  using Facts = std::vector<std::pair<std::string, Value>>;

  explicit HistoryWriter(ModelKind model, const Facts& facts = {});
  /// Refuses what a reader would refuse, with the errors of HistoryBuilder, and kTooLarge for a
  /// line that is too long; then nothing is added.
  Status Add(const Event& event);
  /// Lines since the last call, each with its newline; the first have the header.
  std::string TakeText() { return std::exchange(text_, {}); }
  /// The same history, without going through text.
  History Take() { return builder_.Take(); }

 private:
  HistoryBuilder builder_;
  std::string text_;
};

/// Takes the lines of one history, the first one first.
class HistoryReader {
 public:
  /// `model`: what the header has to say, or what it leaves out.
  explicit HistoryReader(std::optional<ModelKind> model) : model_(model) {}
  /// `line` has no newline. Errors begin with "line N: ".
  ///         kInvalidArgument, kTooLarge  it is not a line of a history, or does not fit here.
  ///         kConfiguration               the model is another one, or nobody says which.
  ///         kUnknownVersion              a newer release wrote it.
  Status Add(std::string_view line);
  /// Errors: kShortRead: there was no header.
  Result<History> Take();

 private:
  Status AddHeader(std::string_view line);
  std::optional<ModelKind> model_;
  std::optional<HistoryBuilder> builder_;
  std::uint64_t lines_ = 0;
};

}  // namespace duramen::history
