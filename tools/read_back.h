// Reads the lines of a `load` back out of what `duramen dump --format jsonl` prints: the far end of
// the demo, which shares nothing with the store that wrote but the format on disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/types.h"

namespace duramen::tools {

/// The input, cut into lines.
class InputText {
 public:
  explicit InputText(std::string text);
  InputText(const InputText&) = delete;
  InputText& operator=(const InputText&) = delete;
  const std::string& text() const { return text_; }
  std::uint64_t line_count() const { return lines_.size(); }
  /// `number` is 1-based.
  std::string_view line(std::uint64_t number) const { return lines_[number - 1]; }
  /// What the lines make when they are put together again.
  bool ends_with_newline() const { return text_.ends_with('\n'); }

 private:
  const std::string text_;
  std::vector<std::string_view> lines_;  // into text_
};

/// The numbers in a summary object of `load`.
struct LoadSummary {
  std::uint64_t entries = 0;
  std::uint64_t batches = 0;
  std::uint64_t syncs = 0;
  std::uint64_t rolls = 0;
};
std::optional<LoadSummary> ParseLoadSummary(std::string_view json);

/// Lines as they came back, in any order. An entry may stand in a segment and in the WAL as well;
/// when both say the same it is one line.
class ReadBack {
 public:
  /// Takes one line of the dump; what is no entry of a load is left out.
  void Add(std::string_view json);
  /// Sorts, puts the text together again and compares it byte for byte with the first lines of
  /// `input`. Returns what is wrong: a line missing below the last one, twice, altered, or fewer
  /// than `acked`; empty when all is well.
  std::string Compare(const InputText& input, std::uint64_t acked);
  /// Different ones, after Compare.
  std::uint64_t count() const { return lines_.size(); }

 private:
  struct Line {
    std::uint64_t number = 0;
    std::string text;
    std::string log;  // and where in it
    Index index = 0;
    std::string source;
    auto operator<=>(const Line&) const = default;
  };
  void Unite();
  std::vector<Line> lines_;
};

}  // namespace duramen::tools
