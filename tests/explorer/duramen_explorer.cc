// duramen_explorer: crash-point exploration from the command line.
//
//   duramen_explorer [--states N] [--seed S] [--minutes M] [--plant BUG] [--sites] [--keep-going]
//   duramen_explorer --soak FILE [--states N] [--minutes M] [--commit ID]
//   duramen_explorer --replay ID [--plant BUG] [--verbose]
//
// Stops at N distinct states or after M minutes, whichever comes first. A soak takes the next seeds
// after those in FILE and adds a row to its table.
// Exit 0 clean, 1 a failure was found (its replay command is printed), 2 usage.
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "base/planted.h"
#include "tests/explorer/explorer.h"
#include "tests/explorer/report.h"

namespace {

using duramen::explorer::Explorer;
using duramen::explorer::RunId;

struct Options {
  std::uint64_t states = 30'000;
  std::uint64_t seed = 1;
  double minutes = 60;
  std::uint64_t states_per_run = 450;
  std::string soak;
  std::string commit = "unknown";
  std::string replay;
  std::uint64_t plant = 0;
  std::optional<std::uint32_t> workload;  // none: all of them in turn
  bool sites = false;
  bool keep_going = false;
  bool verbose = false;
};

bool ParseNumber(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool ParseOption(std::string_view name, const char* value, Options& options) {
  if (name == "--soak") return options.soak = value, true;
  if (name == "--commit") return options.commit = value, true;
  if (name == "--replay") return options.replay = value, true;
  if (name == "--minutes") return options.minutes = std::strtod(value, nullptr), true;
  if (name == "--workload") {
    for (std::uint32_t i = 0; i < duramen::explorer::kWorkloadCount; ++i) {
      if (duramen::explorer::WorkloadOf(i).name == value) options.workload = i;
    }
    return options.workload.has_value();
  }
  std::uint64_t* number = nullptr;
  if (name == "--states") number = &options.states;
  if (name == "--seed") number = &options.seed;
  if (name == "--plant") number = &options.plant;
  if (name == "--states-per-run") number = &options.states_per_run;
  return number != nullptr && ParseNumber(value, *number);
}

bool Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--sites") {
      options.sites = true;
    } else if (name == "--verbose") {
      options.verbose = true;
    } else if (name == "--keep-going") {
      options.keep_going = true;
    } else if (i + 1 >= argc || !ParseOption(name, argv[++i], options)) {
      return false;
    }
  }
  return true;
}

// A CHECK of the store, or a wild pointer: the state that did it is worth more than a core.
void OnFatalSignal(int number) {
  const auto say = [](const char* text) {
    if (write(STDERR_FILENO, text, std::strlen(text)) < 0) _exit(1);
  };
  say("\nFAILED: the store aborted\n  replay: duramen_explorer --replay ");
  say(duramen::explorer::CurrentStateName());
  say("\n");
  signal(number, SIG_DFL);
  raise(number);
}

void PrintEvent(void*, const duramen::LogEvent& event) noexcept {
  std::fprintf(stderr, "%.*s: %.*s", static_cast<int>(event.code.size()), event.code.data(),
               static_cast<int>(event.sentence.size()), event.sentence.data());
  for (const duramen::LogField& field : event.fields) {
    std::fprintf(stderr, " %.*s=%.*s", static_cast<int>(field.key.size()), field.key.data(),
                 static_cast<int>(field.value.size()), field.value.data());
  }
  std::fprintf(stderr, "\n");
}

struct SoakTotals {
  std::uint64_t next_seed = 1;
  std::uint64_t states = 0;
};

// Rows: | commit | states | seconds | seeds | with seeds as first-last.
SoakTotals ReadSoak(const std::string& path) {
  SoakTotals totals;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    char commit[128];
    unsigned long long states = 0;
    unsigned long long seconds = 0;
    unsigned long long first = 0;
    unsigned long long last = 0;
    if (std::sscanf(line.c_str(), "| %127[^ |] | %llu | %llu | %llu-%llu |", commit, &states,
                    &seconds, &first, &last) != 5) {
      continue;
    }
    totals.states += states;
    totals.next_seed = std::max<std::uint64_t>(totals.next_seed, last + 1);
  }
  return totals;
}

