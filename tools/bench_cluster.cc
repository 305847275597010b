// Commands through replicated clusters of this process: a closed loop, so many under way for each
// client.
#include <atomic>
#include <thread>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "base/try.h"
#include "duramen/system.h"
#include "tools/bench_systems.h"
#include "tools/interrupt.h"

namespace duramen::tools {
namespace {

using std::chrono::seconds;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kWarmNs = kSecondNs;
constexpr std::uint64_t kMembersMax = 7;
constexpr std::uint64_t kClientsMax = 1000;
constexpr std::uint64_t kPipeMax = 1'000'000;
constexpr std::uint64_t kClustersMax = 100'000;

Status CheckRange(const BenchClusterOptions& options) {
  const auto within = [](std::uint64_t value, std::uint64_t most, const char* name) -> Status {
    if (value >= 1 && value <= most) return {};
    return Error{ErrorCode::kInvalidArgument,
                 std::string(name) + " is " + std::to_string(value),
                 "give 1 to " + std::to_string(most)};
  };
  TRY(within(options.members, kMembersMax, "--members"));
  TRY(within(options.clusters, kClustersMax, "--clusters"));
  TRY(within(options.clients, kClientsMax, "--clients"));
  TRY(within(options.pipe, kPipeMax, "--pipe"));
  if (options.members == 1 || options.in_process) return {};
  return Error{ErrorCode::kInvalidArgument, "members on several processes are not there yet",
               "add --in-process: systems of one process"};
}

/// Its state is how many there were.
class Tally final : public Machine {
 public:
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      ++count_;
      if (effects.wants_reply(at)) effects.Reply(at, AsText(BytesOf(count_)));
    }
  }
  Status Query(Bytes, std::string& answer) const override {
    answer = std::to_string(count_);
    return {};
  }

 private:
  static Bytes BytesOf(const std::uint64_t& value) {
    return std::as_bytes(std::span<const std::uint64_t, 1>(&value, 1));
  }
  std::uint64_t count_ = 0;
};

/// One client in a thread of its own, with as many commands under way as it may have.
class Driver {
 public:
  Driver(System& system, const BenchClusterOptions& options, std::uint64_t number)
      : options_(options),
        client_(system.NewClient()),
        sent_ns_(options.pipe),
        payload_(options.entry_bytes),
        next_cluster_(number * options.clusters / options.clients) {
    for (std::uint64_t slot = 0; slot < options.pipe; ++slot) free_.push_back(slot);
  }

  enum class Phase : int { kWarming, kMeasured, kEnd };

  /// Until the end, and what is under way then.
  void Run(const std::atomic<Phase>& phase) {
    for (Phase now = phase.load(); now != Phase::kEnd && status_.ok(); now = phase.load()) {
      counts_ = now == Phase::kMeasured;
      Fill();
      Take();
    }
    counts_ = false;
    while (free_.size() < options_.pipe && status_.ok() && !Interrupted()) Take();
  }

  std::uint64_t done() const { return done_; }
  std::uint64_t refused() const { return refused_; }
  const HistogramCounts& latency() const { return latency_; }
  const Status& status() const { return status_; }

 private:
  void Fill() {
    while (!free_.empty()) {
      const std::uint64_t slot = free_.back();
      sent_ns_[slot] = clock_.NowNs();
      const Status sent = client_.Send(BenchSystems::NameOf(next_cluster_), slot, payload_);
      if (!sent.ok()) {
        const ErrorCode code = sent.error().code;
        refused_ += counts_ ? 1 : 0;
        if (code != ErrorCode::kOverloaded && code != ErrorCode::kNotLeader) status_ = sent;
        return;
      }
      free_.pop_back();
      next_cluster_ = next_cluster_ + 1 == options_.clusters ? 0 : next_cluster_ + 1;
    }
  }

  void Take() {
    const Status news = client_.Wait(std::chrono::steady_clock::now() + seconds(1));
    if (!news.ok()) return;  // Whoever ends it looks every second.
    const std::int64_t now_ns = clock_.NowNs();
    for (const Outcome& outcome : client_.Poll()) {
      free_.push_back(outcome.correlation);
      if (!counts_) continue;
      if (outcome.error) {
        ++refused_;
        continue;
      }
      ++done_;
      latency_.Add(static_cast<std::uint64_t>(now_ns - sent_ns_[outcome.correlation]));
    }
  }

