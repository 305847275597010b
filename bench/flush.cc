// A flush alone, and what it does to those who write meanwhile: WAL_BYTES over SERVERS logs.
//
//   flush_round DIR SERVERS ENTRY_BYTES WAL_BYTES ROUNDS [SETTING=VALUE ...]
// Per round one WAL file is filled, and one Writer appends 256 bytes at a time: for some seconds
// before the flush, while nothing else runs, and from the roll until the WAL file may go. Prints a
// JSON object per round. DIR is made, and must not be there. Exit 2: usage, 4: the store.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "base/settings.h"
#include "base/try.h"
#include "duramen/log_store.h"

namespace duramen {
namespace {

using std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(120);
constexpr std::int64_t kQuietNs = 2'000'000'000;  // of writing without a flush
constexpr std::uint64_t kBurst = 4096;            // entries between two looks at the WAL
constexpr std::size_t kSmallBytes = 256;

std::int64_t NowNs() { return steady_clock::now().time_since_epoch().count(); }

struct Load {
  std::string directory;
  std::uint64_t servers = 0;
  std::uint64_t entry_bytes = 0;
  std::uint64_t wal_bytes = 0;
  std::uint64_t rounds = 0;
};

std::uint64_t MetricOf(const LogStore& store, std::string_view name) {
  struct Wanted {
    std::string_view name;
    std::uint64_t value = 0;
  } wanted{name};
  store.VisitMetrics(
      [](void* argument, const Metric& metric) {
        Wanted& into = *static_cast<Wanted*>(argument);
        if (metric.name == into.name) into.value = metric.value;
      },
      &wanted);
  return wanted.value;
}

double Percentile(std::vector<std::int64_t>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return static_cast<double>(values[at]) / 1000;
}

class FlushRounds {
 public:
  FlushRounds(const Load& load, LogStore& store)
      : load_(load), store_(store), payload_(load.entry_bytes) {
    Rng rng(1);
    for (std::byte& byte : payload_) byte = static_cast<std::byte>(rng.Below(256));
  }

  Status Run() {
    Writer filler = TRY(store_.NewWriter());
    Writer small = TRY(store_.NewWriter());
    small_log_ = TRY(store_.OpenLog(small, "small", OpenMode::kOpenOrCreate));
    for (std::uint64_t i = 0; i < load_.servers; ++i) logs_.push_back(TRY(Open(filler, i)));
    for (std::uint64_t round = 1; round <= load_.rounds; ++round) TRY(RunRound(filler, small));
    return {};
  }