void AddSoakRow(const Options& options, const Explorer& explorer, std::uint64_t first_seed,
                double seconds) {
  const bool fresh = !std::ifstream(options.soak).good();
  std::ofstream out(options.soak, std::ios::app);
  if (fresh) {
    out << "# Soak of the crash-point explorer\n\n"
           "Distinct disk states that were recovered and judged, all clean; each row continues the "
           "seeds of the one above.\n`duramen_explorer --soak docs/soak.md --minutes M` adds a "
           "row.\n\n"
           "| commit | states | seconds | seeds |\n|---|---|---|---|\n";
  }
  out << "| " << options.commit << " | " << explorer.tally().distinct << " | "
      << static_cast<std::uint64_t>(seconds) << " | " << first_seed << "-"
      << explorer.next_seed() - 1 << " |\n";
}

void PrintLife(const RunId& id, const duramen::explorer::Session& life) {
  std::fprintf(stderr, "--- life %s, open after %zu operations\n", id.ToString().c_str(),
               life.opened_at());
  std::size_t number = 0;
  for (const duramen::sim::Op& op : life.machine().trace()) {
    std::fprintf(stderr, "%4zu %s\n", number++, duramen::sim::Describe(op).c_str());
  }
}

int Replay(const Options& options) {
  const std::optional<RunId> id = RunId::Parse(options.replay);
  if (!id) return 2;
  Explorer explorer(id->seed);
  const auto failure = explorer.Replay(*id, options.verbose ? PrintLife : nullptr);
  std::printf("%s\n", failure ? failure->ToString().c_str() : "clean: this state does not fail");
  return failure ? 1 : 0;
}

void PrintSites(const Explorer& explorer) {
  std::printf("%s", duramen::explorer::SiteTableText(explorer).c_str());
  const std::vector<std::string> lines = duramen::explorer::SourceLinesOf(explorer.sites());
  for (const auto& call :
       duramen::explorer::CallsInSource(DURAMEN_SOURCE_DIR, {"wal", "segments", "meta", "log"})) {
    const std::uint64_t states = duramen::explorer::StatesAt(call, explorer.tally().by_site, lines);
    if (states >= 100) continue;
    std::printf("only %llu states at %s:%zu:%s\n", static_cast<unsigned long long>(states),
                call.file.c_str(), call.line, call.text.c_str());
  }
}

int Explore(Options options) {
  SoakTotals before;
  if (!options.soak.empty()) {
    before = ReadSoak(options.soak);
    options.seed = before.next_seed;
  }
  Explorer explorer(options.seed, options.keep_going);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  bool clean = true;
  while (clean && explorer.tally().distinct < options.states && seconds() < options.minutes * 60) {
    clean = explorer.RunNext(options.states_per_run, options.workload);
  }
  std::printf("%s", duramen::explorer::Summary(explorer.tally(), seconds()).c_str());
  std::printf("call sites: %zu, fewest states at one: %llu\n", explorer.sites().sites().size(),
              static_cast<unsigned long long>(explorer.FewestAtASite()));
  if (options.sites) PrintSites(explorer);
  for (const auto& [sort, failure] : explorer.failures()) {
    std::printf("%llu x %s\n\n", static_cast<unsigned long long>(failure.second),
                failure.first.ToString().c_str());
  }
  if (!explorer.failures().empty()) return 1;
  std::printf("seeds %llu-%llu: clean\n", static_cast<unsigned long long>(options.seed),
              static_cast<unsigned long long>(explorer.next_seed() - 1));
  if (!options.soak.empty()) {
    AddSoakRow(options, explorer, options.seed, seconds());
    std::printf("soak so far: %llu states\n",
                static_cast<unsigned long long>(before.states + explorer.tally().distinct));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, options)) {
    std::fprintf(
        stderr,
        "usage: duramen_explorer [--states N] [--seed S] [--minutes M] [--soak FILE] "
        "[--workload NAME] [--commit ID] [--replay ID] [--plant BUG] [--sites] [--keep-going] "
        "[--verbose]\n");
    return 2;
  }
  if (options.verbose) duramen::explorer::Subject::SetLogSink({PrintEvent, nullptr});
  signal(SIGABRT, OnFatalSignal);
  signal(SIGSEGV, OnFatalSignal);
#if defined(DURAMEN_PLANTED_BUGS)
  duramen::Plant(static_cast<duramen::PlantedBug>(options.plant));
#endif
  return options.replay.empty() ? Explore(options) : Replay(options);
}
