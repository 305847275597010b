#include "tools/bench_shared.h"

#include <signal.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/try.h"
#include "tools/bench_report.h"
#include "tools/interrupt.h"
#include "tools/keeper.h"

namespace duramen::tools {
namespace {

constexpr int kRounds = 3;

/// What one child measured.
struct Measured {
  double entries_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
};

/// A `bench wal` whose last line is what it measured.
class BenchChild final : public Keeper {
 public:
  void OnOut(std::string_view line) override {
    using Json = nlohmann::json;
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || !object.contains("entries_per_s")) return;
    const auto number = [&](const char* key) {
      const auto found = object.find(key);
      return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
    };
    measured_ = {number("entries_per_s"), number("p50_us"), number("p99_us")};
  }
  const Measured& measured() const { return measured_; }

 private:
  Measured measured_;
};

/// Of one load, both ways.
struct Pair {
  Measured embedded;
  Measured shared;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

class SharedBench {
 public:
  SharedBench(const BenchSharedOptions& options, std::string dir)
      : options_(options), dir_(std::move(dir)) {}

  Status Run() {
    for (int round = 0; round < kRounds && !Interrupted(); ++round) {
      many_.push_back(TRY(Both(options_.load.servers, options_.load.in_flight, options_.clients)));
      one_.push_back(TRY(Both(1, 1, 1)));
    }
    return {};
  }

  std::vector<Field> Fields() const {
    const auto median = [](const std::vector<Pair>& pairs, auto value) {
      std::vector<double> values;
      for (const Pair& pair : pairs) values.push_back(value(pair));
      return Median(std::move(values));
    };
    std::vector<double> ratios;
    for (const Pair& pair : many_) {
      ratios.push_back(pair.shared.entries_per_s / std::max(pair.embedded.entries_per_s, 1.0));
    }
    const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
    const BenchLoadOptions& load = options_.load;
    std::vector<Field> fields = CommonFields(
        "wal_shared", load.common, static_cast<double>(load.common.seconds), load.entry_bytes);
    const std::vector<Field> measured = {
        {"clients", ColumnType::kCount, options_.clients},
        {"servers", ColumnType::kCount, load.servers},
        {"in_flight", ColumnType::kCount, load.in_flight},
        {"embedded_entries_per_s", ColumnType::kDecimal,
         median(many_, [](const Pair& pair) { return pair.embedded.entries_per_s; })},
        {"shared_entries_per_s", ColumnType::kDecimal,
         median(many_, [](const Pair& pair) { return pair.shared.entries_per_s; })},
        {"ratio_to_embedded", ColumnType::kDecimal, Median(ratios)},
        {"ratio_spread", ColumnType::kDecimal, ratios.empty() ? 0 : *high - *low},
        {"embedded_p99_us", ColumnType::kDecimal,
         median(many_, [](const Pair& pair) { return pair.embedded.p99_us; })},
        {"shared_p99_us", ColumnType::kDecimal,
         median(many_, [](const Pair& pair) { return pair.shared.p99_us; })},
        {"one_embedded_p50_us", ColumnType::kDecimal,
         median(one_, [](const Pair& pair) { return pair.embedded.p50_us; })},
        {"one_shared_p50_us", ColumnType::kDecimal,
         median(one_, [](const Pair& pair) { return pair.shared.p50_us; })},
        {"one_added_us", ColumnType::kDecimal,
         median(one_, [](const Pair& pair) { return pair.shared.p50_us - pair.embedded.p50_us; })}};
    fields.insert(fields.end(), measured.begin(), measured.end());
    return fields;
  }

 private:
  std::vector<std::string> Command(std::uint64_t servers, std::uint64_t in_flight) const {
    const BenchLoadOptions& load = options_.load;
    return {Child::OwnPath(),
            "bench",
            "wal",
            "--json",
            "--dir",
            dir_,
            "--servers",
            std::to_string(servers),
            "--in-flight",
            std::to_string(in_flight),
            "--entry-bytes",
            std::to_string(load.entry_bytes),
            "--seconds",
            std::to_string(load.common.seconds),
            "--seed",
            std::to_string(load.common.seed)};
  }

