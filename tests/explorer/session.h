// One life of a store: it is opened on a disk, judged against what that disk may show, and then
// used by a workload, while every call is recorded in the model and every operation on the disk
// knows how much had been acknowledged when it began.
//
// Acknowledged is what the store says in any of its ways: a Writer's durable position, and a log's
// written_end. Owned by the explorer; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "tests/explorer/model.h"
#include "tests/explorer/subject.h"
#include "tests/explorer/workload.h"
#include "sim/sim_file_system.h"

namespace duramen::explorer {

/// Simulated time after which a wait without an answer is given up.
inline constexpr std::int64_t kPatienceNs = 10'000'000'000;

struct SessionOptions {
  std::uint64_t seed = 0;
  std::uint32_t workload = 0;
  SubjectSizes sizes;
  std::vector<sim::Fault> faults;
};

class Session final : public sim::Observer {
 public:
  /// `before` is what the disk may show.
  Session(const sim::DiskState& disk, sim::SiteTable& sites, Admissible before,
          const SessionOptions& options);
  ~Session() override;

  /// Opens the store and judges what it shows; empty when that is admissible.
  std::string Open();
  /// Runs `actions` actions of the workload. Returns what went wrong while the store was up.
  std::string Run(std::uint32_t actions);
  /// Waits for all tickets and closes the store as an owner would.
  std::string Close();
  /// Ends the life; the trace stays.
  void End();

  /// What a crash may leave when `moment` (of an operation, or final_moment()) was the last word.
  /// Requires: moments are asked in rising order.
  const Admissible& AdmissibleAt(std::uint64_t moment);
  std::uint64_t final_moment();
  const sim::SimFileSystem& machine() const { return *machine_; }
  /// Length of the trace when the store was open and had been judged.
  std::size_t opened_at() const { return opened_at_; }
  std::uint64_t rolls() const { return rolls_; }
  std::uint64_t Moment() override;

 private:
  struct OpenLog {
    LogRef ref;
    bool open = false;
    std::vector<std::uint32_t> entry_steps;  // per entry of the model: its step, from 1
  };
  void TakeBaseline(const Observation& observed);
  std::string OpenExisting();
  void Act(Action action);
  void ChangeMethod();
  void PassThroughNone();
  Action DrawAction();
  std::uint32_t DrawWriter() { return static_cast<std::uint32_t>(rng_.Below(history_->writers())); }
  /// An open log of that writer; UINT32_MAX when it has none.
  LogNumber DrawLog(std::uint32_t writer);
  struct Group {
    LogNumber log = 0;
    std::vector<std::vector<std::byte>> payloads;
    std::vector<EntryView> entries;
  };
  Group DrawGroup(LogNumber log, Index first, Term at_least);
  std::vector<std::byte> DrawPayload();
  void Append(std::uint32_t writer, std::vector<Group> groups);
  void RecordGroup(std::uint32_t writer, const Group& group);
  void Record(std::uint32_t writer, Step step);
  void Accept(std::uint32_t writer, const Result<Ticket>& ticket, Step step);
  void Refused(const Error& error);
  void MakeRoom();
  bool MayLoseService() const;
  void FillDisk();
  void FreeDisk();
  void StallDirectory();
  std::uint32_t ShardOfWriter(std::uint32_t writer) const;
  void TryTakenName(std::uint32_t writer);
  void DrainLastShard();
  void DoTruncatePrefix(LogNumber log, Index begin);
  void DoCreate(std::uint32_t writer);
  void DoDelete(LogNumber log);
  void DoRow(Action action, LogNumber log);
  void DoBurst(LogNumber log);
  void CheckWatermarks();
  void DoRead(LogNumber log);
  std::string OriginOf(const LogState& seen, LogNumber log) const;
  void DoWait(std::uint32_t writer);
  const LogState& StateOf(LogNumber log) const { return history_->now()[log]; }
  void Fail(const std::string& what);

  SessionOptions options_;
  const Workload& workload_;
  Rng rng_;
  std::unique_ptr<sim::SimFileSystem> machine_;
  std::unique_ptr<Subject> subject_;
  std::unique_ptr<History> history_;
  Admissible before_;
  std::vector<OpenLog> logs_;
  std::vector<Ticket> last_ticket_;
  std::vector<Progress> moments_;
  Admissible admissible_;  // of the moment asked last
  std::uint64_t admissible_moment_ = UINT64_MAX;
  std::string failure_;
  std::size_t opened_at_ = SIZE_MAX;
  std::uint64_t rolls_ = 0;
  bool ever_full_ = false;
  bool full_ = false;     // nothing new finds space on the disk
  bool running_ = false;  // Open() has judged and the store is up
  bool down_ = false;     // the WAL said so; only reads from here on
};

}  // namespace duramen::explorer
