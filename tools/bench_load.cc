#include "tools/bench_load.h"

#include <algorithm>
#include <thread>

#include "base/settings.h"
#include "base/try.h"
#include "tools/line_entry.h"
#include "tools/store_metrics.h"

namespace duramen::tools {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::uint64_t kDiskFileBytes = 256'000'000;
constexpr std::size_t kEntriesOfCall = 256;  // unless a log has more in flight
constexpr auto kCloseMax = std::chrono::seconds(60);

Status OrOverloaded(const Error& error) {
  return error.code == ErrorCode::kOverloaded ? Status{} : error;
}

Status CheckRange(const BenchLoadOptions& options) {
  const bool possible = options.servers >= 1 && options.servers <= 100'000 &&
                        options.in_flight >= 1 && options.in_flight <= 100'000 &&
                        options.entry_bytes <= (16u << 20) && options.writers >= 1 &&
                        options.writers <= std::min<std::uint64_t>(options.servers, 1000);
  if (possible) return {};
  return Error{ErrorCode::kInvalidArgument, "a number is out of range",
               "--servers and --in-flight 1 to 100000, --entry-bytes up to 16777216, --writers 1 "
               "to 1000 and no more than servers"};
}

Result<BareDisk> DiskBeside(const BenchStore& bench, const std::string& path) {
  return BareDisk::Create(
      path, {.size_bytes = std::min(WalFileBytes(bench.options), kDiskFileBytes),
             .method = static_cast<SyncMethod>(StoreMetrics::Of(bench.store).sync_method),
             .depth = static_cast<std::uint32_t>(bench.options.wal_pipeline_depth)});
}

Result<BenchStore> OpenStore(const BenchLoadOptions& options) {
  TRY(CheckRange(options));
  SettingStack stack = TRY(StackBench(options.common, options.settings));
  if (!stack.options.wal_process.empty()) {
    LogStore store = TRY(LogStore::Open(stack.options));
    return BenchStore{{}, std::move(stack.options), std::move(store), nullptr};
  }
  BenchDirectory directory = TRY(BenchDirectory::Make(options.common.dir, options.common.seed));
  stack.options.data_dir = directory.path() + "/data";
  std::vector<BenchDirectory> wal_directories =
      TRY(UseOwnWalDirectories(options.common.seed, stack.options));
  // On the device of the WAL.
  const std::string beside =
      stack.options.wal_dir.empty() ? directory.path() : wal_directories.front().path();
  LogStore store = TRY(LogStore::Open(stack.options));
  wal_directories.push_back(std::move(directory));
  BenchStore bench{std::move(wal_directories), std::move(stack.options), std::move(store), nullptr};
  bench.disk = std::make_unique<BareDisk>(TRY(DiskBeside(bench, beside)));
  return bench;
}

}  // namespace

BenchLoad::BenchLoad(const BenchLoadOptions& options, const Floors& floors, LogStore& store)
    : options_(options), floors_(floors), store_(store), payload_(options.entry_bytes) {
  Rng rng(options.common.seed);
  for (std::byte& byte : payload_) byte = static_cast<std::byte>(rng.Below(256));
}

Status BenchLoad::Open() {
  for (std::uint64_t i = 0; i < options_.writers; ++i) {
    lanes_.push_back({this, TRY(store_.NewWriter()), {}, {}, {}, 0});
  }
  for (std::uint64_t i = 0; i < options_.servers; ++i) {
    Lane& lane = lanes_[i % lanes_.size()];
    Log log;
    log.ref = TRY(OpenLog(lane.writer, i));
    if (lane.log_of_slot.size() <= log.ref.slot) lane.log_of_slot.resize(log.ref.slot + 1);
    const auto position = static_cast<std::uint32_t>(lane.logs.size());
    lane.log_of_slot[log.ref.slot] = position;
    lane.ready.push_back(position);
    lane.logs.push_back(std::move(log));
  }
  return {};
}

