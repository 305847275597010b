// What a flush may not do to a log that is written meanwhile.
//
// Entries are overwritten, in the same term, while their old values are in the flusher's hands;
// then the new values rot in their WAL file. Nothing may be read there but an error: the old values
// are dead, although a segment holds them [C8].
//
// Entries that were appended before a roll wait in their ring while the WAL cannot write, and the
// generation that was current at their append is flushed without them. They land later, so their
// memory may not go with that generation [A11].
#include "base/bytes.h"
#include "base/try.h"
#include "tests/explorer/damage_sweep.h"

namespace duramen::explorer {
namespace {

constexpr std::int64_t kPatienceNs = 1'000'000'000;
constexpr std::uint64_t kSeeds = 60;
constexpr Index kEntries = 6;
constexpr Index kOverwritten = 2;  // and all above
constexpr Index kBurst = 40;
constexpr std::uint64_t kFailures = 6;
constexpr std::string_view kOld = "an old value of this entry";
constexpr std::string_view kNew = "the new value of the entry";
static_assert(kOld.size() == kNew.size());

class Life {
 public:
  Life(sim::SimFileSystem& machine, std::uint64_t seed)
      : machine_(machine), subject_(machine, seed, Sizes()) {}

  Status Open() {
    TRY(subject_.Open());
    TRY(subject_.MakeWriters(1));
    log_ = TRY(subject_.store().OpenLog(writer(), LogName(0), OpenMode::kOpenOrCreate));
    filler_ = TRY(subject_.store().OpenLog(writer(), LogName(1), OpenMode::kOpenOrCreate));
    return {};
  }

  Status Write(Index first, std::string_view text) {
    std::vector<EntryView> entries;
    for (Index index = first; index <= kEntries; ++index) {
      entries.push_back({index, 1, kFirstUserKind, AsBytes(text)});
    }
    const LogAppend append{log_, entries};
    const Ticket ticket = TRY(writer().Append({&append, 1}));
    return writer().Wait(ticket, subject_.DeadlineIn(kPatienceNs));
  }

  /// One entry that makes the WAL roll before long.
  Status Fill() {
    const std::vector<std::byte> payload(3000);
    const Bounds bounds = TRY(subject_.store().BoundsOf(filler_));
    const EntryView entry{bounds.end, 1, kFirstUserKind, payload};
    const LogAppend append{filler_, {&entry, 1}};
    return writer().Append({&append, 1}).ok() ? Status{} : Error{ErrorCode::kOverloaded, "", ""};
  }

  /// Until the old values are in a segment file that no checkpoint knows. False: it went by.
  Result<bool> RunIntoTheFlush() {
    for (int fills = 0; fills < 20; ++fills) {
      TRY(Fill());
      while (subject_.executor().RunOne()) {
        if (subject_.Metric("flush_rounds") > 0) return false;
        if (subject_.Metric("flush_entries") >= kEntries) return true;
      }
    }
    return Error{ErrorCode::kTimeout, "nothing is flushed", ""};
  }

  Status RunRounds(std::uint64_t rounds) {
    for (int fills = 0; subject_.Metric("flush_rounds") < rounds; ++fills) {
      if (fills == 100) return Error{ErrorCode::kTimeout, "nothing is flushed", ""};
      TRY(Fill());
      subject_.executor().RunUntilIdle(1000);
      (void)writer().Poll();
    }
    return {};
  }

  /// Every copy in WAL files; returns how many.
  int RotTheNewValues() {
    int rotten = 0;
    const sim::Image image = machine_.disk().visible();
    const std::string wal = std::string(kDataDir) + "/wal";
    for (const auto& [name, node] : image.entries(image.FindPath(wal))) {
      if (image.IsDirectory(node)) continue;
      std::vector<std::byte> bytes(image.content(node).size_bytes());
      image.content(node).Read(0, bytes);
      const std::string_view text = AsText(bytes);
      for (std::size_t at = text.find(kNew); at != text.npos; at = text.find(kNew, at + 1)) {
        machine_.Rot(wal + "/" + name, at, bytes[at] ^ std::byte{0x10});
        ++rotten;
      }
    }
    return rotten;
  }

  /// What is read where the new values were and is none of them; empty: nothing.
  std::string Resurrected() const {
    for (Index index = kOverwritten; index <= kEntries; ++index) {
      const Result<Pin> pin = subject_store().Read(log_, index, index + 1, SIZE_MAX);
      if (!pin.ok() || AsText(pin->entries()[0].payload) == kNew) continue;
      return "entry " + std::to_string(index) + ", overwritten during a flush, is read as '" +
             std::string(AsText(pin->entries()[0].payload)) + "'";
    }
    return "";
  }

