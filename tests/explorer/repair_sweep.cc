#include "tests/explorer/repair_sweep.h"

#include <algorithm>

#include "base/loop_executor.h"
#include "base/try.h"
#include "log/repair.h"
#include "tests/explorer/explorer.h"
#include "sim/crash_states.h"

namespace duramen::explorer {
namespace {

constexpr char kQuarantine[] = "quarantine";

/// Where two trees differ, but for what repairs keep; empty: nowhere.
std::string TreeDifference(const sim::Image& a, const sim::Image& b, sim::Node in_a,
                           sim::Node in_b) {
  const auto& names_a = a.entries(in_a);
  const auto& names_b = b.entries(in_b);
  for (const auto& [name, node] : names_b) {
    if (name != kQuarantine && !names_a.contains(name)) return name + " was not there";
  }
  for (const auto& [name, node] : names_a) {
    if (name == kQuarantine) continue;
    const auto other = names_b.find(name);
    if (other == names_b.end()) return name + " is gone";
    if (a.IsDirectory(node) != b.IsDirectory(other->second)) return name + " is something else";
    if (a.IsDirectory(node)) {
      const std::string below = TreeDifference(a, b, node, other->second);
      if (!below.empty()) return name + "/" + below;
      continue;
    }
    const sim::FileContent& mine = a.content(node);
    const sim::FileContent& theirs = b.content(other->second);
    if (mine.size_bytes() != theirs.size_bytes() || mine.Hash() != theirs.Hash()) {
      return name + " has other bytes";
    }
  }
  return "";
}

std::string TreeDifference(const sim::Image& a, const sim::Image& b) {
  return TreeDifference(a, b, a.FindPath(kDataDir), b.FindPath(kDataDir));
}

}  // namespace

Result<RepairSweep::View> RepairSweep::Look(sim::SimFileSystem& machine, RecoveryMode mode) {
  SubjectSizes sizes = specimen_.sizes;
  sizes.recovery_mode = mode;
  Subject subject(machine, 77, sizes);
  TRY(subject.Open());
  View view;
  for (const LogInfo& info : subject.store().Logs()) {
    Seen& seen = view[info.uid];
    std::string problem;
    const LogState rows = ReadLog(subject.store(), info.log, problem);
    const Bounds bounds = TRY(subject.store().BoundsOf(info.log));
    seen.begin = bounds.begin;
    seen.end = bounds.end;
    seen.faulty = info.faulty;
    seen.rows = info.name + " " + std::to_string(rows.vote_term) + " " + rows.voted_for;
    for (const auto& [key, value] : rows.values) seen.rows += " " + key + "=" + value;
    for (Index index = bounds.begin; index < bounds.end; ++index) {
      const Result<Pin> pin = subject.store().Read(info.log, index, index + 1, SIZE_MAX);
      if (!pin.ok() || pin->entries().empty()) continue;
      const EntryView& entry = pin->entries()[0];
      seen.readable[index] = {entry.term, EntryHash(entry.kind, entry.payload)};
    }
  }
  return view;
}

std::string RepairSweep::Compare(const View& before, const View& after, bool faults) {
  for (const auto& [uid, was] : before) {
    const auto found = after.find(uid);
    if (found == after.end()) return uid + " is gone";
    const Seen& is = found->second;
    if (is.begin != was.begin || is.end != was.end) {
      return uid + " was [" + std::to_string(was.begin) + ", " + std::to_string(was.end) +
             ") and is [" + std::to_string(is.begin) + ", " + std::to_string(is.end) + ")";
    }
    if (is.rows != was.rows) return uid + " has other rows";
    if (is.readable != was.readable) {
      return uid + " showed " + std::to_string(was.readable.size()) + " entries and shows " +
             std::to_string(is.readable.size());
    }
    if (!faults) continue;
    const bool lacks = was.readable.size() < was.end - was.begin;
    if ((was.faulty || lacks) && !is.faulty) return uid + " lacks entries and is not faulty";
    if (is.faulty && !was.faulty && !lacks) return uid + " is faulty and lacks nothing";
  }
  for (const auto& [uid, is] : after) {
    if (!before.contains(uid)) return uid + " was not there";
  }
  return "";
}

Status RepairSweep::Repair(sim::SimFileSystem& machine, std::string& id) {
  ManualClock clock;
  LoopExecutor executor(Rng(5), clock);
  const log::RepairOptions options{.data_dir = kDataDir};
  const log::RepairOutcome outcome =
      TRY(log::RepairStore(options, {machine, clock, executor, Rng(++repairs_)}));
  id = outcome.id;
  return {};
}

Status RepairSweep::Undo(sim::SimFileSystem& machine, const std::string& id, bool force) {
  TRY(log::UndoRepair(kDataDir, id, force, machine));
  return {};
}

std::string RepairSweep::RepairedWell(const sim::Image& damaged, bool& refused) {
  sim::SiteTable sites;
  sim::SimFileSystem before_machine(sim::DiskState(damaged), sites);
  const Result<View> before = Look(before_machine, RecoveryMode::kContain);
  sim::SimFileSystem machine(sim::DiskState(damaged), sites);
  std::string id;
  const Status repaired = Repair(machine, id);
  if (!repaired.ok()) {
    refused = repaired.error().code == ErrorCode::kCorruption ||
              repaired.error().code == ErrorCode::kConfiguration;
    if (!refused) return "it was not repaired: " + repaired.error().message;
    const std::string difference = TreeDifference(damaged, machine.disk().visible());
    return difference.empty() ? "" : "refused, and " + difference;
  }
  sim::SimFileSystem after_machine(sim::DiskState(machine.disk().visible()), sites);
  const Result<View> after = Look(after_machine, RecoveryMode::kStrict);
  if (!after.ok()) return "a strict start refuses what was repaired: " + after.error().message;
  if (before.ok()) {
    const std::string difference = Compare(*before, *after, true);
    if (!difference.empty()) return difference;
  }
  for (const auto& [uid, seen] : *after) {
    if (!seen.faulty) continue;
    ++tally_.faulty;
    break;
  }
  if (id.empty()) return "nothing was changed";
  const Status undone = Undo(machine, id);
  if (!undone.ok()) return "it was not undone: " + undone.error().message;
  const std::string difference = TreeDifference(damaged, machine.disk().visible());
  return difference.empty() ? "" : "undone, but " + difference;
}

void RepairSweep::Try(std::size_t file, Damage damage, std::uint64_t offset) {
  const std::optional<sim::Image> damaged = damages_.DamagedImage(file, damage, offset);
  if (!damaged) return;
  ++tally_.repairs;
  bool refused = false;
  const std::string verdict = RepairedWell(*damaged, refused);
  if (refused) ++tally_.refused;
  if (verdict.empty()) return;
  Fail(DamageName(damage),
       damages_.FileAt(file).path + " byte " + std::to_string(offset) + ": " + verdict);
}

std::string RepairSweep::KilledAt(const sim::Image& damaged, const View& before,
                                  std::uint64_t operation) {
  sim::SiteTable sites;
  sim::SimFileSystem machine(sim::DiskState(damaged), sites);
  machine.Schedule({.skip = operation, .effect = sim::FaultEffect::kCrash});
  std::string id;
  (void)Repair(machine, id);
  machine.Crash();
  sim::DiskState left = machine.disk();
  if (operation % 2 == 1) {
    const auto profile = operation % 4 == 1 ? sim::Profile::kExt4 : sim::Profile::kAdversary;
    const sim::CrashStates states(left, profile);
    Rng rng(operation);
    left = sim::DiskState(states.Materialize(states.At(rng.Below(states.count()))));
  }
  sim::SimFileSystem again(left, sites);
  const Result<View> after = Look(again, RecoveryMode::kContain);
  if (!after.ok()) return "no start: " + after.error().message;
  const std::string difference =
      Compare(before, *after, false);  // Before the commit none are known.
  if (!difference.empty()) return difference;
  sim::SimFileSystem last(sim::DiskState(again.disk().visible()), sites);
  const Status repaired = Repair(last, id);
  if (!repaired.ok()) return "no second repair: " + repaired.error().message;
  sim::SimFileSystem judged(sim::DiskState(last.disk().visible()), sites);
  const Result<View> end = Look(judged, RecoveryMode::kStrict);
  if (!end.ok()) return "a strict start refuses the second repair: " + end.error().message;
  return Compare(before, *end, true);
}

void RepairSweep::TryKilled(std::size_t file, Damage damage, std::uint64_t offset,
                            std::uint64_t stride) {
  const std::optional<sim::Image> damaged = damages_.DamagedImage(file, damage, offset);
  if (!damaged) return;
  const std::string where = std::string(DamageName(damage)) + ", " + damages_.FileAt(file).path +
                            " byte " + std::to_string(offset) + ", killed";
  sim::SiteTable sites;
  sim::SimFileSystem whole(sim::DiskState(*damaged), sites);
  std::string id;
  const Status repaired = Repair(whole, id);
  if (!repaired.ok()) return Fail(where, "it was not repaired: " + repaired.error().message);
  sim::SimFileSystem machine(sim::DiskState(whole.disk().visible()), sites);
  const Result<View> before = Look(machine, RecoveryMode::kContain);
  if (!before.ok()) return Fail(where, "no start: " + before.error().message);
  for (std::uint64_t operation = 0; operation < whole.trace().size(); operation += stride) {
    ++tally_.kills;
    const std::string verdict = KilledAt(*damaged, *before, operation);
    if (!verdict.empty()) Fail(where, "at operation " + std::to_string(operation) + ": " + verdict);
  }
}

RepairSweep::Episode RepairSweep::Play(const sim::DiskState& start, Deed deed, std::string& id,
                                       const std::optional<sim::Fault>& fault) {
  sim::SimFileSystem machine(start, sites_);
  if (fault) machine.Schedule(*fault);
  if (deed == Deed::kRepair) (void)Repair(machine, id);
  if (deed == Deed::kStart) (void)Look(machine, RecoveryMode::kContain);
  if (deed == Deed::kUndo || deed == Deed::kUndoOver) {
    (void)Undo(machine, id, deed == Deed::kUndoOver);
  }
  return {start, machine.trace(), machine.reads()};
}

sim::DiskState RepairSweep::KilledIn(const Episode& episode) {
  std::uint64_t end = rng_.Below(episode.trace.size() + 1);
  // Every other time just before or behind the commit, which is short.
  const auto commit = std::ranges::find_if(episode.trace, [&](const sim::Op& op) {
    return sites_.sites()[op.site].file_class.ends_with("/plan.tmp");
  });
  if (commit != episode.trace.end() && rng_.OneIn(2)) {
    const auto at = static_cast<std::uint64_t>(commit - episode.trace.begin());
    end = std::min<std::uint64_t>(at + rng_.Below(12), episode.trace.size());
  }
  sim::DiskState disk = episode.start;
  for (std::uint64_t i = 0; i < end; ++i) disk.Apply(episode.trace[i]);
  return disk;
}

std::optional<sim::Image> RepairSweep::DrawDamage() {
  const std::size_t file = rng_.Below(damages_.file_count());
  const std::uint64_t size = damages_.FileAt(file).bytes.size();
  const auto damage = static_cast<Damage>(rng_.Below(static_cast<std::uint64_t>(Damage::kCount)));
  return size == 0 ? std::nullopt : damages_.DamagedImage(file, damage, rng_.Below(size));
}

void RepairSweep::Explore(std::uint64_t rounds, std::uint64_t states_min) {
  for (std::uint64_t round = 0; round < rounds;) {
    const std::optional<sim::Image> damaged = DrawDamage();
    if (!damaged) continue;
    ExploreRound(*damaged, states_min);
    ++round;
  }
}

void RepairSweep::ExploreRound(const sim::Image& damaged, std::uint64_t states_min) {
  const sim::Fault faults[] = {
      {.kind = sim::OpKind::kWrite, .effect = sim::FaultEffect::kDiskFull},
      {.kind = sim::OpKind::kAllocate, .effect = sim::FaultEffect::kDiskFull},
      {.kind = sim::OpKind::kSyncAll, .effect = sim::FaultEffect::kIoError},
      {.kind = sim::OpKind::kSyncDirectory, .effect = sim::FaultEffect::kIoError},
      {.kind = sim::OpKind::kRename, .effect = sim::FaultEffect::kIoError},
      {.kind = sim::OpKind::kTruncate, .effect = sim::FaultEffect::kDiskFull}};
  const sim::DiskState start(damaged);
  sim::SimFileSystem unrepaired(start, sites_);
  if (!Look(unrepaired, RecoveryMode::kContain).ok()) return;  // SYSTEM; Try judges that.
  std::string id;
  const Episode repair = Play(start, Deed::kRepair, id);
  sim::DiskState repaired = start;
  for (const sim::Op& op : repair.trace) repaired.Apply(op);
  sim::SimFileSystem machine(repaired, sites_);
  const Result<View> before = Look(machine, RecoveryMode::kContain);
  if (!before.ok()) return Fail("repaired", "no start: " + before.error().message);
  ExploreEpisode(repair, *before, states_min);
  const auto draw_fault = [&](std::uint64_t skip_max) {
    sim::Fault fault = faults[rng_.Below(std::size(faults))];
    fault.skip = rng_.Below(skip_max);
    fault.times = rng_.OneIn(3) ? UINT64_MAX : 1;
    return fault;
  };
  std::string other;
  for (const std::uint64_t skip_max : {12, 90}) {
    ExploreEpisode(Play(start, Deed::kRepair, other, draw_fault(skip_max)), *before, states_min);
  }
  const sim::DiskState killed = KilledIn(repair);
  ExploreEpisode(Play(killed, Deed::kRepair, other), *before, states_min);
  ExploreEpisode(Play(killed, Deed::kStart, other, draw_fault(12)), *before, states_min);
  const Episode undo = Play(repaired, Deed::kUndo, id);
  ExploreEpisode(undo, *before, states_min);
  ExploreEpisode(Play(KilledIn(undo), Deed::kStart, id), *before, states_min);
  const Episode over = Play(machine.disk(), Deed::kUndoOver, id);  // It was started.
  ExploreEpisode(over, *before, states_min);
  ExploreEpisode(Play(KilledIn(over), Deed::kStart, id), *before, states_min);
}

/// A crash point belongs to the operations next to it, as in the explorer.
void RepairSweep::ExploreEpisode(const Episode& episode, const View& before,
                                 std::uint64_t states_min) {
  constexpr int kTriesAtABoundary = 4;
  sim::DiskState disk = episode.start;
  for (std::size_t boundary = 0; boundary <= episode.trace.size(); ++boundary) {
    std::vector<std::uint32_t> sites;
    if (boundary > 0) sites.push_back(episode.trace[boundary - 1].site);
    if (boundary < episode.trace.size()) sites.push_back(episode.trace[boundary].site);
    for (const sim::ReadMark& mark : episode.reads) {
      if (mark.position == boundary) sites.push_back(mark.site);
    }
    by_site_.resize(sites_.sites().size());
    const bool rare =
        std::ranges::any_of(sites, [&](std::uint32_t site) { return by_site_[site] < states_min; });
    const sim::Op* next = boundary < episode.trace.size() ? &episode.trace[boundary] : nullptr;
    for (int i = 0; rare && i < kTriesAtABoundary; ++i) {
      CrashPoint point{.boundary = static_cast<std::uint32_t>(boundary),
                       .crash = static_cast<Crash>(rng_.Below(kCrashKinds))};
      if (point.crash != Crash::kKill) {
        const sim::CrashStates states(
            disk, point.crash == Crash::kExt4 ? sim::Profile::kExt4 : sim::Profile::kAdversary);
        point.ordinal = rng_.Below(states.count());
      }
      std::string choice;
      const sim::DiskState left = Crashed(disk, next, point, choice);
      const std::uint64_t hash = left.visible().Hash();
      for (const std::uint32_t site : sites) {
        const std::uint64_t key = hash ^ ((site + 1) * 0xBF58476D1CE4E5B9ULL);
        if (at_sites_.insert(key).second) ++by_site_[site];
      }
      if (!at_sites_.insert(hash).second) continue;
      ++tally_.kills;
      const std::string verdict = JudgeStopped(left, before);
      if (!verdict.empty()) Fail("stopped", verdict + "\n" + choice);
    }
    if (next != nullptr) disk.Apply(*next);
  }
}

std::string RepairSweep::JudgeStopped(const sim::DiskState& left, const View& before) {
  sim::SimFileSystem machine(left, sites_);
  const Result<View> after = Look(machine, RecoveryMode::kContain);
  if (!after.ok()) return "no start: " + after.error().message;
  const std::string difference = Compare(before, *after, false);
  if (!difference.empty() || !rng_.OneIn(8)) return difference;
  sim::SimFileSystem again(sim::DiskState(machine.disk().visible()), sites_);
  std::string id;
  const Status repaired = Repair(again, id);
  if (!repaired.ok()) return "no repair afterwards: " + repaired.error().message;
  sim::SimFileSystem last(sim::DiskState(again.disk().visible()), sites_);
  const Result<View> end = Look(last, RecoveryMode::kStrict);
  return end.ok() ? Compare(before, *end, true) : "not clean afterwards: " + end.error().message;
}

void RepairSweep::Run(std::uint64_t stride) {
  constexpr Damage kInTurn[] = {Damage::kBitFlipped,   Damage::kCutHere,
                                Damage::kSectorZeroed, Damage::kSectorsSwapped,
                                Damage::kOnesByte,     Damage::kOtherFilesSector};
  std::size_t turn = 0;
  for (std::size_t file = 0; file < damages_.file_count(); ++file) {
    const std::uint64_t size = damages_.FileAt(file).bytes.size();
    for (std::uint64_t offset = 0; offset < size; offset += stride) {
      Try(file, kInTurn[turn++ % std::size(kInTurn)], offset);
    }
    Try(file, Damage::kGarbageAppended, size);
  }
}

void RepairSweep::Fail(const std::string& where, const std::string& text) {
  std::string sort = where.substr(0, where.find(',')) + ": ";
  const std::size_t reason = text.find(": ");
  for (const char c : text.substr(reason == std::string::npos ? 0 : reason)) {
    if (c < '0' || c > '9') sort += c;
  }
  ++tally_.failures.try_emplace(sort, where + ", " + text, 0).first->second.second;
}

}  // namespace duramen::explorer
