// The kill matrix: every numbered step of the protocol of the shared WAL (base/kill_step.h) alone,
// and in pairs: one of a client with one of the WAL process, and two of one side in lives that
// follow each other, in either order. `./run kill-matrix` runs it; a file keeps what is done.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/shm/process.h"
#include "tests/shm/kill_run.h"

namespace duramen::shm::testing {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  bool list = false;
  unsigned repeats = 3;
  unsigned jobs = 1;
  double minutes = 1e9;
  std::string done;   // a file: what was run before, and what is now
  std::string tally;  // a file: gets a row
  std::string commit = "unknown";
  std::string only;  // A or A,B: by name
};

struct Cell {
  std::vector<KillStep> steps;
};

const KillStepFacts& FactsOf(KillStep step) {
  return kKillStepFacts[static_cast<std::size_t>(step)];
}

std::string NameOf(const Cell& cell) {
  std::string name;
  for (const KillStep step : cell.steps) {
    name += (name.empty() ? "" : ",") + std::string(FactsOf(step).name);
  }
  return name;
}

std::vector<Cell> AllCells() {
  std::vector<Cell> cells;
  for (std::size_t a = 0; a < kKillSteps; ++a) cells.push_back({{static_cast<KillStep>(a)}});
  for (const bool apart : {true, false}) {
    for (std::size_t a = 0; a < kKillSteps; ++a) {
      for (std::size_t b = 0; b < kKillSteps; ++b) {
        const bool differ = kKillStepFacts[a].side != kKillStepFacts[b].side;
        if (differ != apart || (apart && a > b)) continue;
        cells.push_back({{static_cast<KillStep>(a), static_cast<KillStep>(b)}});
      }
    }
  }
  return cells;
}

/// What is in the file is of another table of steps where its first line says so.
std::set<std::string> ReadDone(const std::string& path, const std::string& table) {
  std::set<std::string> done;
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || line != table) return done;
  while (std::getline(file, line)) done.insert(line);
  return done;
}

std::string TableName() {
  std::string names;
  for (const KillStepFacts& facts : kKillStepFacts) names += std::string(facts.name) + " ";
  return "steps " + names;
}

class Matrix {
 public:
  explicit Matrix(const Options& options) : options_(options), cells_(AllCells()) {}

  int Go() {
    begin_ = Clock::now();
    const std::set<std::string> before = ReadDone(options_.done, TableName());
    if (before.empty()) std::ofstream(options_.done) << TableName() << '\n';
    std::vector<pid_t> workers;
    for (unsigned worker = 0; worker < options_.jobs; ++worker) {
      const pid_t pid = ::fork();
      if (pid == 0) std::_Exit(Work(worker, before) ? 0 : 1);
      workers.push_back(pid);
    }
    bool clean = true;
    for (const pid_t pid : workers) {
      int status = 0;
      clean = ::waitpid(pid, &status, 0) == pid && status == 0 && clean;
    }
    return Tell(before, clean);
  }

 private:
  static std::string Key(const Cell& cell, unsigned repeat) {
    return NameOf(cell) + " " + std::to_string(repeat);
  }

  /// Every jobs-th of all runs; false where something was wrong.
  bool Work(unsigned worker, const std::set<std::string>& before) const {
    const std::string directory = RunDirectory();
    bool clean = true;
    unsigned number = 0;
    for (unsigned repeat = 1; repeat <= options_.repeats; ++repeat) {
      for (const Cell& cell : cells_) {
        if (!options_.only.empty() && NameOf(cell) != options_.only) continue;
        if (before.contains(Key(cell, repeat)) || number++ % options_.jobs != worker) continue;
        if (Clock::now() - begin_ > std::chrono::duration<double>(60 * options_.minutes)) break;
        clean = RunCell(cell, repeat, directory + "/run") && clean;
      }
    }
    ::rmdir(directory.c_str());
    return clean;
  }

  bool RunCell(const Cell& cell, unsigned repeat, const std::string& directory) const {
    KillRunOptions run{.duramen = DURAMEN_BINARY,
                       .client = DURAMEN_KILL_CLIENT,
                       .directory = directory,
                       .kills = {},
                       .seed = repeat};
    for (const KillStep step : cell.steps) {
      run.kills.push_back({step, FactsOf(step).again ? repeat : 1});
    }
    const std::string wrong = RunKills(run);
    if (wrong.empty()) {
      std::ofstream(options_.done, std::ios::app) << Key(cell, repeat) + "\n" << std::flush;
      return true;
    }
    std::printf("%s, run %u: %s\n", NameOf(cell).c_str(), repeat, wrong.c_str());
    std::fflush(stdout);
    return false;
  }

  int Tell(const std::set<std::string>& before, bool clean) const {
    const std::set<std::string> done = ReadDone(options_.done, TableName());
    std::size_t full = 0;
    for (const Cell& cell : cells_) {
      bool all = true;
      for (unsigned repeat = 1; repeat <= options_.repeats; ++repeat) {
        all = all && done.contains(Key(cell, repeat));
      }
      full += all ? 1 : 0;
    }
    const auto seconds = static_cast<long>(
        std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin_).count());
    std::printf("%zu runs in %ld s; %zu of %zu cells reached and clean %u times\n",
                done.size() - before.size(), seconds, full, cells_.size(), options_.repeats);
    if (clean && !options_.tally.empty() && done.size() > before.size()) {
      std::ofstream(options_.tally, std::ios::app)
          << "| " << options_.commit << " | " << done.size() - before.size() << " | " << full
          << " of " << cells_.size() << " | " << seconds << " |\n";
    }
    return clean ? 0 : 1;
  }

  const Options& options_;
  const std::vector<Cell> cells_;
  Clock::time_point begin_;
};

void List() {
  for (std::size_t i = 0; i < kKillSteps; ++i) {
    const KillStepFacts& facts = kKillStepFacts[i];
    std::printf("%2zu %-6s %-19s %.*s\n", i, facts.side == KillSide::kClient ? "client" : "host",
                std::string(facts.name).c_str(), static_cast<int>(facts.what.size()),
                facts.what.data());
  }
}

bool Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--list") {
      options.list = true;
      continue;
    }
    if (++i == argc) return false;
    const char* value = argv[i];
    if (name == "--repeats") {
      options.repeats = static_cast<unsigned>(std::atoi(value));
    } else if (name == "--jobs") {
      options.jobs = static_cast<unsigned>(std::atoi(value));
    } else if (name == "--minutes") {
      options.minutes = std::atof(value);
    } else if (name == "--done") {
      options.done = value;
    } else if (name == "--tally") {
      options.tally = value;
    } else if (name == "--commit") {
      options.commit = value;
    } else if (name == "--cell") {
      options.only = value;
    } else {
      return false;
    }
  }
  return options.list || (options.repeats > 0 && options.jobs > 0 && !options.done.empty());
}

}  // namespace
}  // namespace duramen::shm::testing

int main(int argc, char** argv) {
  using namespace duramen::shm::testing;
  Options options;
  if (!Parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: duramen_kill_matrix --done FILE [--repeats N] [--jobs N] [--minutes M] "
                 "[--cell A[,B]] [--tally FILE] [--commit ID] | --list\n");
    return 2;
  }
  if (options.list) {
    List();
    return 0;
  }
  return Matrix(options).Go();
}
