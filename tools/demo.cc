#include "tools/demo.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/posix_io.h"
#include "base/rng.h"
#include "base/try.h"
#include "tools/child.h"
#include "tools/demo_repair.h"
#include "tools/interrupt.h"
#include "tools/kill_loop.h"
#include "tools/line_reader.h"
#include "tools/read_only.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr const char* kLicences = "/usr/share/common-licenses";
constexpr std::uint64_t kInputBytesMax = 1ULL << 30;
constexpr std::uint64_t kLinesMin = 2000;  // a shorter text is repeated: kills need lines in flight
constexpr std::uint64_t kWalBytesMin = 64 << 10;

Result<std::string> ReadWhole(const std::string& path) {
  // Through a LineReader's rules: the operator's own FILE may be a symlink or a pipe.
  LineReader reader = TRY(LineReader::Open(path));
  std::string text;
  while (true) {
    const std::uint64_t before = reader.bytes();
    const std::optional<std::string_view> line = TRY(reader.Next());
    if (!line) return text;
    text += *line;
    // Only a last line without a newline counts as many bytes as it has.
    if (reader.bytes() - before > line->size()) text.push_back('\n');
    if (text.size() > kInputBytesMax) {
      return Error{ErrorCode::kTooLarge, path + " is larger than 1 GiB",
                   "duramen load DIR --servers 1000 " + path};
    }
  }
}

/// All licences of Debian, one after the other; its links to them are left out.
Result<std::string> LicenceTexts() {
  PosixFileSystem file_system;
  const Result<std::unique_ptr<Directory>> directory = file_system.Open(kLicences);
  if (!directory.ok()) {
    return Error{ErrorCode::kNotFound, std::string(kLicences) + " is not there",
                 "duramen demo FILE, with a text of your own"};
  }
  std::string text;
  for (const DirectoryEntry& entry : TRY((*directory)->List())) {
    if (!entry.is_regular) continue;
    text += TRY(ReadWhole(std::string(kLicences) + "/" + entry.name));
    if (!text.ends_with('\n')) text.push_back('\n');
  }
  return text;
}

/// A directory for the demo, with its input in it.
Result<std::string> MakeDirectory(const DemoOptions& options) {
  PosixFileSystem file_system;
  std::string path = options.dir;
  if (path.empty()) {
    path = "duramen-demo-" + Rng::FromSystem().NextUid().ToString().substr(0, 8);
  }
  TRY(file_system.CreateDirectories(path));
  const std::unique_ptr<Directory> directory = TRY(file_system.Open(path));
  if (!TRY(directory->List()).empty()) {
    return Error{ErrorCode::kRefused, path + " is not empty", "name a new directory with --dir"};
  }
  return path;
}

Status WriteInput(const std::string& dir, const std::string& text) {
  PosixFileSystem file_system;
  const std::unique_ptr<Directory> directory = TRY(file_system.Open(dir));
  const std::unique_ptr<File> file = TRY(directory->Create("input"));
  return file->Write(0, AsBytes(text));
}

/// So small that the WAL rolls and is flushed while the text is loaded, and as many as it may need.
std::vector<std::string> WalFlags(std::uint64_t text_bytes) {
  const std::uint64_t size =
      std::clamp<std::uint64_t>(RoundUp(text_bytes / 16, 4096), kWalBytesMin, 64 << 20);
  return {"--wal-max-size-bytes", std::to_string(size), "--wal-max-files", "4096"};
}

class Demo {
 public:
  Demo(const DemoOptions& options, Terminal& terminal) : options_(options), terminal_(terminal) {}

  Result<ExitCode> Run() {
    const std::int64_t begin_ns = clock_.NowNs();
    std::string text = options_.file.empty() ? TRY(LicenceTexts()) : TRY(ReadWhole(options_.file));
    std::uint64_t copies = 1;
    const InputText input(Repeated(std::move(text), copies));
    if (copies > 1) terminal_.Say("the text is short: loading it " + Plural(copies, "time"));
    dir_ = TRY(MakeDirectory(options_));
    TRY(WriteInput(dir_, input.text()));
    terminal_.Say(Plural(input.line_count(), "line") + " (" + HumanBytes(input.text().size()) +
                  ") into " + Plural(options_.servers, "log") + " on one WAL in " + dir_ + ", " +
                  Plural(options_.kills, "SIGKILL") + " on the way, seed " +
                  std::to_string(options_.seed));
    KillLoopOptions loop{.program = Child::OwnPath(),
                         .dir = dir_,
                         .input_path = dir_ + "/input",
                         .servers = options_.servers,
                         .kills = options_.kills,
                         .seed = options_.seed,
                         .load_flags = WalFlags(input.text().size())};
    if (options_.kills > 40) loop.in_flight = 200;  // Shorter lives: more deaths in one text.
    Sheet rounds(terminal_, options_.output, "demo_run",
                 {{"run", ColumnType::kCount},
                  {"end", ColumnType::kText},
                  {"recovered", ColumnType::kText},
                  {"acked", ColumnType::kCount},
                  {"unacked", ColumnType::kCount},
                  {"on_disk", ColumnType::kCount},
                  {"files_afterwards", ColumnType::kText}});
    std::uint64_t run = 0;
    const KillLoopResult result = TRY(RunKillLoop(loop, input, [&](const KillRound& round) {
      const Cell row[] = {++run,
                          std::string(round.killed ? "SIGKILL" : "finished"),
                          Recovered(round.recovered),
                          round.acked,
                          round.outstanding,
                          round.lines_on_disk,
                          round.verdict};
      rounds.Add(row);
    }));
    DemoRepair repair{.good = true, .sentence = "not shown"};
    if (result.problem.empty() && !Interrupted()) {
      repair = TRY(ShowRepair(dir_ + "/pass-" + std::to_string(result.passes), dir_ + "/damaged",
                              options_.seed));
    }
    seconds_ = static_cast<double>(clock_.NowNs() - begin_ns) / 1e9;
    return Conclude(input, result, rounds, repair);
  }

