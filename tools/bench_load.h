// The load of `bench wal` and `bench log`, and the store that it goes to: a closed loop in which
// every log has so many entries outstanding, or an open one in which so many come a second; floors
// follow what is durable.
//
// Owned by a bench; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/ring_queue.h"
#include "base/rng.h"
#include "duramen/log_store.h"
#include "tools/bare_disk.h"
#include "tools/bench.h"
#include "tools/bench_report.h"
#include "tools/latency.h"

namespace duramen::tools {

class BenchLoad {
 public:
  struct Log {
    LogRef ref;
    Index begin = 1;
    Index written_end = 1;
    Index end = 1;
    /// Entries that were appended together.
    struct Posted {
      Index end = 1;  // of the log behind them
      std::int64_t at_ns = 0;
    };
    RingQueue<Posted> posted;
  };
  struct Floors {
    std::uint64_t keep = 0;  // entries that a log keeps
    std::uint64_t step = 1;  // its floor moves over so many at a time
  };
  /// `options` and `store` outlive it.
  BenchLoad(const BenchLoadOptions& options, const Floors& floors, LogStore& store);

  /// Makes the Writers and opens the logs.
  Status Open();
  /// Appends what is missing in every log, as far as there is room, some logs with each call.
  Status Refill();
  /// Waits for the next batch of every Writer, or for room, and takes the news.
  Status TakeNews();
  /// For `ns`: entries come by the rate, logs in turns, and count from when they were due. Returns
  /// when nothing is outstanding, on an interrupt, or when the WAL is down. `tick` is called ten
  /// thousand times a second.
  Status RunPaced(std::int64_t ns, const std::function<void()>& tick);
  /// Any log.
  const Log& AnyLog(Rng& rng) const;
  Bytes payload() const { return payload_; }
  std::uint64_t outstanding() const { return outstanding_; }
  /// Since Forget: entries made durable, and what they took from their Append on.
  std::uint64_t entries() const { return entries_; }
  const LatencyHistogram& latency() const { return latency_; }
  void Forget();

 private:
  class Bell;
  struct Lane {
    BenchLoad* load;
    Writer writer;
    std::vector<Log> logs;
    std::vector<std::uint32_t> log_of_slot;  // slot -> position in logs
    std::vector<std::uint32_t> ready;        // positions of logs that may append, once each
    Ticket newest = 0;
  };
  Result<LogRef> OpenLog(Writer& writer, std::uint64_t number);
  Status Refill(Lane& lane);
  std::size_t AppendSome(Lane& lane, std::size_t from, Status& status);
  /// Entries [posted, upto) since begin_ns.
  struct Due {
    std::int64_t begin_ns = 0;
    std::uint64_t posted = 0;
    std::uint64_t upto = 0;
  };
  Result<std::uint64_t> AppendDue(const Due& due);
  void HangBell();
  Status CheckUp();
  void TakeNews(Lane& lane);
  Status MoveFloor(Lane& lane, Log& log);
  Status Await(Lane& lane);

  const BenchLoadOptions& options_;
  const Floors floors_;
  LogStore& store_;
  SystemClock clock_;
  std::vector<std::byte> payload_;
  std::shared_ptr<Bell> bell_;  // outlives the Writers
  std::vector<Lane> lanes_;
  std::uint64_t next_log_ = 0;
  std::vector<EntryView> entries_of_call_;
  std::vector<LogAppend> groups_;  // of one call
  LatencyHistogram latency_;
  std::uint64_t entries_ = 0;
  std::uint64_t outstanding_ = 0;
};

/// A store for a bench, and the bare disk beside it: by the method that `auto` came to, and as many
/// in flight as the WAL may have.
struct BenchStore {
  std::vector<BenchDirectory> directories;  // of the store and, where it has its own, of its WAL
  LogStoreOptions options;
  LogStore store;
  std::unique_ptr<BareDisk> disk;  // null: a WAL process has the device
};

/// Opens the store, measures, closes it, prints. Errors: kInvalidArgument (a number is out of
/// range), those of LogStore::Open and BareDisk::Create.
ExitCode RunOnStore(const BenchLoadOptions& options, Terminal& terminal,
                    const std::function<Result<std::vector<Field>>(BenchStore&)>& measure);

}  // namespace duramen::tools
