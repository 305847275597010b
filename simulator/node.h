// One machine of a simulated world: a disk that forgets, the real store on it, and the servers that
// live there.
//
// Owned by the world, one thread. The disk outlives its lives; in between it shows what a crash may
// leave.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop_executor.h"
#include "log/storage.h"
#include "server/replica.h"
#include "sim/crash_states.h"
#include "sim/sim_file_system.h"
#include "simulator/agenda.h"
#include "simulator/machine.h"
#include "simulator/settings.h"

namespace duramen::simulator {

/// A server on a node, alive or not.
struct Resident {
  std::uint32_t cluster = 0;
  std::string name;  // of its log
  ServerUid uid;
  std::unique_ptr<Machine> machine;
  std::unique_ptr<server::Replica> replica;
  Moment timer_at = kNever;  // the tick that stands in the agenda
  std::uint64_t timer_number = 0;
  Term hunted = 0;  // the newest term that it led
};

/// Bytes on a disk that were written and stay so.
struct Stretch {
  sim::Node file;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  bool is_segment = false;
};

/// The newest batches of a WAL: nothing on the disk may prove yet that they were ever durable, so
/// damage to them cannot be told from a write that never ended [C5].
inline constexpr std::size_t kUnprovenBatchesMost = 8;

/// Where that WAL shard of a node lies.
std::string RootOf(std::uint64_t shard);

/// A clock that runs at its own speed, in microseconds since the node came to be.
class LocalClock {
 public:
  explicit LocalClock(double speed) : speed_(speed) {}
  core::Microseconds At(Moment moment) const {
    return static_cast<core::Microseconds>(static_cast<double>(moment) * speed_ / 1000.0);
  }
  Moment WhenIs(core::Microseconds local) const {
    return static_cast<Moment>(static_cast<double>(local) * 1000.0 / speed_) + 1;
  }

 private:
  double speed_;
};

class Node {
 public:
  Node(std::uint32_t number, LocalClock clock, Rng rng)
      : number_(number), clock_(clock), rng_(rng) {}
  ~Node() { Stop(); }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  std::uint32_t number() const { return number_; }
  bool is_up() const { return store_.has_value(); }
  const LocalClock& clock() const { return clock_; }
  std::uint64_t boot() const { return store_->recovery_report().boot; }
  LogStore& store() { return *store_; }
  /// That of the shard in which a log of that name is, or is to be.
  Writer& WriterOf(std::string_view name);
  std::vector<Writer>& writers() { return writers_; }
  sim::SimFileSystem& machine() { return *machine_; }
  /// What was left when it went down.
  sim::DiskState& disk() { return disk_; }
  std::vector<Resident>& residents() { return residents_; }
  Resident* Find(std::uint32_t cluster);

  /// Opens the store on what the disk shows; servers are started by the world. `salvage` names logs
  /// that are to begin anew. Errors: those of LogStore::Open.
  Status Start(LoopExecutor& executor, ManualClock& clock, const Settings& settings,
               const std::vector<std::string>& salvage);
  /// The next start is killed after so many operations on the disk, if it needs as many.
  void DieInStart(std::uint64_t operations) { die_after_ = operations; }
  bool died_in_start() const { return died_in_start_; }
  /// What was accepted becomes durable, and the store is closed; its servers are gone.
  Status Close(Deadline deadline);
  /// A strict start of a copy of what the disk shows. Errors: those of LogStore::Open.
  Status StartsStrictly(LoopExecutor& executor, ManualClock& clock, const Settings& settings);
  /// The process ends at once; `power_lost`: so does the machine, and the disk keeps what it must.
  void Crash(bool power_lost);
  /// What the disk shows: whole segments; batches of the WAL in their order.
  std::vector<Stretch> Segments(std::uint64_t shard) const;
  std::vector<Stretch> WalBatches(std::uint64_t shard) const;
  /// Changes a byte, under a store that runs or not.
  void Rot(sim::Node file, std::uint64_t offset, std::byte by);
  std::uint64_t shards() const { return shards_; }
  /// An empty disk.
  void Wipe();

  Moment paused_until = 0;
  bool may_slip = false;  // whoever starts it: what it shows is what its store made of it

 private:
  void Stop();
  const sim::DiskState& Disk() const { return machine_ ? machine_->disk() : disk_; }
  void Slip(LogStoreOptions options, log::StorageEnvironment environment,
            const log::StorageTuning& tuning);
  void SlipElsewhere(std::uint64_t slip, LogStoreOptions options,
                     const log::StorageEnvironment& environment,
                     const log::StorageTuning& tuning) const;
  LogStoreOptions OptionsOf(const Settings& settings) const;
  Result<LogStore> Open(LogStoreOptions options, const Settings& settings,
                        const log::StorageEnvironment& environment);
  std::vector<sim::Node> FilesIn(const std::string& path, std::string_view ending) const;
  std::uint32_t number_;
  LocalClock clock_;
  Rng rng_;
  sim::SiteTable sites_;
  sim::DiskState disk_;
  std::unique_ptr<sim::SimFileSystem> machine_;
  std::optional<LogStore> store_;
  std::vector<Writer> writers_;  // by shard
  std::optional<std::uint64_t> die_after_;
  bool died_in_start_ = false;
  std::uint64_t shards_ = 1;     // of the store, as long as nobody asks for others
  std::vector<Resident> residents_;
};

}  // namespace duramen::simulator