  /// Removes what the demo made, unless it was asked for or is evidence.
  void CleanUp(bool keep) {
    if (dir_.empty()) return;
    if (keep || !options_.dir.empty()) return terminal_.Say("the files are in " + dir_);
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

 private:
  static std::string Repeated(std::string text, std::uint64_t& copies) {
    const std::uint64_t lines =
        static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
    if (lines == 0 || lines >= kLinesMin) return text;
    if (!text.ends_with('\n')) text.push_back('\n');
    copies = (kLinesMin + lines - 1) / lines;
    std::string all;
    for (std::uint64_t i = 0; i < copies; ++i) all += text;
    return all;
  }

  /// "boot=2 entries=100 copied=1 damaged=no findings=torn tail" in fewer words.
  static std::string Recovered(const std::string& line) {
    const std::size_t findings = line.find("findings=");
    const std::size_t entries = line.find("entries=");
    if (findings == std::string::npos || entries == std::string::npos) return "-";
    const std::string count = line.substr(entries + 8, line.find(' ', entries) - entries - 8);
    const std::string found = line.substr(findings + 9);
    return Plural(ParseCount(count).value_or(0), "entry") + ", " +
           (found == "none" ? "clean" : found);
  }

  /// A problem that was found before counts all the same.
  static std::string Interruption(const std::string& problem) {
    return problem.empty() ? "interrupted" : "interrupted; before that: " + problem;
  }

  ExitCode Conclude(const InputText& input, const KillLoopResult& result, Sheet& rounds,
                    const DemoRepair& repair) {
    const bool killed_enough = result.kills >= options_.kills || input.line_count() < kLinesMin;
    const bool good = result.problem.empty() && killed_enough && !Interrupted() && repair.good;
    const std::string verdict =
        Interrupted()             ? Interruption(result.problem)
        : !result.problem.empty() ? result.problem
        : !killed_enough          ? "too few kills found 100 lines unacknowledged"
        : !repair.good            ? repair.sentence
                                  : "every acknowledged line was there after every kill; the text "
                                    "read back is the text that went in, byte for byte";
    const double per_sync = static_cast<double>(input.line_count() * result.passes) /
                            static_cast<double>(std::max<std::uint64_t>(result.used.syncs, 1));
    const Field summary[] = {{"lines", ColumnType::kCount, input.line_count()},
                             {"bytes", ColumnType::kSize, std::uint64_t{input.text().size()}},
                             {"servers", ColumnType::kCount, options_.servers},
                             {"passes", ColumnType::kCount, result.passes},
                             {"batches", ColumnType::kCount, result.used.batches},
                             {"syncs", ColumnType::kCount, result.used.syncs},
                             {"lines_per_sync", ColumnType::kDecimal, per_sync},
                             {"rolls", ColumnType::kCount, result.used.rolls},
                             {"kills", ColumnType::kCount, result.kills},
                             {"other_kills", ColumnType::kCount, result.other_kills},
                             {"seed", ColumnType::kCount, options_.seed},
                             {"repair", ColumnType::kText, repair.sentence},
                             {"seconds", ColumnType::kDecimal, seconds_},
                             {"good", ColumnType::kFlag, good},
                             {"verdict", ColumnType::kText, verdict}};
    if (options_.output.format == Format::kTable) {
      rounds.Finish(Plural(result.rounds.size(), "run") + ", " + Plural(result.kills, "kill") +
                    " with 100 or more lines unacknowledged");
      terminal_.Out("\n");
      PrintFacts(terminal_, options_.output, "demo", summary);
    } else {
      rounds.Finish("", summary);
    }
    if (Interrupted()) return ExitCode::kInterrupted;
    return good ? ExitCode::kClean : ExitCode::kDamage;
  }

  const DemoOptions& options_;
  Terminal& terminal_;
  SystemClock clock_;
  std::string dir_;
  double seconds_ = 0;
};

}  // namespace

ExitCode RunDemo(const DemoOptions& options, Terminal& terminal) {
  if (options.servers == 0 || options.servers > 100'000) {
    terminal.Complain({ErrorCode::kInvalidArgument, "--servers is out of range", "1 to 100000"});
    return ExitCode::kUsage;
  }
  Demo demo(options, terminal);
  const Result<ExitCode> exit = demo.Run();
  ExitCode code = exit.ok() ? *exit : ExitCodeOf(exit.error().code);
  if (Interrupted()) {
    code = ExitCode::kInterrupted;
    if (!exit.ok()) terminal.Say("interrupted");
  } else if (!exit.ok()) {
    terminal.Complain(exit.error());
  }
  const Status flushed = terminal.Flush();
  if (!flushed.ok()) {
    terminal.Complain(flushed.error());
    code = ExitCodeOf(flushed.error().code);
  }
  demo.CleanUp(code != ExitCode::kClean);
  return code;
}

}  // namespace duramen::tools
