#include "tools/demo_shared.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/try.h"
#include "tools/child.h"
#include "tools/demo_frame.h"
#include "tools/interrupt.h"
#include "tools/keeper.h"
#include "tools/read_back.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kServices = 4;
constexpr std::uint64_t kLinesMin = 40'000;
constexpr std::uint64_t kLinesOfKill = 400;  // between two of them, if there are many
constexpr std::uint64_t kForgivenMax = 1000;
constexpr std::uint64_t kInFlight = 64;  // of each service: so few that syncs are what it waits for
constexpr std::uint64_t kWalBytes = 8 << 20;  // so small that it rolls now and then

std::string PrefixOf(std::size_t service) { return "service-" + std::to_string(service) + "-"; }

/// A `load`, which acknowledges lines.
class Service final : public Keeper {
 public:
  Service(WalKeeper* wal, std::function<void()> on_ack) : wal_(wal), on_ack_(std::move(on_ack)) {}
  void OnOut(std::string_view line) override {
    if (!line.starts_with("ack ")) return;
    acked_ = std::max(acked_, ParseCount(line.substr(4)).value_or(0));
    heard_ = true;
    if (on_ack_) on_ack_();
  }
  void OnErr(std::string_view line) override {
    if (const std::optional<LoadSummary> summary = ParseLoadSummary(line)) syncs_ = summary->syncs;
    Keeper::OnErr(line);
  }
  /// After the loop.
  std::uint64_t acked() const { return acked_; }
  std::uint64_t syncs() const { return syncs_; }  // of its own WAL, if it has one

 private:
  /// A service that starts finds its WAL process; what it does while that is gone is its business.
  void BeforeLife() override {
    if (wal_ != nullptr) (void)wal_->AwaitReady();
    heard_ = false;
  }
  /// It came when the WAL process had just been killed, and found nobody: its supervisor would
  /// start it again.
  bool Forgives(int code) override {
    return wal_ != nullptr && !heard_ && code == static_cast<int>(ExitCode::kUnreadable) &&
           ++forgiven_ < kForgivenMax;
  }

  WalKeeper* wal_;  // null: it has a WAL of its own
  std::function<void()> on_ack_;
  bool heard_ = false;  // in this life
  std::uint64_t forgiven_ = 0;
  std::uint64_t acked_ = 0;
  std::uint64_t syncs_ = 0;
};

/// Lines of a dump, each to the service whose log it stands in.
class DumpSorter final : public Child::Listener {
 public:
  explicit DumpSorter(std::array<ReadBack, kServices>& lines) : lines_(lines) {}
  void OnOut(std::string_view line) override {
    for (std::size_t i = 0; i < kServices; ++i) {
      if (line.find("\"server\":\"" + PrefixOf(i)) != std::string_view::npos) lines_[i].Add(line);
    }
  }
  void OnErr(std::string_view) override {}

 private:
  std::array<ReadBack, kServices>& lines_;
};

class SharedDemo {
 public:
  SharedDemo(const DemoOptions& options, Terminal& terminal)
      : options_(options), terminal_(terminal), rng_(options.seed) {}

  Result<ExitCode> Run() {
    const std::int64_t begin_ns = clock_.NowNs();
    TRY(MakeInputs());
    terminal_.Say(Plural(line_count_, "line") + " through " + std::to_string(kServices) +
                  " services on one WAL process in " + dir_ + ", " +
                  Plural(options_.kills, "SIGKILL") + " on the way, seed " +
                  std::to_string(options_.seed));
    RunShared();
    if (problem_.empty() && !Interrupted()) TRY(Compare());
    if (problem_.empty() && !Interrupted()) RunPrivate();
    seconds_ = static_cast<double>(clock_.NowNs() - begin_ns) / 1e9;
    return Conclude();
  }

  /// What it made; empty: nothing yet.
  const std::string& dir() const { return dir_; }

 private:
  std::string DataDir() const { return dir_ + "/shared"; }
  std::string Socket() const { return dir_ + "/wal.sock"; }
  std::string InputPath(std::size_t service) const {
    return dir_ + "/input-" + std::to_string(service);
  }

