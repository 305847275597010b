#include "tools/bench_takeover.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/try.h"
#include "tools/bench_load.h"
#include "tools/bench_report.h"
#include "tools/interrupt.h"
#include "tools/keeper.h"

namespace duramen::tools {
namespace {

constexpr std::int64_t kToldNs = 1'000'000;      // shorter gaps are not kept
constexpr std::int64_t kBehindNs = 500'000'000;  // of an upgrade, which may still be felt
constexpr std::uint64_t kFloorStep = 64;         // entries by which a floor may stay behind
constexpr std::size_t kGapsMax = 1'000'000;      // of one service

/// In which a service waited and heard nothing.
struct Gap {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};

double Milliseconds(std::int64_t ns) { return static_cast<double>(ns) / 1e6; }

/// One service, with a thread of its own.
class Service {
 public:
  Service(const BenchLoadOptions& load, std::string socket)
      : options_(load), socket_(std::move(socket)) {}
  ~Service() { Stop(); }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  void Start() {
    thread_ = std::thread([this] { status_ = Run(); });
  }
  void Stop() {
    stop_.store(true);
    if (thread_.joinable()) thread_.join();
  }
  /// It hears of entries, or has ended.
  bool begun() const { return begun_.load(); }
  bool over() const { return over_.load(); }
  // After Stop.
  const Status& status() const { return status_; }
  const std::vector<Gap>& gaps() const { return gaps_; }
  std::uint64_t entries() const { return entries_; }

 private:
  Status Run() {
    const Status status = Serve();
    over_.store(true);
    begun_.store(true);
    return status;
  }

  Status Serve() {
    LogStoreOptions settings;
    settings.wal_process = "unix:" + socket_;
    LogStore store = TRY(LogStore::Open(settings));
    BenchLoad load(options_, {.step = kFloorStep}, store);
    TRY(load.Open());
    std::int64_t heard_ns = clock_.NowNs();
    while (!stop_.load() && !Interrupted()) {
      TRY(load.Refill());
      const std::uint64_t before = load.entries();
      TRY(load.TakeNews());
      if (load.entries() == before) continue;
      const std::int64_t now_ns = clock_.NowNs();
      if (now_ns - heard_ns >= kToldNs && gaps_.size() < kGapsMax) {
        gaps_.push_back({heard_ns, now_ns});
      }
      heard_ns = now_ns;
      begun_.store(true);
    }
    entries_ = load.entries();
    while (load.outstanding() > 0 && !Interrupted()) TRY(load.TakeNews());
    return {};
  }

  const BenchLoadOptions options_;
  const std::string socket_;
  SystemClock clock_;
  std::vector<Gap> gaps_;
  std::uint64_t entries_ = 0;
  Status status_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> begun_{false};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

/// A WAL process, and the thread that reads what it says.
class WalLife {
 public:
  WalLife(const std::string& data_dir, std::string socket, std::vector<std::string> flags)
      : keeper_(data_dir), thread_([this, socket = std::move(socket), flags = std::move(flags)] {
          keeper_.Run(socket, flags);
        }) {}
  ~WalLife() {
    keeper_.Signal(SIGTERM);
    if (thread_.joinable()) thread_.join();
  }
  WalLife(const WalLife&) = delete;
  WalLife& operator=(const WalLife&) = delete;

  Status AwaitReady() {
    if (keeper_.AwaitReady()) return {};
    thread_.join();
    return Error{ErrorCode::kIo, "a WAL process did not begin: " + keeper_.problem(), ""};
  }
  /// Its own, when a successor has taken over.
  Status AwaitEnd() {
    thread_.join();
    if (keeper_.problem().empty()) return {};
    return Error{ErrorCode::kIo, keeper_.problem(), ""};
  }

 private:
  WalKeeper keeper_;
  std::thread thread_;
};

class TakeoverBench {
 public:
  TakeoverBench(const BenchSharedOptions& options, const std::string& dir)
      : options_(options), data_dir_(dir + "/data"), socket_(dir + "/socket") {}

  Status Run() {
    wal_ = std::make_unique<WalLife>(data_dir_, socket_, WalFlags(options_.load));
    TRY(wal_->AwaitReady());
    StartServices();
    const std::int64_t begin_ns = clock_.NowNs();
    Status status = Upgrades();
    for (const auto& service : services_) service->Stop();
    seconds_ = static_cast<double>(clock_.NowNs() - begin_ns) / 1e9;
    for (const auto& service : services_) {
      if (status.ok()) status = service->status();
    }
    return status;
  }

