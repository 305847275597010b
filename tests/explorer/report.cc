#include "tests/explorer/report.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <tuple>

namespace duramen::explorer {
namespace {

std::string Line(const char* format, double a, double b) {
  std::array<char, 160> text{};
  const int size = std::snprintf(text.data(), text.size(), format, a, b);
  return std::string(text.data(), static_cast<std::size_t>(std::max(size, 0)));
}

// "log_store.cc:120" for each address, in order; empty strings where nobody can tell.
std::vector<std::string> SourceLines(const std::vector<const void*>& callers) {
  std::vector<std::string> lines(callers.size());
  Dl_info object{};
  if (callers.empty() || dladdr(reinterpret_cast<const void*>(&SourceLines), &object) == 0)
    return lines;
  std::string command = "addr2line -e /proc/" + std::to_string(getpid()) + "/exe";
  for (const void* caller : callers) {
    // One back: the call, not what follows it.
    const auto offset = reinterpret_cast<std::uintptr_t>(caller) -
                        reinterpret_cast<std::uintptr_t>(object.dli_fbase) - 1;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), " 0x%zx", static_cast<std::size_t>(offset));
    command += text.data();
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(
      popen((command + " 2>/dev/null").c_str(), "r"), pclose);
  if (pipe == nullptr) return lines;
  std::array<char, 1024> line{};
  for (std::string& out : lines) {
    if (std::fgets(line.data(), static_cast<int>(line.size()), pipe.get()) == nullptr) break;
    out = line.data();
    while (!out.empty() && out.back() == '\n') out.pop_back();
    const std::size_t slash = out.find_last_of('/');
    const std::size_t folder =
        slash == std::string::npos ? slash : out.find_last_of('/', slash - 1);
    if (folder != std::string::npos) out.erase(0, folder + 1);
    if (const std::size_t extra = out.find(" (disc"); extra != std::string::npos) out.resize(extra);
    if (out.starts_with("??")) out.clear();
  }
  return lines;
}

// Whether a line calls a method of File, Directory or FileSystem that a crash can interrupt. By
// name: logs and pools have methods of the same names and are told apart by theirs.
bool CallsThePort(const std::string& line) {
  static constexpr std::string_view kMethods[] = {
      "Write",  "SyncData", "SyncAll", "Allocate",        "Truncate",        "Rename",
      "Remove", "Create",   "Sync",    "CreateDirectory", "RemoveDirectory", "CreateDirectories",
      "Lock"};
  for (const std::string_view method : kMethods) {
    const std::string call = std::string(method) + "(";
    for (std::size_t at = line.find(call); at != std::string::npos; at = line.find(call, at + 1)) {
      const std::string_view before = std::string_view(line).substr(0, at);
      if (before.find("//") != std::string_view::npos) continue;
      if (!before.ends_with(".") && !before.ends_with("->")) continue;
      const std::string_view owner =
          before.substr(0, before.size() - (before.ends_with(".") ? 1 : 2));
      static constexpr std::string_view kOthers[] = {"log",   "log_", "pool",       "quarantine",
                                                     "pool_", "edit", "checkpoints"};
      const bool other = std::any_of(std::begin(kOthers), std::end(kOthers),
                                     [&](std::string_view name) { return owner.ends_with(name); });
      if (!other) return true;
    }
  }
  return false;
}

}  // namespace

std::string Summary(const Tally& tally, double seconds) {
  std::string text;
  const auto add = [&text](const char* what, std::uint64_t number) {
    text += std::string(what) + " " + std::to_string(number) + "\n";
  };
  add("distinct states (by hash of the disk image):", tally.distinct);
  add("restarts judged:", tally.judged);
  add("distinct with a second crash inside the recovery:", tally.doubles);
  add("distinct with a second crash after the recovery:", tally.later);
  add("lives (stores that were used):", tally.lives);
  for (std::size_t i = 0; i < kCrashKinds; ++i) {
    text += std::string("  ") + CrashName(static_cast<Crash>(i));
    add(":", tally.by_crash[i]);
  }
  for (std::uint32_t i = 0; i < kWorkloadCount; ++i) {
    const double share = tally.distinct == 0 ? 0
                                             : 100.0 * static_cast<double>(tally.by_workload[i]) /
                                                   static_cast<double>(tally.distinct);
    text += "  " + std::string(WorkloadOf(i).name) + ": " + std::to_string(tally.by_workload[i]) +
            Line(" states (%.1f %%), rolls %.0f", share, static_cast<double>(tally.rolls[i])) +
            " in " + std::to_string(tally.runs[i]) + " runs, at least " +
            std::to_string(tally.rolls_min[i]) + " in each\n";
  }
  const double cpu = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  text += Line("states per second of CPU time: %.0f (%.1f s)\n",
               static_cast<double>(tally.judged) / std::max(cpu, 1e-9), cpu);
  text += Line("states/s: %.0f in %.1f s\n",
               static_cast<double>(tally.judged) / std::max(seconds, 1e-9), seconds);
  return text;
}

std::vector<std::string> SourceLinesOf(const sim::SiteTable& sites) {
  std::vector<const void*> callers;
  for (const sim::Site& site : sites.sites()) callers.push_back(site.caller);
  return SourceLines(callers);
}

std::vector<SourceCall> CallsInSource(const std::string& root,
                                      const std::vector<std::string>& folders) {
  std::vector<SourceCall> calls;
  for (const std::string& folder : folders) {
    for (const auto& entry : std::filesystem::directory_iterator(root + "/" + folder)) {
      if (entry.path().extension() != ".cc") continue;
      std::ifstream in(entry.path());
      std::string text;
      for (std::size_t line = 1; std::getline(in, text); ++line) {
        if (!CallsThePort(text)) continue;
        calls.push_back({folder + "/" + entry.path().filename().string(), line, text});
      }
    }
  }
  std::sort(calls.begin(), calls.end(), [](const SourceCall& a, const SourceCall& b) {
    return std::tie(a.file, a.line) < std::tie(b.file, b.line);
  });
  return calls;
}

bool OfARepair(const SourceCall& call) {
  return call.file.starts_with("log/repair") || call.file == "log/overlay.cc" ||
         call.file == "log/file_copy.cc";
}

std::uint64_t StatesAt(const SourceCall& call, const std::vector<std::uint64_t>& by_site,
                       const std::vector<std::string>& lines) {
  std::uint64_t sum = 0;
  for (std::size_t site = 0; site < lines.size() && site < by_site.size(); ++site) {
    for (std::size_t line = call.line; line < call.line + 3; ++line) {
      if (lines[site] == call.file + ":" + std::to_string(line)) sum += by_site[site];
    }
  }
  return sum;
}

std::string SiteTableText(const Explorer& explorer) {
  const std::vector<sim::Site>& sites = explorer.sites().sites();
  const std::vector<std::uint64_t>& states = explorer.tally().by_site;
  const std::vector<std::string> lines = SourceLinesOf(explorer.sites());
  std::vector<std::size_t> order(sites.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto states_of = [&states](std::size_t i) { return i < states.size() ? states[i] : 0; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return states_of(a) < states_of(b); });
  std::string text = "states    calls  call site\n";
  for (const std::size_t i : order) {
    text += Line("%6.0f %8.0f  ", static_cast<double>(states_of(i)),
                 static_cast<double>(sites[i].calls));
    text += sites[i].operation + " " + sites[i].file_class + "  " + lines[i] + "\n";
  }
  return text;
}

}  // namespace duramen::explorer
