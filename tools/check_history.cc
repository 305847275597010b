#include "tools/check_history.h"

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "history/checker.h"
#include "history/event_line.h"
#include "tools/interrupt.h"
#include "tools/line_reader.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kExplainedKeysMax = 3;

Result<history::History> ReadHistory(const CheckHistoryOptions& options) {
  std::optional<history::ModelKind> model;
  if (!options.model.empty()) {
    model = history::ModelNamed(options.model);
    if (!model) {
      return Error{ErrorCode::kConfiguration, "no model is called " + options.model,
                   "--model register, kv or set"};
    }
  }
  LineReader lines = TRY(LineReader::Open(options.path));
  history::HistoryReader reader(model);
  while (true) {
    const std::optional<std::string_view> line = TRY(lines.Next());
    if (!line) return reader.Take();
    TRY(reader.Add(*line));
  }
}

ExitCode Refuse(Error error, const CheckHistoryOptions& options, Terminal& terminal) {
  if (Interrupted()) return ExitCode::kInterrupted;
  const bool of_a_line = error.message.starts_with("line ");
  const std::string name = options.path == "-" ? "standard input" : options.path;
  if (of_a_line) error.message = name + ", " + error.message;
  terminal.Complain(error);
  // A file that is no history cannot be read, which is not what one that is wrong ends with.
  const bool unreadable =
      of_a_line && (error.code == ErrorCode::kInvalidArgument ||
                    error.code == ErrorCode::kTooLarge || error.code == ErrorCode::kShortRead);
  return unreadable ? ExitCode::kUnreadable : ExitCodeOf(error.code);
}

struct Totals {
  std::uint64_t operations = 0;
  std::uint64_t unknown = 0;
  std::uint64_t failed = 0;
  std::uint64_t steps = 0;
  std::uint64_t wrong_keys = 0;
  std::uint64_t undecided_keys = 0;
};

Totals TotalsOf(const history::Report& report) {
  Totals totals;
  for (const history::KeyReport& key : report.keys) {
    totals.operations += key.operations;
    totals.unknown += key.unknown;
    totals.failed += key.failed;
    totals.steps += key.steps;
    totals.wrong_keys += key.verdict == history::Verdict::kNotLinearizable ? 1 : 0;
    totals.undecided_keys += key.verdict == history::Verdict::kUndecided ? 1 : 0;
  }
  return totals;
}

std::string VerdictOf(const history::Report& report) {
  return report.stopped ? "interrupted" : std::string(NameOf(report.verdict));
}

void PrintExplanations(const history::History& history, const history::Report& report,
                       Terminal& terminal) {
  std::size_t explained = 0;
  for (const history::KeyReport& key : report.keys) {
    if (!key.violation || ++explained > kExplainedKeysMax) continue;
    terminal.Out(history::Explain(history, key) + "\n\n");
  }
}

void PrintKeys(const history::History& history, const history::Report& report, Sheet& sheet) {
  for (const history::KeyReport& key : report.keys) {
    Cell line, explanation;
    if (key.violation) {
      line = history.operations[key.violation->operation].completion;
      explanation = history::Explain(history, key);
    }
    const Cell row[] = {key.key,    key.operations,   key.unknown, key.failed,
                        key.steps,  key.memory_bytes, line,        std::string(NameOf(key.verdict)),
                        explanation};
    sheet.Add(row);
  }
}

void PrintReport(const history::History& history, const history::Report& report,
                 const OutputOptions& output, Terminal& terminal) {
  if (output.format == Format::kTable) PrintExplanations(history, report, terminal);
  Sheet sheet(terminal, output, "history_key",
              {{"key", ColumnType::kText},
               {"operations", ColumnType::kCount},
               {"unknown", ColumnType::kCount},
               {"failed", ColumnType::kCount},
               {"steps", ColumnType::kCount},
               {"memory_bytes", ColumnType::kSize, false},
               {"from_line", ColumnType::kCount},
               {"verdict", ColumnType::kText},
               {"explanation", ColumnType::kText, false}});
  PrintKeys(history, report, sheet);
  const Totals totals = TotalsOf(report);
  const std::string verdict = VerdictOf(report);
  const Field summary[] = {
      {"model", ColumnType::kText, std::string(NameOf(history.model))},
      {"events", ColumnType::kCount, history.events},
      {"operations", ColumnType::kCount, totals.operations},
      {"unknown", ColumnType::kCount, totals.unknown},
      {"failed", ColumnType::kCount, totals.failed},
      {"keys", ColumnType::kCount, std::uint64_t{report.keys.size()}},
      {"wrong_keys", ColumnType::kCount, totals.wrong_keys},
      {"undecided_keys", ColumnType::kCount, totals.undecided_keys},
      {"steps", ColumnType::kCount, totals.steps},
      {"verdict", ColumnType::kText, verdict},
  };
  sheet.Finish(Plural(totals.operations, "operation") + " on " + Plural(report.keys.size(), "key") +
                   ", " + Grouped(totals.unknown) + " of unknown outcome: " + verdict,
               summary);
}

}  // namespace

ExitCode RunCheckHistory(const CheckHistoryOptions& options, Terminal& terminal) {
  const Result<history::History> history = ReadHistory(options);
  if (!history.ok()) return Refuse(history.error(), options, terminal);
  const history::Budget budget{.steps_max = options.steps_max,
                               .memory_max_bytes = options.memory_max_bytes,
                               .stop = Interrupted};
  const history::Report report = CheckHistory(*history, budget);
  PrintReport(*history, report, options.output, terminal);
  const Status flushed = terminal.Flush();
  if (!flushed.ok()) {
    terminal.Complain(flushed.error());
    return ExitCodeOf(flushed.error().code);
  }
  if (report.stopped) return ExitCode::kInterrupted;
  if (report.verdict == history::Verdict::kUndecided) {
    terminal.Complain({ErrorCode::kOverloaded,
                       "the search met its limit: nothing is known of keys that are undecided",
                       "more --max-memory and --max-steps, or write each value once"});
  }
  return report.verdict == history::Verdict::kLinearizable ? ExitCode::kClean : ExitCode::kDamage;
}

}  // namespace duramen::tools
