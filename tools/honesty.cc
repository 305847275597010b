#include "tools/honesty.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/try.h"
#include "tools/interrupt.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr char kFileName[] = "duramen-tune-honesty";
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kStrideBytes = 1 << 20;  // pages so far apart share no folio
constexpr std::uint64_t kTrials = 8;
constexpr std::uint64_t kSyncs = 64;
constexpr std::uint64_t kSyncsLeast = 8;  // fewer, on a slow device, prove nothing
constexpr std::int64_t kNoMediumNs = 1'000;
constexpr std::int64_t kHalfTurnNs = 2'000'000;  // of a disk with 15,000 turns a minute

/// "write_bytes" of this thread in /proc: what it has dirtied that is to be written to a device.
class DirtyAccount {
 public:
  DirtyAccount() : fd_(::open("/proc/thread-self/io", O_RDONLY | O_CLOEXEC)) {}
  ~DirtyAccount() {
    if (fd_ >= 0) ::close(fd_);
  }
  DirtyAccount(const DirtyAccount&) = delete;
  DirtyAccount& operator=(const DirtyAccount&) = delete;

  std::optional<std::uint64_t> Read() const {
    char text[512];
    const ssize_t got = fd_ < 0 ? -1 : ::pread(fd_, text, sizeof text, 0);
    if (got <= 0) return std::nullopt;
    const std::string_view all(text, static_cast<std::size_t>(got));
    constexpr std::string_view kKey = "\nwrite_bytes: ";
    const std::size_t at = all.find(kKey);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view rest = all.substr(at + kKey.size());
    return ParseCount(rest.substr(0, rest.find('\n')));
  }

 private:
  const int fd_;
};

