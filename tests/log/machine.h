// A store on a simulated disk that a test can kill, cut off from power, and open again: one loop,
// one clock, one seed. Sizes are small, so that a few dozen calls fill batches and roll files.
//
// Owned by the test; one thread. The disk outlives every life of the store.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/loop_executor.h"
#include "duramen/log_store.h"
#include "log/mend.h"
#include "sim/crash_states.h"
#include "sim/sim_file_system.h"

namespace duramen::log {

class Machine : public sim::Observer {
 public:
  Machine();
  ~Machine() override;

  LogStoreOptions options;
  StorageTuning tuning;
  /// Of the first start; of two machines that have the same disk one after the other the seeds must
  /// be apart, or they draw the same uids.
  std::uint64_t seed = 1000;

  /// Opens the store on what the disk shows.
  Status Open();
  /// Open that must work.
  void Start();
  bool up() const { return store_.has_value(); }
  LogStore& store() { return *store_; }
  /// Writer number `number`, made at its first use.
  Writer& writer(std::size_t number = 0);
  void DropWriters() { writers_.clear(); }
  /// Opens or creates; must work.
  LogRef Log(const std::string& name, std::size_t writer_number = 0);
  Result<Ticket> Append(LogRef log, Index first, Term term, const std::vector<std::string>& texts,
                        std::size_t writer_number = 0);
  /// Appends and waits; must work.
  void Write(LogRef log, Index first, Term term, const std::vector<std::string>& texts);
  Status Wait(Ticket ticket, std::size_t writer_number = 0);
  /// Lets the WAL and its pool do all they can without time passing, then polls.
  void Settle();
  /// Lets time pass, so that seals are written.
  void Idle();
  /// "2:1:text" per entry of the log, index, term and payload; an error as "2!code".
  std::vector<std::string> Contents(LogRef log);
  std::vector<std::string> Contents(const std::string& name);
  std::uint64_t Metric(std::string_view name) const;

  /// The process dies: what the page cache shows stays; bit i of `landed` says whether the i-th
  /// direct write in flight was carried out.
  void Kill(std::uint64_t landed = UINT64_MAX);
  /// The power goes: only what is durable stays.
  void PowerLoss();
  /// The same with what else the profile allows.
  void PowerLoss(sim::Profile profile, std::uint64_t ordinal);
  Status Close();
  /// Of the store, which is not open.
  Result<MendReport> Mend(const MendOptions& mend);
  /// What log `name` is known by; empty: there is none.
  std::string UidOf(const std::string& name) const;
  bool Faulty(const std::string& name) const;
  std::vector<std::string> NamesIn(const std::string& directory) const;
  /// Starts over with this disk.
  void UseDisk(const sim::DiskState& disk);

  /// Runs `action` when the nth traced operation from now begins (1: the next one).
  void AtOperation(std::uint64_t n, std::function<void()> action);
  std::uint64_t Moment() override;
  sim::SimFileSystem& disk() { return *disk_; }
  LoopExecutor& executor() { return executor_; }
  Deadline In(std::int64_t ns) const;
  /// Time passes, also in the middle of an operation (AtOperation).
  void Advance(std::int64_t ns) { clock_.Advance(ns); }

  std::vector<std::string> WalFiles() const;
  std::vector<std::byte> FileBytes(const std::string& path) const;
  /// Flips a bit for good.
  void Rot(const std::string& path, std::uint64_t offset);

 private:
  void Restart(sim::DiskState disk);
  sim::SiteTable sites_;
  std::unique_ptr<sim::SimFileSystem> disk_;
  ManualClock clock_;
  LoopExecutor executor_;
  std::optional<LogStore> store_;
  std::vector<Writer> writers_;
  std::uint64_t opens_ = 0;
  std::uint64_t operations_left_ = 0;
  std::function<void()> action_;
};

}  // namespace duramen::log
