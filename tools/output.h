// How results look: the same rows as a table for people, or as jsonl, json or csv for programs.
//
// Owned by one run of one verb; one thread. Stays true: each JSON object has "v":1 and a "kind",
// its keys do not depend on the rows, and bytes stand as base64 beside their length. A table holds
// back a bounded number of rows to align itself, so a result of any length takes bounded memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "duramen/types.h"
#include "tools/terminal.h"

namespace duramen::tools {

enum class Format : std::uint8_t { kTable, kJsonl, kJson, kCsv, kRaw };
enum class PayloadForm : std::uint8_t { kText, kHex, kRaw, kNone };

struct OutputOptions {
  Format format = Format::kTable;
  bool exact_bytes = false;  // 1234567 instead of 1.2 MiB
  PayloadForm payload = PayloadForm::kText;
  /// Of a result that is one of several: a column of csv.
  std::optional<std::uint32_t> shard = {};
  bool named = false;  // the columns of csv, by one before it
};

/// One value; std::monostate is "none". Bytes are borrowed until the call returns.
using Cell = std::variant<std::monostate, std::uint64_t, double, bool, std::string, Bytes>;

enum class ColumnType : std::uint8_t {
  kText,
  kCount,
  kSize,     // bytes
  kDecimal,  // a measured number
  kFlag,
  kPayload,  // Bytes; in JSON <name> as base64 and <name>_len
};

struct Column {
  std::string_view name;
  ColumnType type = ColumnType::kText;
  bool in_table = true;  // false: for programs only
};

struct Field {
  std::string_view name;
  ColumnType type = ColumnType::kText;
  Cell value;
};

/// Rows of one kind, then one last line.
class Sheet {
 public:
  /// `terminal` and what `columns` refers to outlive the sheet.
  Sheet(Terminal& terminal, const OutputOptions& options, std::string_view kind,
        std::vector<Column> columns);
  /// One cell per column.
  void Add(std::span<const Cell> cells);
  /// Requires: called once, last. `verdict` is the last line of a table: a count and a judgement.
  /// `summary` is one more object for programs (csv has none); empty for none.
  void Finish(std::string_view verdict, std::span<const Field> summary = {});

 private:
  void AddTableRow(std::span<const Cell> cells);
  void PrintHeld();
  void PrintTableRow(const std::vector<std::string>& texts, bool header);
  std::string ObjectOf(std::span<const Cell> cells) const;

  Terminal& terminal_;
  OutputOptions options_;
  std::string kind_;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> held_;
  std::vector<std::size_t> widths_;
  bool holding_ = true;
  std::uint64_t rows_ = 0;
};

/// One result: "name: value" lines for people, one object (or a csv of one row) for programs.
void PrintFacts(Terminal& terminal, const OutputOptions& options, std::string_view kind,
                std::span<const Field> fields);
/// {"v":1,"kind":...,...} without a line break.
std::string JsonObject(std::string_view kind, std::span<const Field> fields);

}  // namespace duramen::tools