 private:
  Result<LogRef> Open(Writer& writer, std::uint64_t number) {
    while (true) {
      auto log = store_.OpenLog(writer, "log/" + std::to_string(number), OpenMode::kOpenOrCreate);
      if (log.ok() || log.error().code != ErrorCode::kOverloaded) return log;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  Status RunRound(Writer& filler, Writer& small) {
    before_.clear();
    during_.clear();
    const std::int64_t quiet_until_ns = NowNs() + kQuietNs;
    while (NowNs() < quiet_until_ns) TRY(WriteSmall(small, before_));
    const std::uint64_t rolls = MetricOf(store_, "wal_rolls");
    const std::uint64_t rounds = MetricOf(store_, "flush_rounds");
    const std::uint64_t syncs = MetricOf(store_, "flush_syncs");
    const std::uint64_t bytes = MetricOf(store_, "flush_bytes");
    while (MetricOf(store_, "wal_rolls") == rolls) TRY(Fill(filler));
    const std::int64_t begin_ns = NowNs();
    while (MetricOf(store_, "flush_rounds") == rounds) TRY(WriteSmall(small, during_));
    const std::int64_t end_ns = NowNs();
    std::printf(
        "{\"bench\":\"flush\",\"servers\":%llu,\"seconds\":%.3f,\"flush_bytes\":%llu,"
        "\"flush_syncs\":%llu,\"p50_before_us\":%.0f,\"p99_before_us\":%.0f,"
        "\"p50_during_us\":%.0f,\"p99_during_us\":%.0f,\"max_during_us\":%.0f}\n",
        static_cast<unsigned long long>(load_.servers),
        static_cast<double>(end_ns - begin_ns) / 1e9,
        static_cast<unsigned long long>(MetricOf(store_, "flush_bytes") - bytes),
        static_cast<unsigned long long>(MetricOf(store_, "flush_syncs") - syncs),
        Percentile(before_, 0.5), Percentile(before_, 0.99), Percentile(during_, 0.5),
        Percentile(during_, 0.99), Percentile(during_, 1));
    std::fflush(stdout);
    return {};
  }

  Status Fill(Writer& writer) {
    Ticket newest = 0;
    for (std::uint64_t i = 0; i < kBurst; ++i, ++filled_) {
      const EntryView entry{filled_ / load_.servers + 1, 1, kFirstUserKind, payload_};
      const LogAppend group{logs_[filled_ % load_.servers], {&entry, 1}};
      const Result<Ticket> ticket = writer.Append({&group, 1});
      if (!ticket.ok() && ticket.error().code == ErrorCode::kOverloaded) break;
      newest = TRY(Result<Ticket>(ticket));
    }
    return newest == 0 ? Status{} : writer.Wait(newest, steady_clock::now() + kPatience);
  }

  Status WriteSmall(Writer& writer, std::vector<std::int64_t>& took_ns) {
    const EntryView entry{++small_index_, 1, kFirstUserKind,
                          Bytes(payload_).first(std::min(kSmallBytes, payload_.size()))};
    const LogAppend group{small_log_, {&entry, 1}};
    const std::int64_t begin_ns = NowNs();
    const Ticket ticket = TRY(writer.Append({&group, 1}));
    TRY(writer.Wait(ticket, steady_clock::now() + kPatience));
    took_ns.push_back(NowNs() - begin_ns);
    return {};
  }

  const Load& load_;
  LogStore& store_;
  std::vector<std::byte> payload_;
  std::vector<LogRef> logs_;
  LogRef small_log_;
  Index small_index_ = 0;
  std::uint64_t filled_ = 0;
  std::vector<std::int64_t> before_;
  std::vector<std::int64_t> during_;
};

Status Bench(const Load& load, int settings, char** setting) {
  LogStoreOptions options;
  options.data_dir = load.directory;
  options.wal_max_size_bytes = load.wal_bytes;
  options.wal_max_age = 0;
  for (int i = 0; i < settings; ++i) {
    const std::string_view text(setting[i]);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) {
      return Error{ErrorCode::kInvalidArgument, "not SETTING=VALUE: " + std::string(text), ""};
    }
    TRY(ParseSetting(text.substr(0, equals), text.substr(equals + 1), options));
  }
  LogStore store = TRY(LogStore::Open(options));
  Status status = FlushRounds(load, store).Run();
  const Status closed = store.Close(steady_clock::now() + kPatience);
  return status.ok() ? closed : status;
}

}  // namespace
}  // namespace duramen

int main(int argc, char** argv) {
  if (argc < 6 || std::filesystem::exists(argv[1])) {
    std::fprintf(stderr,
                 "flush_round DIR SERVERS ENTRY_BYTES WAL_BYTES ROUNDS [SETTING=VALUE ...]\n");
    return 2;
  }
  const duramen::Load load{.directory = argv[1],
                           .servers = std::strtoull(argv[2], nullptr, 10),
                           .entry_bytes = std::strtoull(argv[3], nullptr, 10),
                           .wal_bytes = std::strtoull(argv[4], nullptr, 10),
                           .rounds = std::strtoull(argv[5], nullptr, 10)};
  const duramen::Status status = duramen::Bench(load, argc - 6, argv + 6);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n%s\n", status.error().message.c_str(), status.error().hint.c_str());
  return 4;
}
