// Two directories: the WAL leaves one that does not answer, and goes back to wal_dir when that does
// again; see wal/wal.h [PW13, A14].
//
// A fail-over is a roll. What was in flight and had not come back is given up: it stays in the
// rings and goes, in order, to a file in the other directory, whose header ends the predecessor at
// the last acknowledged batch. So it does not matter whether, and when, what was given up becomes
// durable: it is off the chain. But its buffers, its files and the queue that has them stay as they
// are until all of it has come back, and its directory takes no file before that.
//
// Away from wal_dir a small file there is written and synced once a second, by a queue of its own.
// After enough quick ones in a row (return_policy.h) the WAL rolls into a file there, which was
// made ready before anything waits for it.
//
// A full wal_dir is no reason to leave it: that is what row files are for. A full fail-over
// directory is a reason to go back.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/planted.h"
#include "wal/wal.h"

namespace duramen::wal {
namespace {

const char* NameOf(Place place) { return place == Place::kHome ? "wal_dir" : "wal_failover_dir"; }

}  // namespace

Directory& Wal::DirectoryOf(Place place) const {
  return place == Place::kHome ? environment_.directory : *environment_.away;
}

/// What has happened in either directory since the last step.
void Wal::LookAround() {
  TakeStalled();
  TakeProbe();
  const std::int64_t now = environment_.clock.NowNs();
  if (now >= NextProbeNs()) SendProbe();
  if (MayGiveUp() && now - BegunNs() >= options_.failover_ns) GiveUp();
}

/// When to look again, if nothing wakes us.
std::int64_t Wal::Watch() const {
  std::int64_t next = NextProbeNs();
  if (MayGiveUp()) next = std::min(next, BegunNs() + options_.failover_ns);
  return next;
}

std::int64_t Wal::NextProbeNs() const {
  return environment_.probe == nullptr ? kIdle : return_policy_.next_probe_ns();
}

/// When the device got what is in flight for the longest: buffered batches are written one after
/// the other.
std::int64_t Wal::BegunNs() const {
  const bool direct = How() == MadeDurable::kDirect;
  return direct ? InFlightSince() : std::max(InFlightSince(), last_done_ns_);
}

bool Wal::Usable(Place place) const {
  if (Planted(PlantedBug::kStalledFileRecycled)) return true;
  return std::none_of(stalled_.begin(), stalled_.end(),
                      [&](const Stalled& stalled) { return stalled.place == place; });
}

/// There is a better place than the one that is slow.
bool Wal::MayGiveUp() const {
  if (options_.failover_ns == 0 || !InFlight() || !Usable(Other(queue_place_))) return false;
  return queue_place_ == Place::kHome || place_ == Place::kHome || return_policy_.answers();
}

void Wal::GiveUp() {
  stalled_.push_back({.place = queue_place_, .since_ns = BegunNs()});
  stalled_.back().queue = std::move(queue_);
  for (const std::unique_ptr<Plan>& plan : flight_) {
    if (plan->submitted && !plan->done) telling_.OnGivenUp(plan->trace);
  }
  counters_.given_up.Add(writes_in_flight_);
  LeaveFile();
  writes_in_flight_ = 0;
  bytes_in_flight_ = 0;
  failure_.reset();
  telling_.OnInFlight(0);
  const Place place = Other(queue_place_);
  if (place_ != place) GoTo(place, "a write or sync takes longer than wal_failover_after");
  queue_place_ = place;
  MakeQueue();
}

/// What was given up may have become durable or not: it is off the chain.
void Wal::TakeStalled() {
  for (std::size_t i = 0; i < stalled_.size();) {
    Stalled& stalled = stalled_[i];
    done_.clear();
    stalled.queue->Take(done_);
    for (const WriteDone& done : done_) {
      const std::size_t left =
          std::erase_if(stalled.plans, [&](const auto& plan) { return plan->id == done.id; });
      CHECK(left == 1);
    }
    counters_.given_up.Set(counters_.given_up.value() - done_.size());
    if (!stalled.plans.empty()) {
      ++i;
      continue;
    }
    for (const LiveFile& file : stalled.files) {
      FilePool& pool = environment_.pool.At(file.place);
      pool.Remove(file.number);
    }
    const std::int64_t ns = environment_.clock.NowNs() - stalled.since_ns;
    environment_.log.Write(
        LogLevel::kInfo, "wal.answers", "what was given up has come back from the device",
        {{"directory", NameOf(stalled.place)}, {"ms", std::to_string(ns / 1'000'000)}});
    stalled_.erase(stalled_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

/// The file is in nobody's way; it goes once the device can do nothing to it any more [A14].
void Wal::Discard(const LiveFile& file) {
  for (Stalled& stalled : stalled_) {
    const bool in_flight =
        std::any_of(stalled.plans.begin(), stalled.plans.end(),
                    [&](const auto& plan) { return plan->file_number == file.number; });
    if (in_flight) return stalled.files.push_back(file);
  }
  FilePool& pool = environment_.pool.At(file.place);
  pool.Remove(file.number);
}

void Wal::SendProbe() {
  if (probe_queue_ == nullptr) {
    probe_queue_ = environment_.file_system.MakeWriteQueue({.depth = 1,
                                                            .direct = false,
                                                            .executor = environment_.executor,
                                                            .owner = *this,
                                                            .clock = environment_.clock,
                                                            .locks = environment_.locks});
    probe_bytes_ = MakeAligned(kProbeBytes);
    std::memset(probe_bytes_.get(), 0x5A, kProbeBytes);
  }
  return_policy_.OnSent();
  probe_queue_->Submit({.id = 1,
                        .file = environment_.probe,
                        .offset = 0,
                        .bytes = {probe_bytes_.get(), kProbeBytes},
                        .how = MadeDurable::kData});
}

void Wal::TakeProbe() {
  if (probe_queue_ == nullptr) return;
  done_.clear();
  probe_queue_->Take(done_);
  for (const WriteDone& done : done_) {
    const std::int64_t took_ns = done.synced_ns - done.begun_ns;
    const bool good = return_policy_.OnProbe(done.status.ok(), took_ns, environment_.clock.NowNs());
    counters_.probes.Add(1);
    if (!good) counters_.bad_probes.Add(1);
  }
}

/// Before a round: where is the next file to come from?
void Wal::ChoosePlace() {
  const auto broken = [&](Place place) {
    const std::optional<Error> failure = environment_.pool.At(place).failure();
    const bool full = failure && failure->code == ErrorCode::kDiskFull;
    return failure && environment_.pool.At(place).Exhausted() && !(full && place == Place::kHome);
  };
  const Place other = Other(place_);
  if (broken(place_) && !broken(other) && Usable(other)) {
    return GoTo(other, pool().failure()->message);
  }
  if (place_ == Place::kHome || !return_policy_.MayReturn() || !Usable(Place::kHome)) return;
  homecoming_ = environment_.pool.Take(UINT64_MAX, highest_file_);
  if (!homecoming_) return;  // The pool makes one ready, and wakes us.
  GoTo(Place::kHome, "it answers again");
  must_roll_ = true;
}

void Wal::GoTo(Place place, const std::string& reason) {
  place_ = place;
  const bool home = place == Place::kHome;
  (home ? counters_.failbacks : counters_.failovers).Add(1);
  const std::int64_t now = environment_.clock.NowNs();
  home ? return_policy_.OnReturned(now) : return_policy_.OnLeft(now);
  if (!home && homecoming_) {
    environment_.pool.Recycle(homecoming_->number, homecoming_->file, homecoming_->size_bytes);
    homecoming_.reset();
  }
  environment_.log.Write(home ? LogLevel::kInfo : LogLevel::kError,
                         home ? "wal.failback" : "wal.failover",
                         std::string("the WAL goes on in ") + NameOf(place), {{"reason", reason}});
}

}  // namespace duramen::wal