std::int64_t Median(std::vector<std::int64_t> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class Watcher {
 public:
  Watcher(File& file, const DeviceFacts& facts, std::int64_t end_ns)
      : file_(file), facts_(facts), end_ns_(end_ns), page_(kPageBytes, std::byte{0x5A}) {}

  /// Whether the account counts what it is taken to count: a page when it gets dirty, and not
  /// again while it is. The pages are new, so that no sync is needed to know their state.
  Result<bool> TryAccount() {
    bool understood = true;
    for (std::uint64_t trial = 0; trial < kTrials && understood; ++trial) {
      const std::uint64_t at = trial * kStrideBytes;
      const bool dirtied = TRY(Dirties(at));
      const bool again = TRY(Dirties(at));
      understood = dirtied && !again;
    }
    return understood;
  }

  Result<SyncEvidence> Watch(SyncMethod method) {
    SyncEvidence seen{.method = method};
    std::vector<std::int64_t> writes;
    std::vector<std::int64_t> syncs;
    const auto before = Count();
    // Whatever this page was before, it is dirty now.
    TRY(file_.Write(0, page_));
    while (seen.syncs < kSyncs && !Interrupted()) {
      if (seen.syncs >= kSyncsLeast && clock_.NowNs() > end_ns_) break;
      const std::int64_t begin_ns = clock_.NowNs();
      TRY(Sync(method));
      const std::int64_t synced_ns = clock_.NowNs();
      page_.front() = static_cast<std::byte>(seen.syncs);  // New data each time.
      const bool clean = TRY(Dirties(0));
      seen.pages_clean_after += clean ? 1 : 0;
      syncs.push_back(synced_ns - begin_ns);
      writes.push_back(write_ns_);
      ++seen.syncs;
    }
    const auto after = Count();
    if (before && after) {
      seen.device = {.writes = after->writes - before->writes,
                     .flushes = after->flushes - before->flushes};
    }
    seen.write_ns = Median(std::move(writes));
    seen.sync_ns = Median(std::move(syncs));
    return seen;
  }

 private:
  /// dsync has no sync of its own: there the write is repeated that way.
  Status Sync(SyncMethod method) {
    if (method == SyncMethod::kDsync) return file_.WriteDurable(0, page_);
    return method == SyncMethod::kFsync ? file_.SyncAll() : file_.SyncData();
  }

  /// Writes the page at `at`; true: it was clean before.
  Result<bool> Dirties(std::uint64_t at) {
    const auto before = account_.Read();
    const std::int64_t begin_ns = clock_.NowNs();
    TRY(file_.Write(at, page_));
    write_ns_ = clock_.NowNs() - begin_ns;
    const auto after = account_.Read();
    return before && after && *after > *before;
  }

  std::optional<DeviceCounters> Count() const {
    return facts_.device ? facts_.device->Count() : std::nullopt;
  }

  File& file_;
  const DeviceFacts& facts_;
  const std::int64_t end_ns_;
  const SystemClock clock_;
  const DirtyAccount account_;
  std::vector<std::byte> page_;
  std::int64_t write_ns_ = 0;
};

/// Removes the file also when something fails.
class ProbeFile {
 public:
  static Result<ProbeFile> Make(Directory& directory) {
    return ProbeFile(directory, TRY(directory.Create(kFileName)));
  }
  ProbeFile(ProbeFile&&) = default;
  ProbeFile& operator=(ProbeFile&&) = delete;
  ~ProbeFile() {
    if (file_ != nullptr) (void)directory_.Remove(kFileName);  // A leftover harms nobody.
  }
  File& file() { return *file_; }

 private:
  ProbeFile(Directory& directory, std::unique_ptr<File> file)
      : directory_(directory), file_(std::move(file)) {}
  Directory& directory_;
  std::unique_ptr<File> file_;
};

std::string Of(std::uint64_t part, std::uint64_t whole) {
  return Grouped(part) + " of " + Grouped(whole);
}

std::string Microseconds(std::int64_t ns) {
  return Decimal(static_cast<double>(ns) / 1000, ns < 10'000 ? 3 : 0) + " us";
}

std::string Names(const BlockDevice& device) {
  std::string names;
  for (const std::string& leaf : device.leaves) names += (names.empty() ? "" : ", ") + leaf;
  return names;
}

/// What makes syncs worth nothing, or less than they say, before any of them is looked at.
std::optional<HonestyVerdict> JudgeMount(const DeviceFacts& facts) {
  if (facts.kind.what == FileSystemClass::kMemory) {
    return HonestyVerdict{Honesty::kUnknown, facts.file_system +
                                                 " is memory: a sync means nothing there, and "
                                                 "nothing outlives the machine"};
  }
  if (facts.mount && facts.kind.what == FileSystemClass::kOverlay &&
      (facts.mount->Has("volatile") || facts.mount->Has("fsync=volatile"))) {
    return HonestyVerdict{Honesty::kDishonest,
                          "the overlay is mounted volatile: its syncs are left out"};
  }
  return std::nullopt;
}

/// The syncs that did nothing, by the account of pages or by the clock.
std::optional<HonestyVerdict> JudgeCalls(const DeviceFacts& facts, bool account,
                                         const SyncEvidence& seen) {
  // With data=journal a page is clean once it is in the journal, or not until later.
  const bool journalled = facts.mount && facts.mount->Has("data=journal");
  if (account && !journalled) {
    if (seen.pages_clean_after * 4 <= seen.syncs) {
      return HonestyVerdict{
          Honesty::kDishonest,
          Of(seen.syncs - seen.pages_clean_after, seen.syncs) +
              " syncs said success and left the page unwritten, in memory only (is a library "
              "loaded that leaves them out, as libeatmydata does?)"};
    }
    if (seen.pages_clean_after * 4 >= seen.syncs * 3) return std::nullopt;
    return HonestyVerdict{Honesty::kUnknown, "only " + Of(seen.pages_clean_after, seen.syncs) +
                                                 " syncs left their page clean"};
  }
  if (seen.sync_ns < kNoMediumNs && seen.method != SyncMethod::kDsync) {
    return HonestyVerdict{Honesty::kDishonest,
                          "a sync of new data takes " + Microseconds(seen.sync_ns) +
                              ", which no medium can do (writing it into memory takes " +
                              Microseconds(seen.write_ns) + ")"};
  }
  return HonestyVerdict{Honesty::kUnknown,
                        "the kernel does not account here for what a sync writes; it takes " +
                            Microseconds(seen.sync_ns)};
}

bool IsMemory(const BlockDevice& device) {
  return std::any_of(device.leaves.begin(), device.leaves.end(), [](const std::string& leaf) {
    return leaf.starts_with("zram") || leaf.starts_with("ram");
  });
}

/// The pages are written. Does the device keep them?
HonestyVerdict JudgeDevice(const BlockDevice& device, const SyncEvidence& seen) {
  const std::string written = Of(seen.pages_clean_after, seen.syncs) + " syncs wrote their page";
  if (IsMemory(device)) {
    return {Honesty::kUnknown, written + "; but " + Names(device) + " is memory"};
  }
  if (!device.volatile_cache) {
    return {Honesty::kUnknown, written + "; what cache " + device.name + " has is not told"};
  }
  if (*device.volatile_cache && (!device.counts_flushes || !seen.device)) {
    return {Honesty::kUnknown, written + "; " + Names(device) +
                                   " has a volatile write cache, and its flushes are not counted"};
  }
  if (*device.volatile_cache && seen.device->flushes * 4 <= seen.syncs) {
    return {Honesty::kDishonest, written + ", but " + Grouped(seen.device->flushes) +
                                     " flushes reached " + Names(device) +
                                     ", which says that its write cache is volatile (mounted "
                                     "nobarrier?)"};
  }
  if (*device.volatile_cache && seen.device->flushes * 4 < seen.syncs * 3) {
    return {Honesty::kUnknown, written + ", but only " + Grouped(seen.device->flushes) +
                                   " flushes reached " + Names(device)};
  }
  if (device.rotational.value_or(false) && !device.is_virtual && !*device.volatile_cache &&
      seen.sync_ns < kHalfTurnNs) {
    return {Honesty::kUnknown, written + " in " + Microseconds(seen.sync_ns) +
                                   ", which is less than " + device.name +
                                   " needs to turn: a cache answers, and it must outlive a loss of "
                                   "power"};
  }
  const std::string flushed =
      *device.volatile_cache
          ? ", and " + Grouped(seen.device->flushes) + " flushes reached " + Names(device)
          : ", and " + device.name + " says that it has no volatile cache";
  return {Honesty::kHonest,
          written + flushed +
              (device.is_virtual ? "; what the host makes of it is not seen from here" : "")};
}

}  // namespace

const char* HonestyName(Honesty honesty) noexcept {
  switch (honesty) {
    case Honesty::kHonest:
      return "honest";
    case Honesty::kUnknown:
      return "cannot be told";
    case Honesty::kDishonest:
      break;
  }
  return "dishonest";
}

Result<Witnesses> WatchSyncs(Directory& directory, const DeviceFacts& facts, std::int64_t end_ns) {
  ProbeFile probe = TRY(ProbeFile::Make(directory));
  TRY(probe.file().Truncate(kTrials * kStrideBytes));
  Watcher watcher(probe.file(), facts, end_ns);
  Witnesses witnesses;
  witnesses.account = TRY(watcher.TryAccount());
  for (const SyncMethod method : {SyncMethod::kDatasync, SyncMethod::kFsync, SyncMethod::kDsync}) {
    Result<SyncEvidence> seen = watcher.Watch(method);
    // Not every kernel has a write that syncs itself.
    if (!seen.ok() && method == SyncMethod::kDsync) continue;
    witnesses.methods.push_back(TRY(std::move(seen)));
  }
  return witnesses;
}

HonestyVerdict JudgeSyncs(const DeviceFacts& facts, bool account, const SyncEvidence& seen) {
  if (const auto verdict = JudgeMount(facts)) return *verdict;
  if (seen.syncs < kSyncsLeast) return {Honesty::kUnknown, "too few syncs were watched"};
  if (const auto verdict = JudgeCalls(facts, account, seen)) return *verdict;
  const std::string written = Of(seen.pages_clean_after, seen.syncs) + " syncs wrote their page";
  if (facts.kind.what == FileSystemClass::kOverlay) {
    return {Honesty::kUnknown, written + "; what device is below the overlay is not told"};
  }
  if (facts.kind.what == FileSystemClass::kNetwork) {
    return {Honesty::kUnknown, written + "; what the server or program behind " +
                                   facts.file_system + " does with it is not seen from here"};
  }
  if (!facts.device) {
    return {Honesty::kUnknown, written + "; /sys does not tell what device is below"};
  }
  return JudgeDevice(*facts.device, seen);
}

}  // namespace duramen::tools