  /// Line N goes to service N mod 4.
  Status MakeInputs() {
    const DemoText text =
        TRY(ReadDemoText(options_.file, std::max(kLinesMin, options_.kills * kLinesOfKill)));
    const InputText whole(text.text);
    line_count_ = whole.line_count();
    byte_count_ = whole.text().size();
    std::array<std::string, kServices> parts;
    for (std::uint64_t number = 1; number <= line_count_; ++number) {
      parts[number % kServices] += whole.line(number);
      parts[number % kServices] += '\n';
    }
    dir_ = TRY(MakeDemoDirectory(options_.dir));
    for (std::size_t i = 0; i < kServices; ++i) {
      TRY(WriteDemoFile(dir_, "input-" + std::to_string(i), parts[i]));
      inputs_[i].emplace(std::move(parts[i]));
    }
    return {};
  }

  std::vector<std::string> LoadCommand(std::size_t service, const std::string& where) const {
    const std::uint64_t logs = std::max<std::uint64_t>(options_.servers / kServices, 1);
    return {Child::OwnPath(),
            "load",
            where,
            InputPath(service),
            "--servers",
            std::to_string(logs),
            "--in-flight",
            std::to_string(kInFlight),
            "--acks",
            "--resume"};
  }

  static std::vector<std::string> WalFlags() {
    return {"--wal-max-size-bytes", std::to_string(kWalBytes), "--wal-max-files", "4096"};
  }

  void RunShared() {
    WalKeeper wal(DataDir());
    std::thread wal_thread([&] { wal.Run(Socket(), WalFlags()); });
    if (wal.AwaitReady()) RunServices(wal);
    wal.Signal(SIGTERM);
    wal_thread.join();
    if (problem_.empty()) problem_ = wal.problem();
    wal_kills_ = wal.kills();
    shared_syncs_ = wal.syncs();
  }

