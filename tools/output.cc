#include "tools/output.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kHeldRowsMax = 1000;
constexpr std::size_t kColumnWidthMax = 44;  // of a column that is not the last
constexpr std::string_view kGap = "  ";

bool IsNumeric(ColumnType type) {
  return type == ColumnType::kCount || type == ColumnType::kSize || type == ColumnType::kDecimal;
}

std::string PayloadText(Bytes bytes, PayloadForm form) {
  switch (form) {
    case PayloadForm::kText:
      return EscapeText(AsText(bytes));
    case PayloadForm::kHex:
      return Hex(bytes);
    case PayloadForm::kRaw:
      return std::string(AsText(bytes));
    case PayloadForm::kNone:
      break;
  }
  return "";
}

/// For people.
std::string TableText(const Cell& cell, ColumnType type, const OutputOptions& options) {
  if (std::holds_alternative<std::monostate>(cell)) return "-";
  if (const auto* number = std::get_if<std::uint64_t>(&cell)) {
    if (type == ColumnType::kSize && !options.exact_bytes) return HumanBytes(*number);
    return type == ColumnType::kSize ? std::to_string(*number) : Grouped(*number);
  }
  if (const auto* number = std::get_if<double>(&cell)) return Decimal(*number, 3);
  if (const auto* flag = std::get_if<bool>(&cell)) return *flag ? "yes" : "no";
  if (const auto* text = std::get_if<std::string>(&cell)) return EscapeText(*text);
  return PayloadText(std::get<Bytes>(cell), options.payload);
}

/// For programs: numbers without marks, text as it is.
std::string PlainText(const Cell& cell, const OutputOptions& options) {
  if (std::holds_alternative<std::monostate>(cell)) return "";
  if (const auto* number = std::get_if<std::uint64_t>(&cell)) return std::to_string(*number);
  if (const auto* number = std::get_if<double>(&cell)) return Decimal(*number, 6);
  if (const auto* flag = std::get_if<bool>(&cell)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&cell)) return EscapeText(*text);
  return PayloadText(std::get<Bytes>(cell), options.payload);
}

void AppendMember(std::string& out, std::string_view name, std::string_view value) {
  out.append(",").append(JsonString(name)).append(":").append(value);
}

void AppendCell(std::string& out, const Column& column, const Cell& cell, PayloadForm form) {
  if (column.type == ColumnType::kPayload) {
    const auto* bytes = std::get_if<Bytes>(&cell);
    const std::string length = std::string(column.name) + "_len";
    AppendMember(out, length, bytes != nullptr ? std::to_string(bytes->size()) : "null");
    if (form == PayloadForm::kNone) return;
    AppendMember(out, column.name,
                 bytes != nullptr ? "\"" + Base64(*bytes) + "\"" : std::string("null"));
    return;
  }
  std::string value = "null";
  if (const auto* number = std::get_if<std::uint64_t>(&cell)) value = std::to_string(*number);
  if (const auto* number = std::get_if<double>(&cell)) value = Decimal(*number, 6);
  if (const auto* flag = std::get_if<bool>(&cell)) value = *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&cell)) value = JsonString(*text);
  AppendMember(out, column.name, value);
}

std::string ObjectHead(std::string_view kind) { return "{\"v\":1,\"kind\":" + JsonString(kind); }

void AppendPadded(std::string& line, std::string_view text, std::size_t width, bool right) {
  const std::size_t used = DisplayWidth(text);
  const std::string padding(width > used ? width - used : 0, ' ');
  if (right) line += padding;
  line += text;
  if (!right) line += padding;
}

}  // namespace

Sheet::Sheet(Terminal& terminal, const OutputOptions& options, std::string_view kind,
             std::vector<Column> columns)
    : terminal_(terminal), options_(options), kind_(kind), columns_(std::move(columns)) {
  std::vector<std::string> names;
  for (const Column& column : columns_) {
    const bool shown = options_.format == Format::kCsv || column.in_table;
    if (shown) names.emplace_back(column.name);
  }
  if (options_.format == Format::kTable) {
    for (std::string& name : names) {
      std::transform(name.begin(), name.end(), name.begin(), [](char letter) {
        return letter == '_'
                   ? ' '
                   : static_cast<char>(letter >= 'a' && letter <= 'z' ? letter - 32 : letter);
      });
    }
    held_.push_back(std::move(names));
  } else if (options_.format == Format::kCsv) {
    std::string line = options_.shard ? "shard" : "";
    for (const std::string& name : names) line.append(line.empty() ? "" : ",").append(name);
    if (!options_.named) terminal_.Out(line + "\n");
  } else if (options_.format == Format::kJson) {
    terminal_.Out(ObjectHead(kind_ + "s") + ",\"rows\":[");
  }
}

