#include "tools/bench_report.h"

#include <sys/resource.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/posix_io.h"
#include "base/rng.h"
#include "base/settings.h"
#include "base/try.h"
#include "tools/interrupt.h"
#include "tools/version.h"

namespace duramen::tools {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

rusage Usage() {
  rusage usage{};
  (void)::getrusage(RUSAGE_SELF, &usage);
  return usage;
}

}  // namespace

Result<BenchDirectory> BenchDirectory::Make(const std::string& wanted, std::uint64_t seed) {
  PosixFileSystem file_system;
  const std::string parent = wanted.empty() ? "." : wanted;
  TRY(file_system.CreateDirectories(parent));
  return In(parent, "duramen-bench-" + std::to_string(seed));
}

Result<BenchDirectory> BenchDirectory::In(const std::string& parent, std::string_view prefix) {
  PosixFileSystem file_system;
  const std::unique_ptr<Directory> directory = TRY(file_system.Open(parent));
  const std::string name =
      std::string(prefix) + "-" + Rng::FromSystem().NextUid().ToString().substr(0, 8);
  TRY(directory->CreateDirectory(name));
  return BenchDirectory(parent + "/" + name);
}

BenchDirectory::BenchDirectory(BenchDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

BenchDirectory::~BenchDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;  // A bench's leftover harms nobody.
  std::filesystem::remove_all(path_, ignored);
}

CpuTimer::CpuTimer() {
  const rusage usage = Usage();
  user_begin_ = Seconds(usage.ru_utime);
  system_begin_ = Seconds(usage.ru_stime);
}

double CpuTimer::user_seconds() const { return Seconds(Usage().ru_utime) - user_begin_; }
double CpuTimer::system_seconds() const { return Seconds(Usage().ru_stime) - system_begin_; }

std::vector<Field> CommonFields(std::string_view bench, const BenchOptions& options, double seconds,
                                std::uint64_t entry_bytes) {
  return {{"bench", ColumnType::kText, std::string(bench)},
          {"seed", ColumnType::kCount, options.seed},
          {"commit", ColumnType::kText, CommitOfBuild()},
          {"seconds", ColumnType::kDecimal, seconds},
          {"sync_method", ColumnType::kText, options.sync_method},
          {"entry_bytes", ColumnType::kCount, entry_bytes}};
}

void PrintBench(Terminal& terminal, const OutputOptions& output, const std::vector<Field>& fields) {
  PrintFacts(terminal, output, "bench", fields);
}

ExitCode EndBench(const Status& status, Terminal& terminal) {
  if (status.ok()) return Interrupted() ? ExitCode::kInterrupted : ExitCode::kClean;
  terminal.Complain(status.error());
  return ExitCodeOf(status.error().code);
}

Result<SettingStack> StackBench(const BenchOptions& options, SettingSources sources) {
  if (!options.sync_method.empty()) {
    sources.flags.emplace_back("wal_sync_method", options.sync_method);
  }
  if (options.depth != 0) {
    sources.flags.emplace_back("wal_pipeline_depth", std::to_string(options.depth));
  }
  return StackSettings(sources);
}

Result<std::vector<BenchDirectory>> UseOwnWalDirectories(std::uint64_t seed,
                                                         LogStoreOptions& options) {
  std::vector<BenchDirectory> made;
  TRY(ValidateOptions(options));
  for (std::string* path : {&options.wal_dir, &options.wal_failover_dir}) {
    if (path->empty() || *path == kNoFailoverDir) continue;
    made.push_back(TRY(BenchDirectory::Make(*path, seed)));
    *path = made.back().path() + "/wal";
  }
  return made;
}

BenchOptions WithMethod(BenchOptions options, const LogStoreOptions& store) {
  options.sync_method = SettingText("wal_sync_method", store);
  return options;
}

Result<SyncMethod> ParseSyncMethod(const std::string& text) {
  LogStoreOptions options;
  TRY(ParseSetting("wal_sync_method", text, options));
  return options.wal_sync_method;
}

}  // namespace duramen::tools