  const BenchClusterOptions& options_;
  Client client_;
  SystemClock clock_;
  std::vector<std::int64_t> sent_ns_;  // by slot
  std::vector<std::uint64_t> free_;
  std::vector<std::byte> payload_;
  std::uint64_t next_cluster_;
  bool counts_ = false;
  std::uint64_t done_ = 0;
  std::uint64_t refused_ = 0;
  HistogramCounts latency_;
  Status status_;
};

class ClusterBench {
 public:
  ClusterBench(const BenchClusterOptions& options, BenchSystems& systems)
      : options_(options), systems_(systems) {}

  Status Run() {
    TRY(systems_.Open());
    const std::int64_t begin_ns = clock_.NowNs();
    TRY(systems_.StartClusters());
    TRY(systems_.AwaitLeaders());
    start_ns_ = clock_.NowNs() - begin_ns;
    if (!Interrupted()) TRY(Measure());
    return systems_.Close();
  }

  std::vector<Field> Fields() const {
    const double measured_s = static_cast<double>(measured_ns_) / 1e9;
    const auto micros = [this](double part) {
      return static_cast<double>(latency_.Quantile(part)) / 1000;
    };
    const BenchOptions common = WithMethod(options_.common, systems_.storage());
    std::vector<Field> fields = CommonFields("cluster", common, measured_s, options_.entry_bytes);
    const std::vector<Field> measured = {
        {"cpu_user_s", ColumnType::kDecimal, cpu_user_s_},
        {"cpu_sys_s", ColumnType::kDecimal, cpu_system_s_},
        {"members", ColumnType::kCount, options_.members},
        {"clusters", ColumnType::kCount, options_.clusters},
        {"clients", ColumnType::kCount, options_.clients},
        {"pipe", ColumnType::kCount, options_.pipe},
        {"start_s", ColumnType::kDecimal, static_cast<double>(start_ns_) / 1e9},
        {"commands_per_s", ColumnType::kDecimal,
         measured_ns_ == 0 ? 0 : static_cast<double>(done_) / measured_s},
        {"p50_us", ColumnType::kDecimal, micros(0.5)},
        {"p99_us", ColumnType::kDecimal, micros(0.99)},
        {"p999_us", ColumnType::kDecimal, micros(0.999)},
        {"refused", ColumnType::kCount, refused_}};
    fields.insert(fields.end(), measured.begin(), measured.end());
    return fields;
  }

 private:
  Status Measure() {
    std::vector<std::unique_ptr<Driver>> drivers;
    for (std::uint64_t number = 0; number < options_.clients; ++number)
      drivers.push_back(std::make_unique<Driver>(systems_.first(), options_, number));
    std::atomic<Driver::Phase> phase{Driver::Phase::kWarming};
    std::vector<std::thread> threads;
    for (const auto& driver : drivers)
      threads.emplace_back([&driver = *driver, &phase] { driver.Run(phase); });
    PassTime(clock_, kWarmNs);
    const CpuTimer cpu;
    const std::int64_t begin_ns = clock_.NowNs();
    phase.store(Driver::Phase::kMeasured);
    PassTime(clock_, static_cast<std::int64_t>(options_.common.seconds) * kSecondNs);
    measured_ns_ = clock_.NowNs() - begin_ns;
    phase.store(Driver::Phase::kEnd);
    cpu_user_s_ = cpu.user_seconds();
    cpu_system_s_ = cpu.system_seconds();
    for (std::thread& thread : threads) thread.join();
    for (const auto& driver : drivers) {
      TRY(driver->status());
      done_ += driver->done();
      refused_ += driver->refused();
      latency_.Merge(driver->latency());
    }
    return {};
  }

  const BenchClusterOptions& options_;
  BenchSystems& systems_;
  SystemClock clock_;
  std::int64_t start_ns_ = 0;
  std::int64_t measured_ns_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t refused_ = 0;
  HistogramCounts latency_;
  double cpu_user_s_ = 0;
  double cpu_system_s_ = 0;
};

Result<std::vector<Field>> MeasureClusters(const BenchClusterOptions& options) {
  TRY(CheckRange(options));
  const MachineType tally{.name = "tally", .make = [] { return std::make_unique<Tally>(); }};
  BenchSystems systems =
      TRY(BenchSystems::Make(options.common, options.settings,
                             {.members = options.members,
                              .clusters = options.clusters,
                              .machine = tally}));
  ClusterBench bench(options, systems);
  TRY(bench.Run());
  return bench.Fields();
}

}  // namespace

ExitCode RunBenchCluster(const BenchClusterOptions& options, Terminal& terminal) {
  return FinishBench(MeasureClusters(options), options.common.output, terminal);
}

}  // namespace duramen::tools