  Result<Pair> Both(std::uint64_t servers, std::uint64_t in_flight, std::uint64_t clients) {
    Pair pair;
    BenchChild alone;
    std::vector<std::string> command = Command(servers, in_flight);
    const std::vector<std::string> settings = WalFlags(options_.load);
    command.insert(command.end(), settings.begin(), settings.end());
    alone.Loop(command);
    if (!alone.problem().empty()) return Failed(alone.problem());
    pair.embedded = alone.measured();
    if (Interrupted()) return pair;
    const BenchDirectory directory = TRY(BenchDirectory::In(dir_, "shared"));
    const std::string socket = directory.path() + "/sock";
    WalKeeper wal(directory.path() + "/data");
    std::thread wal_thread([&] { wal.Run(socket, settings); });
    Result<Measured> shared = Failed("the WAL process ended before it was ready");
    if (wal.AwaitReady()) shared = Clients(Command(servers / clients, in_flight), socket, clients);
    wal.Signal(SIGTERM);
    wal_thread.join();
    if (!wal.problem().empty()) return Failed(wal.problem());
    pair.shared = TRY(std::move(shared));
    return pair;
  }

  /// At the same time.
  static Result<Measured> Clients(const std::vector<std::string>& command,
                                  const std::string& socket, std::uint64_t clients) {
    std::vector<std::unique_ptr<BenchChild>> children;
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < clients; ++i) {
      children.push_back(std::make_unique<BenchChild>());
      threads.emplace_back([&, i, child = children.back().get()] {
        std::vector<std::string> one = command;
        one.insert(one.end(), {"--wal-process", "unix:" + socket, "--log-prefix",
                               "client-" + std::to_string(i) + "-"});
        child->Loop(one);
      });
    }
    for (std::thread& thread : threads) thread.join();
    Measured all;
    for (const auto& child : children) {
      if (!child->problem().empty()) return Failed(child->problem());
      all.entries_per_s += child->measured().entries_per_s;
      all.p50_us = std::max(all.p50_us, child->measured().p50_us);
      all.p99_us = std::max(all.p99_us, child->measured().p99_us);
    }
    return all;
  }

  static Error Failed(const std::string& problem) {
    return {ErrorCode::kIo, problem, "run that command by itself"};
  }

  const BenchSharedOptions& options_;
  const std::string dir_;
  std::vector<Pair> many_;
  std::vector<Pair> one_;
};

}  // namespace

Status CheckShared(const BenchSharedOptions& options) {
  if (options.clients >= 1 && options.load.servers >= options.clients) return {};
  return Error{ErrorCode::kInvalidArgument, "each client needs a log of its own",
               "--servers at least as many as --clients"};
}

std::vector<std::string> WalFlags(const BenchLoadOptions& load) {
  std::vector<std::string> flags;
  for (const auto& [name, text] : load.settings.flags) {
    flags.insert(flags.end(), {FlagName(name), text});
  }
  const std::string& method = load.common.sync_method;
  if (!method.empty()) flags.insert(flags.end(), {FlagName("wal_sync_method"), method});
  return flags;
}

ExitCode RunBenchShared(const BenchSharedOptions& options, Terminal& terminal) {
  const auto run = [&]() -> Status {
    TRY(CheckShared(options));
    const BenchOptions& common = options.load.common;
    const BenchDirectory directory = TRY(BenchDirectory::Make(common.dir, common.seed));
    SharedBench bench(options, directory.path());
    TRY(bench.Run());
    PrintBench(terminal, common.output, bench.Fields());
    return terminal.Flush();
  };
  return EndBench(run(), terminal);
}

}  // namespace duramen::tools