  std::vector<Field> Fields() const {
    std::int64_t other_ns = 0;
    std::uint64_t entries = 0;
    std::vector<std::int64_t> pauses(upgrades_.size());
    for (const auto& service : services_) {
      entries += service->entries();
      for (const Gap& gap : service->gaps()) {
        const auto during = std::ranges::find_if(upgrades_, [&](const Gap& upgrade) {
          return gap.end_ns >= upgrade.begin_ns && gap.begin_ns <= upgrade.end_ns + kBehindNs;
        });
        const std::int64_t ns = gap.end_ns - gap.begin_ns;
        std::int64_t& longest =
            during == upgrades_.end()
                ? other_ns
                : pauses[static_cast<std::size_t>(during - upgrades_.begin())];
        longest = std::max(longest, ns);
      }
    }
    std::ranges::sort(pauses);
    std::int64_t takes_ns = 0;
    for (const Gap& upgrade : upgrades_) {
      takes_ns = std::max(takes_ns, upgrade.end_ns - upgrade.begin_ns);
    }
    const BenchLoadOptions& load = options_.load;
    std::vector<Field> fields =
        CommonFields("wal_takeover", load.common, seconds_, load.entry_bytes);
    const std::vector<Field> measured = {
        {"clients", ColumnType::kCount, options_.clients},
        {"servers", ColumnType::kCount, load.servers},
        {"in_flight", ColumnType::kCount, load.in_flight},
        {"entries_per_s", ColumnType::kDecimal,
         seconds_ <= 0 ? 0 : static_cast<double>(entries) / seconds_},
        {"upgrades", ColumnType::kCount, static_cast<std::uint64_t>(upgrades_.size())},
        {"shortest_pause_ms", ColumnType::kDecimal,
         pauses.empty() ? 0 : Milliseconds(pauses.front())},
        {"median_pause_ms", ColumnType::kDecimal,
         pauses.empty() ? 0 : Milliseconds(pauses[pauses.size() / 2])},
        {"longest_pause_ms", ColumnType::kDecimal,
         pauses.empty() ? 0 : Milliseconds(pauses.back())},
        {"longest_other_gap_ms", ColumnType::kDecimal, Milliseconds(other_ns)},
        {"longest_upgrade_ms", ColumnType::kDecimal, Milliseconds(takes_ns)}};
    fields.insert(fields.end(), measured.begin(), measured.end());
    return fields;
  }

 private:
  void StartServices() {
    for (std::uint64_t i = 0; i < options_.clients; ++i) {
      BenchLoadOptions load = options_.load;
      load.servers /= options_.clients;
      load.log_prefix = "client-" + std::to_string(i) + "-";
      services_.push_back(std::make_unique<Service>(load, socket_));
      services_.back()->Start();
    }
    while (!Interrupted() && std::ranges::any_of(services_, [](const auto& service) {
      return !service->begun();
    })) {
      Rest(kToldNs);
    }
  }

  /// So many seconds of load stand before each, and behind the last.
  Status Upgrades() {
    const auto rest_ns = static_cast<std::int64_t>(options_.load.common.seconds) * 1'000'000'000;
    for (std::uint64_t i = 0; i < options_.upgrades && !Interrupted(); ++i) {
      Rest(rest_ns);
      if (std::ranges::any_of(services_, [](const auto& one) { return one->over(); })) return {};
      std::vector<std::string> flags = WalFlags(options_.load);
      flags.emplace_back("--takeover");
      const std::int64_t begin_ns = clock_.NowNs();
      auto successor = std::make_unique<WalLife>(data_dir_, socket_, flags);
      TRY(successor->AwaitReady());
      upgrades_.push_back({begin_ns, clock_.NowNs()});
      TRY(wal_->AwaitEnd());
      wal_ = std::move(successor);
    }
    Rest(rest_ns);
    return {};
  }

  void Rest(std::int64_t ns) const {
    const std::int64_t end_ns = clock_.NowNs() + ns;
    while (clock_.NowNs() < end_ns && !Interrupted()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  const BenchSharedOptions& options_;
  const std::string data_dir_;
  const std::string socket_;
  SystemClock clock_;
  std::unique_ptr<WalLife> wal_;  // goes last: services wait for it
  std::vector<std::unique_ptr<Service>> services_;
  std::vector<Gap> upgrades_;
  double seconds_ = 0;
};

}  // namespace

ExitCode RunBenchTakeover(const BenchSharedOptions& options, Terminal& terminal) {
  const auto run = [&]() -> Status {
    TRY(CheckShared(options));
    const BenchOptions& common = options.load.common;
    const BenchDirectory directory = TRY(BenchDirectory::Make(common.dir, common.seed));
    TakeoverBench bench(options, directory.path());
    TRY(bench.Run());
    PrintBench(terminal, common.output, bench.Fields());
    return terminal.Flush();
  };
  return EndBench(run(), terminal);
}

}  // namespace duramen::tools