  void RunServices(WalKeeper& wal) {
    std::array<std::unique_ptr<Service>, kServices> services;
    std::mutex mutex;  // one kill at a time
    std::uint64_t acks = 0;
    std::uint64_t kills = 0;
    const auto on_ack = [&] {
      const std::lock_guard lock(mutex);
      // A service first, then the WAL process, in turns; evenly over what is acknowledged to this
      // process, which is not all of the text: what a service hears as it dies it does not pass on.
      const std::uint64_t heard = line_count_ / 4 * 3;
      if (++acks < heard * (kills + 1) / (options_.kills + 1) || kills == options_.kills) {
        return;
      }
      Keeper& target = kills % 2 == 0 ? static_cast<Keeper&>(*services[rng_.Below(kServices)])
                                      : static_cast<Keeper&>(wal);
      if (target.Kill()) ++kills;
    };
    for (auto& service : services) service = std::make_unique<Service>(&wal, on_ack);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kServices; ++i) {
      threads.emplace_back([&, i] {
        std::vector<std::string> command = LoadCommand(i, "unix:" + Socket());
        command.insert(command.end(), {"--log-prefix", PrefixOf(i)});
        services[i]->Loop(command);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 0; i < kServices; ++i) {
      acked_[i] = services[i]->acked();
      service_kills_[i] = services[i]->kills();
      if (problem_.empty()) problem_ = services[i]->problem();
    }
  }

  /// From the files alone.
  Status Compare() {
    Keeper quiet;
    quiet.Loop({Child::OwnPath(), "verify", DataDir()});
    if (!quiet.problem().empty()) problem_ = quiet.problem();
    std::array<ReadBack, kServices> lines;
    DumpSorter sorter(lines);
    Child dump = TRY(Child::Start(
        {Child::OwnPath(), "dump", DataDir(), "--format", "jsonl", "--kind", "entry"}));
    const Child::Exit exit = TRY(dump.Run(sorter));
    if (Interrupted()) return {};
    if (exit.code != 0) problem_ = "dump ended with exit " + std::to_string(exit.code);
    for (std::size_t i = 0; i < kServices && problem_.empty(); ++i) {
      const std::string wrong = lines[i].Compare(*inputs_[i], inputs_[i]->line_count());
      if (!wrong.empty()) problem_ = "service " + std::to_string(i) + ": " + wrong;
    }
    return {};
  }

  /// The same lines, at the same time, each service on a WAL of its own.
  void RunPrivate() {
    std::array<std::unique_ptr<Service>, kServices> services;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kServices; ++i) {
      services[i] = std::make_unique<Service>(nullptr, std::function<void()>());
      threads.emplace_back([&, i] {
        std::vector<std::string> command = LoadCommand(i, dir_ + "/private-" + std::to_string(i));
        const std::vector<std::string> flags = WalFlags();
        command.insert(command.end(), flags.begin(), flags.end());
        services[i]->Loop(command);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& service : services) {
      private_syncs_ += service->syncs();
      if (problem_.empty()) problem_ = service->problem();
    }
  }

  void PrintServices() {
    Sheet sheet(terminal_, options_.output, "demo_service",
                {{"service", ColumnType::kCount},
                 {"lines", ColumnType::kCount},
                 {"acked", ColumnType::kCount},
                 {"kills", ColumnType::kCount}});
    for (std::size_t i = 0; i < kServices; ++i) {
      const Cell row[] = {std::uint64_t{i}, inputs_[i]->line_count(), acked_[i], service_kills_[i]};
      sheet.Add(row);
    }
    sheet.Finish(Plural(kServices, "service"));
  }

  std::string Verdict(bool killed_enough) const {
    if (Interrupted())
      return problem_.empty() ? "interrupted" : "interrupted; before that: " + problem_;
    if (!problem_.empty()) return problem_;
    if (!killed_enough) return "the text ended before all kills";
    return "every line is there once, whoever was killed, and reads as it went in";
  }

  ExitCode Conclude() {
    std::uint64_t kills = wal_kills_;
    for (const std::uint64_t count : service_kills_) kills += count;
    const bool killed_enough = kills >= options_.kills;
    const bool good = problem_.empty() && killed_enough && !Interrupted();
    const auto per_sync = [&](std::uint64_t syncs) {
      return static_cast<double>(line_count_) /
             static_cast<double>(std::max<std::uint64_t>(syncs, 1));
    };
    const Field summary[] = {
        {"lines", ColumnType::kCount, line_count_},
        {"bytes", ColumnType::kSize, byte_count_},
        {"service_kills", ColumnType::kCount, kills - wal_kills_},
        {"wal_kills", ColumnType::kCount, wal_kills_},
        {"syncs", ColumnType::kCount, shared_syncs_},
        {"lines_per_sync", ColumnType::kDecimal, per_sync(shared_syncs_)},
        {"private_syncs", ColumnType::kCount, private_syncs_},
        {"private_lines_per_sync", ColumnType::kDecimal, per_sync(private_syncs_)},
        {"seed", ColumnType::kCount, options_.seed},
        {"seconds", ColumnType::kDecimal, seconds_},
        {"good", ColumnType::kFlag, good},
        {"verdict", ColumnType::kText, Verdict(killed_enough)}};
    if (options_.output.format == Format::kTable) {
      PrintServices();
      terminal_.Out("\n");
    }
    PrintFacts(terminal_, options_.output, "demo", summary);
    if (Interrupted()) return ExitCode::kInterrupted;
    return good ? ExitCode::kClean : ExitCode::kDamage;
  }

  const DemoOptions& options_;
  Terminal& terminal_;
  SystemClock clock_;
  Rng rng_;
  std::string dir_;
  std::array<std::optional<InputText>, kServices> inputs_;
  std::uint64_t line_count_ = 0;
  std::uint64_t byte_count_ = 0;
  std::array<std::uint64_t, kServices> acked_{};
  std::array<std::uint64_t, kServices> service_kills_{};
  std::uint64_t wal_kills_ = 0;
  std::uint64_t shared_syncs_ = 0;
  std::uint64_t private_syncs_ = 0;
  double seconds_ = 0;
  std::string problem_;
};

}  // namespace

ExitCode RunSharedDemo(const DemoOptions& options, Terminal& terminal) {
  if (options.servers < kServices || options.servers > 100'000) {
    terminal.Complain({ErrorCode::kInvalidArgument, "--servers is out of range",
                       "4 to 100000: a log for each service at least"});
    return ExitCode::kUsage;
  }
  SharedDemo demo(options, terminal);
  const ExitCode code = EndDemo(demo.Run(), terminal);
  CleanUpDemo(demo.dir(), code != ExitCode::kClean || !options.dir.empty(), terminal);
  return code;
}

}  // namespace duramen::tools
