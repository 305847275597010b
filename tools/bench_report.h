// What all benches share: a directory of their own, the clock of the run, and the common keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/bench.h"

namespace duramen::tools {

/// A directory for one bench. A fresh one is removed with all in it when this is destroyed; a given
/// one keeps what was in it.
class BenchDirectory {
 public:
  /// Errors: kIo, kPermission, kRefused (a given directory with something in it).
  static Result<BenchDirectory> Make(const std::string& wanted, std::uint64_t seed);
  /// A fresh one in `parent`, which must be there; its name begins with `prefix`.
  static Result<BenchDirectory> In(const std::string& parent, std::string_view prefix);
  BenchDirectory(BenchDirectory&& other) noexcept;
  BenchDirectory& operator=(BenchDirectory&&) = delete;
  ~BenchDirectory();
  const std::string& path() const { return path_; }

 private:
  explicit BenchDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// CPU time that this process has used since it was made.
class CpuTimer {
 public:
  CpuTimer();
  double user_seconds() const;
  double system_seconds() const;

 private:
  double user_begin_;
  double system_begin_;
};

/// The keys that every bench prints first.
std::vector<Field> CommonFields(std::string_view bench, const BenchOptions& options, double seconds,
                                std::uint64_t entry_bytes);

/// A table for people; with --json one object, as the last line.
void PrintBench(Terminal& terminal, const OutputOptions& output, const std::vector<Field>& fields);

/// How a bench ended, complained about where it failed.
ExitCode EndBench(const Status& status, Terminal& terminal);

/// The settings that were given, --sync and --depth among them. Errors: kConfiguration.
Result<SettingStack> StackBench(const BenchOptions& options, SettingSources sources);

/// For a WAL directory of the settings: a fresh folder in it is used instead. They go with it.
/// Errors: those of making it, and of settings that no store opens with.
Result<std::vector<BenchDirectory>> UseOwnWalDirectories(std::uint64_t seed,
                                                         LogStoreOptions& options);

/// `options` with the sync method that a store of `store` was asked for.
BenchOptions WithMethod(BenchOptions options, const LogStoreOptions& store);

/// Errors: kConfiguration.
Result<SyncMethod> ParseSyncMethod(const std::string& text);

}  // namespace duramen::tools