  /// More than a batch, so that some of it is still in the ring when the WAL rolls.
  Status Burst() {
    const std::vector<std::byte> payload(600, std::byte{'b'});
    std::vector<EntryView> entries;
    for (Index index = 1; index <= kBurst; ++index) {
      entries.push_back({index, 1, kFirstUserKind, payload});
    }
    const LogAppend append{log_, entries};
    ticket_ = TRY(writer().Append({&append, 1}));
    return {};
  }

  /// A flush is under way, and the burst is not durable. False: it went by.
  bool RunUntilTheBurstIsOvertaken() {
    while (subject_.executor().RunOne()) {
      if (writer().durable() >= ticket_ || subject_.Metric("flush_rounds") > 0) return false;
      if (subject_.Metric("flush_bytes") > 0) return true;
    }
    return false;
  }

  /// The WAL cannot write until the generation is flushed; then it can.
  std::string OutliveTheFlush() {
    machine_.Schedule({.kind = sim::OpKind::kWrite, .file_class = "wal/", .times = kFailures});
    for (int i = 0; i < 100 && subject_.Metric("flush_rounds") == 0; ++i) {
      if (!subject_.executor().RunOne()) subject_.executor().AdvanceToNextTimer();
    }
    (void)writer().Poll();
    for (int i = 0; i < 100 && writer().durable() < ticket_; ++i) {
      subject_.executor().RunUntilIdle(1000);
      (void)writer().Poll();
      subject_.executor().AdvanceToNextTimer();
    }
    const Status waited = writer().Wait(ticket_, subject_.DeadlineIn(kPatienceNs));
    if (waited.ok()) return "";
    return "entries that a flush overtook in their ring: " + waited.error().message;
  }

  std::uint64_t rounds() const { return subject_.Metric("flush_rounds"); }
  void Destroy() { subject_.Destroy(); }

 private:
  static SubjectSizes Sizes() {
    SubjectSizes sizes;
    sizes.wal_file_bytes = 32u << 10;
    return sizes;
  }
  Writer& writer() { return subject_.writers().front(); }
  const LogStore& subject_store() const { return const_cast<Subject&>(subject_).store(); }

  sim::SimFileSystem& machine_;
  Subject subject_;
  LogRef log_;
  LogRef filler_;
  Ticket ticket_ = 0;
};

// Empty: nothing is wrong. `hit`: the overwrite was durable between the writing and the hand-over.
Result<std::string> LiveOnce(std::uint64_t seed, bool& hit) {
  sim::SiteTable sites;
  sim::SimFileSystem machine{sim::DiskState(), sites};
  Life life(machine, seed);
  TRY(life.Open());
  TRY(life.Write(1, kOld));
  if (!TRY(life.RunIntoTheFlush())) return std::string();
  TRY(life.Write(kOverwritten, kNew));
  hit = life.rounds() == 0;
  if (!hit) return std::string();
  TRY(life.RunRounds(1));
  if (life.RotTheNewValues() == 0) return Error{ErrorCode::kNotFound, "no value to rot", ""};
  TRY(life.RunRounds(3));
  const std::string wrong = life.Resurrected();
  if (!wrong.empty()) return wrong;
  life.Destroy();
  sim::SimFileSystem later(sim::DiskState(machine.disk().durable()), sites);
  Life again(later, seed + 1);
  TRY(again.Open());
  const std::string restarted = again.Resurrected();
  return restarted.empty() ? restarted : "after a restart, " + restarted;
}

Result<std::string> WaitOnce(std::uint64_t seed, bool& hit) {
  sim::SiteTable sites;
  sim::SimFileSystem machine{sim::DiskState(), sites};
  Life life(machine, seed);
  TRY(life.Open());
  TRY(life.Fill());
  TRY(life.Fill());
  TRY(life.Burst());
  hit = life.RunUntilTheBurstIsOvertaken();
  return hit ? life.OutliveTheFlush() : std::string();
}

/// What is wrong in the first life in which something is. Errors: kNotFound with `missed`, none of
/// the lives had what it is for.
Result<std::string> LiveOfEverySeed(Result<std::string> (*live)(std::uint64_t seed, bool& hit),
                                    const char* missed) {
  std::uint64_t hits = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    bool hit = false;
    std::string wrong = TRY(live(seed, hit));
    if (!wrong.empty()) return wrong;
    if (hit) ++hits;
  }
  if (hits == 0) return Error{ErrorCode::kNotFound, missed, ""};
  return std::string();
}

}  // namespace

Result<std::string> WaitingOutlivesAFlush() {
  return LiveOfEverySeed(WaitOnce, "no entry waited for a flush");
}

Result<std::string> OverwrittenStaysDead() {
  return LiveOfEverySeed(LiveOnce, "no overwrite fell into a flush");
}

}  // namespace duramen::explorer