Result<LogRef> BenchLoad::OpenLog(Writer& writer, std::uint64_t number) {
  for (int attempt = 0;; ++attempt) {
    Result<LogRef> log =
        store_.OpenLog(writer, options_.log_prefix + ServerName(number), OpenMode::kOpenOrCreate);
    if (log.ok() || log.error().code != ErrorCode::kOverloaded || attempt > 20'000) return log;
    std::this_thread::sleep_for(milliseconds(1));  // Registrations on their way to the WAL.
  }
}

Status BenchLoad::Refill() {
  for (Lane& lane : lanes_) TRY(Refill(lane));
  return {};
}

Status BenchLoad::Refill(Lane& lane) {
  std::size_t done = 0;
  Status status;
  while (done < lane.ready.size() && status.ok()) done += AppendSome(lane, done, status);
  // Those that found no room stay.
  lane.ready.erase(lane.ready.begin(), lane.ready.begin() + static_cast<std::ptrdiff_t>(done));
  return status.ok() ? Status{} : OrOverloaded(status.error());
}

/// One call for the logs from ready[from] on; how many of them are through.
std::size_t BenchLoad::AppendSome(Lane& lane, std::size_t from, Status& status) {
  entries_of_call_.clear();
  groups_.clear();
  const std::size_t in_call_max = std::max(kEntriesOfCall, options_.in_flight);
  entries_of_call_.reserve(in_call_max);  // Groups point into it.
  for (std::size_t i = from; i < lane.ready.size(); ++i) {
    const Log& log = lane.logs[lane.ready[i]];
    const Index end = log.written_end + options_.in_flight;
    const std::size_t first = entries_of_call_.size();
    if (first + (end - log.end) > in_call_max) break;
    for (Index index = log.end; index < end; ++index) {
      entries_of_call_.push_back({index, 1, kLineKind, payload_});
    }
    groups_.push_back({log.ref, std::span(entries_of_call_).subspan(first)});
  }
  const std::int64_t now_ns = clock_.NowNs();
  const Result<Ticket> ticket = lane.writer.Append(groups_);
  if (!ticket.ok()) status = ticket.error();
  // Of a call that was refused all groups before the offending one stand.
  const Result<Ticket> newest = ticket.ok() ? ticket : lane.writer.Append({});
  if (newest.ok()) lane.newest = *newest;
  std::size_t through = 0;
  for (const LogAppend& group : groups_) {
    Log& log = lane.logs[lane.ready[from + through]];
    const Index end = log.end + group.entries.size();
    if (!ticket.ok() && store_.BoundsOf(log.ref)->end < end) break;
    if (end > log.end) log.posted.push_back({end, now_ns});
    outstanding_ += end - log.end;
    log.end = end;
    ++through;
  }
  for (std::size_t i = 0; i < through; ++i) {
    const Status floor = MoveFloor(lane, lane.logs[lane.ready[from + i]]);
    if (floor.ok()) continue;
    status = floor;
    return i;
  }
  return through;
}

Status BenchLoad::MoveFloor(Lane& lane, Log& log) {
  if (log.written_end < log.begin + floors_.keep + floors_.step) return {};
  const Index begin = log.written_end - floors_.keep;
  lane.newest = TRY(lane.writer.TruncatePrefix(log.ref, begin));
  log.begin = begin;
  return {};
}

Status BenchLoad::TakeNews() {
  for (Lane& lane : lanes_) {
    TRY(Await(lane));
    TakeNews(lane);
  }
  return {};
}

void BenchLoad::TakeNews(Lane& lane) {
  const std::int64_t now_ns = clock_.NowNs();
  for (const Written& written : lane.writer.Poll()) {
    const std::uint32_t position = lane.log_of_slot[written.log.slot];
    Log& log = lane.logs[position];
    const bool was_full = log.written_end + options_.in_flight == log.end;
    while (!log.posted.empty() && log.posted.front().end <= written.end) {
      const std::uint64_t entries = log.posted.front().end - log.written_end;
      latency_.Add(now_ns - log.posted.front().at_ns, entries);
      entries_ += entries;
      outstanding_ -= entries;
      log.written_end = log.posted.front().end;
      log.posted.pop_front();
    }
    if (was_full && log.written_end + options_.in_flight > log.end) {
      lane.ready.push_back(position);
    }
  }
}

Status BenchLoad::Await(Lane& lane) {
  // One more than what is durable: returns with the next batch.
  const Ticket next = std::min(lane.writer.durable() + 1, lane.newest);
  if (next > lane.writer.durable()) {
    const Status waited = lane.writer.Wait(next, steady_clock::now() + milliseconds(100));
    return waited.ok() || waited.error().code == ErrorCode::kTimeout ? Status{} : waited;
  }
  // All is durable, and there was no room for more.
  const Status room = lane.writer.WaitForRoom(lane.logs.front().ref, options_.in_flight,
                                              options_.in_flight * options_.entry_bytes,
                                              steady_clock::now() + milliseconds(10));
  return room.ok() ? Status{} : OrOverloaded(room.error());
}

const BenchLoad::Log& BenchLoad::AnyLog(Rng& rng) const {
  const Lane& lane = lanes_[rng.Below(lanes_.size())];
  return lane.logs[rng.Below(lane.logs.size())];
}

void BenchLoad::Forget() {
  latency_ = {};
  entries_ = 0;
}

ExitCode RunOnStore(const BenchLoadOptions& options, Terminal& terminal,
                    const std::function<Result<std::vector<Field>>(BenchStore&)>& measure) {
  const auto run = [&]() -> Status {
    BenchStore bench = TRY(OpenStore(options));
    const Result<std::vector<Field>> fields = measure(bench);
    const Status closed = bench.store.Close(steady_clock::now() + kCloseMax);
    if (!fields.ok()) return fields.error();
    TRY(Status(closed));
    PrintBench(terminal, options.common.output, *fields);
    return terminal.Flush();
  };
  return EndBench(run(), terminal);
}

}  // namespace duramen::tools