void Sheet::Add(std::span<const Cell> cells) {
  CHECK(cells.size() == columns_.size());
  ++rows_;
  switch (options_.format) {
    case Format::kTable:
      return AddTableRow(cells);
    case Format::kJsonl:
      return terminal_.Out(ObjectOf(cells) + "\n");
    case Format::kJson:
      return terminal_.Out((rows_ == 1 ? "\n" : ",\n") + ObjectOf(cells));
    case Format::kCsv: {
      std::string line = options_.shard ? std::to_string(*options_.shard) + "," : "";
      for (std::size_t i = 0; i < cells.size(); ++i) {
        if (i > 0) line.push_back(',');
        line += CsvField(PlainText(cells[i], options_));
      }
      return terminal_.Out(line + "\n");
    }
    case Format::kRaw:
      break;
  }
  for (const Cell& cell : cells) {
    if (const auto* bytes = std::get_if<Bytes>(&cell)) {
      terminal_.Out(AsText(*bytes));
      terminal_.Out("\n");
    }
  }
}

void Sheet::Finish(std::string_view verdict, std::span<const Field> summary) {
  if (options_.format == Format::kTable) {
    PrintHeld();
    terminal_.Out(EscapeText(verdict) + "\n");
  } else if (options_.format == Format::kJsonl && !summary.empty()) {
    terminal_.Out(JsonObject(kind_ + "_summary", summary) + "\n");
  } else if (options_.format == Format::kJson) {
    terminal_.Out(rows_ == 0 ? "]" : "\n]");
    if (!summary.empty()) {
      terminal_.Out(",\"summary\":" + JsonObject(kind_ + "_summary", summary));
    }
    terminal_.Out("}\n");
  }
}

void Sheet::AddTableRow(std::span<const Cell> cells) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!columns_[i].in_table) continue;
    texts.push_back(TableText(cells[i], columns_[i].type, options_));
  }
  if (!holding_) return PrintTableRow(texts, false);
  held_.push_back(std::move(texts));
  if (held_.size() > kHeldRowsMax) PrintHeld();
}

void Sheet::PrintHeld() {
  if (!holding_) return;
  holding_ = false;
  widths_.assign(held_.front().size(), 0);
  for (const auto& texts : held_) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      widths_[i] = std::max(widths_[i], std::min(DisplayWidth(texts[i]), kColumnWidthMax));
    }
  }
  if (rows_ == 0) return;  // A header over nothing says nothing.
  for (std::size_t row = 0; row < held_.size(); ++row) PrintTableRow(held_[row], row == 0);
  held_.clear();
}

void Sheet::PrintTableRow(const std::vector<std::string>& texts, bool header) {
  std::string line;
  std::size_t place = 0;
  for (const Column& column : columns_) {
    if (!column.in_table) continue;
    const bool last = place + 1 == texts.size();
    const bool right = IsNumeric(column.type);
    if (place > 0) line += kGap;
    AppendPadded(line, texts[place], last && !right ? 0 : widths_[place], right);
    ++place;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  if (terminal_.width() > 0) line = CutToWidth(line, terminal_.width());
  if (header && terminal_.color()) line = "\033[1m" + line + "\033[0m";
  terminal_.Out(line + "\n");
}

std::string Sheet::ObjectOf(std::span<const Cell> cells) const {
  std::string out = ObjectHead(kind_);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    AppendCell(out, columns_[i], cells[i], options_.payload);
  }
  out.push_back('}');
  return out;
}

std::string JsonObject(std::string_view kind, std::span<const Field> fields) {
  std::string out = ObjectHead(kind);
  for (const Field& field : fields) {
    AppendCell(out, {field.name, field.type, true}, field.value, PayloadForm::kText);
  }
  out.push_back('}');
  return out;
}

void PrintFacts(Terminal& terminal, const OutputOptions& options, std::string_view kind,
                std::span<const Field> fields) {
  if (options.format == Format::kJson || options.format == Format::kJsonl) {
    return terminal.Out(JsonObject(kind, fields) + "\n");
  }
  if (options.format == Format::kCsv) {
    std::string names = options.shard ? "shard" : "";
    std::string values = options.shard ? std::to_string(*options.shard) + "," : "";
    for (const Field& field : fields) {
      names.append(names.empty() ? "" : ",").append(field.name);
      if (&field != &fields.front()) values.push_back(',');
      values += CsvField(PlainText(field.value, options));
    }
    if (!options.named) terminal.Out(names + "\n");
    return terminal.Out(values + "\n");
  }
  std::size_t width = 0;
  for (const Field& field : fields) width = std::max(width, field.name.size());
  for (const Field& field : fields) {
    std::string line(field.name);
    std::replace(line.begin(), line.end(), '_', ' ');
    line.append(width - field.name.size() + 2, ' ');
    terminal.Out(line + TableText(field.value, field.type, options) + "\n");
  }
}

}  // namespace duramen::tools
