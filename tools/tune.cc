#include "tools/tune.h"

#include <stdlib.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/posix_io.h"
#include "base/try.h"
#include "tools/bare_disk.h"
#include "tools/bench_report.h"
#include "tools/device_facts.h"
#include "tools/honesty.h"
#include "tools/interrupt.h"
#include "tools/latency.h"
#include "tools/text.h"
#include "tools/tune_advice.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kFileBytes = 8 << 20;
constexpr std::uint64_t kSizes[] = {4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20};
constexpr DiskLayout kLayouts[] = {DiskLayout::kZeroFilled, DiskLayout::kFallocated,
                                   DiskLayout::kGrowing};
constexpr SyncMethod kMethods[] = {SyncMethod::kDatasync, SyncMethod::kFsync, SyncMethod::kDsync};
constexpr std::size_t kRounds = 3;        // a disk that is slow for a while is so for all trials
constexpr std::int64_t kHonestyPart = 6;  // of the time is for the syncs' honesty, at most
constexpr std::uint64_t kRoomBytes = 16 << 20;  // for what the file system keeps beside the data

const char* LayoutName(DiskLayout layout) {
  switch (layout) {
    case DiskLayout::kZeroFilled:
      return "zero-filled";
    case DiskLayout::kFallocated:
      return "fallocated";
    case DiskLayout::kGrowing:
      break;
  }
  return "growing";
}

struct Trial {
  TunedCell is;
  std::size_t disk = 0;
  LatencyHistogram latency;
  std::int64_t busy_ns = 0;
};

/// The measurements.
class Tuning {
 public:
  Tuning(const TuneOptions& options, Terminal& terminal)
      : options_(options),
        terminal_(terminal),
        begin_ns_(clock_.NowNs()),
        end_ns_(begin_ns_ + static_cast<std::int64_t>(options.seconds) * 1'000'000'000) {}

  Status Run() {
    facts_ = TRY(FactsOf(options_.path));
    WarnOfLoad();
    TRY(CheckRoom());
    const BenchDirectory place = TRY(BenchDirectory::In(options_.path, "duramen-tune"));
    const std::unique_ptr<Directory> directory = TRY(file_system_.Open(place.path()));
    const std::int64_t honesty_ns = (end_ns_ - begin_ns_) / kHonestyPart;
    witnesses_ = TRY(WatchSyncs(*directory, facts_, begin_ns_ + honesty_ns));
    TRY(MakeDisks(place.path()));
    return Measure();
  }

  const DeviceFacts& facts() const { return facts_; }
  const Witnesses& witnesses() const { return witnesses_; }
  bool direct() const { return direct_; }
  double seconds() const { return static_cast<double>(clock_.NowNs() - begin_ns_) / 1e9; }

  std::vector<Trial> Measured() const {
    std::vector<Trial> measured;
    for (const Trial& trial : trials_) {
      if (trial.latency.count() == 0 || trial.busy_ns <= 0) continue;
      Trial done = trial;
      done.is.operations = trial.latency.count();
      done.is.operations_per_s =
          static_cast<double>(done.is.operations) * 1e9 / static_cast<double>(trial.busy_ns);
      done.is.max_us = trial.latency.MaxMicroseconds();
      measured.push_back(std::move(done));
    }
    return measured;
  }

 private:
  void WarnOfLoad() {
    double load = 0;
    const unsigned cores = std::max(std::thread::hardware_concurrency(), 1u);
    if (::getloadavg(&load, 1) != 1 || load <= cores) return;
    terminal_.Say("warning: the load is " + Decimal(load, 1) + " on " + Plural(cores, "core") +
                  ": what is measured is not the disk alone");
  }

  Status CheckRoom() {
    const std::unique_ptr<Directory> directory = TRY(file_system_.Open(options_.path));
    const std::uint64_t needed =
        kFileBytes * std::size(kLayouts) * std::size(kMethods) + kRoomBytes;
    const std::uint64_t free = directory->FreeBytes();
    if (free >= needed) return {};
    return Error{ErrorCode::kDiskFull,
                 "tune needs " + HumanBytes(needed) + " in '" + options_.path + "', where " +
                     HumanBytes(free) + " are free",
                 "free space there; nothing was written"};
  }

  /// One file per layout and method, so that what a method leaves behind is its own.
  Status MakeDisks(const std::string& path) {
    disks_.reserve(std::size(kLayouts) * std::size(kMethods));
    for (const DiskLayout layout : kLayouts) {
      for (const SyncMethod method : kMethods) {
        if (Interrupted()) return {};
        Result<BareDisk> disk =
            BareDisk::Create(path, {.size_bytes = kFileBytes,
                                    .method = method,
                                    .depth = static_cast<std::uint32_t>(options_.depth),
                                    .layout = layout,
                                    .name = "file-" + std::to_string(disks_.size())});
        const bool direct = method == SyncMethod::kDsync;
        if (direct && !disk.ok() && disk.error().code == ErrorCode::kUnsupported) {
          direct_ = false;
          continue;
        }
        disks_.push_back(TRY(std::move(disk)));
        AddTrials(layout, method);
      }
    }
    return {};
  }

  /// 1, 2, 4 and so on, and the greatest.
  std::vector<std::uint32_t> Depths(SyncMethod method) const {
    std::vector<std::uint32_t> depths = {1};
    if (method != SyncMethod::kDsync) return depths;
    const auto most = static_cast<std::uint32_t>(options_.depth);
    while (depths.back() < most) depths.push_back(std::min(depths.back() * 2, most));
    return depths;
  }

  void AddTrials(DiskLayout layout, SyncMethod method) {
    for (const std::uint64_t bytes : kSizes) {
      for (const std::uint32_t depth : Depths(method)) {
        Trial trial{.disk = disks_.size() - 1, .latency = {}};
        trial.is = {.method = method, .depth = depth, .layout = layout, .bytes = bytes};
        trials_.push_back(std::move(trial));
      }
    }
  }

  /// Each round visits all trials, those of one layout and size after one another.
  Status Measure() {
    std::vector<Trial*> order;
    for (Trial& trial : trials_) order.push_back(&trial);
    std::stable_sort(order.begin(), order.end(), [](const Trial* a, const Trial* b) {
      return std::pair(a->is.layout, a->is.bytes) < std::pair(b->is.layout, b->is.bytes);
    });
    std::size_t left = kRounds * order.size();
    for (std::size_t round = 0; round < kRounds; ++round) {
      for (Trial* trial : order) {
        const std::int64_t left_ns = end_ns_ - clock_.NowNs();
        if (left_ns <= 0 || Interrupted()) return {};
        terminal_.Progress("measuring, " + std::to_string(left_ns / 1'000'000'000) + " s left");
        TRY(RunSlice(*trial, left_ns / static_cast<std::int64_t>(left--)));
      }
    }
    return {};
  }

  Status RunSlice(Trial& trial, std::int64_t slice_ns) {
    BareDisk& disk = disks_[trial.disk];
    disk.CountInto(trial.latency);
    disk.LimitDepth(trial.is.depth);
    const std::int64_t renewal_ns = disk.renewal_ns();
    const std::int64_t begin_ns = clock_.NowNs();
    do {
      TRY(disk.Write(trial.is.bytes));
    } while (clock_.NowNs() - begin_ns < slice_ns && !Interrupted());
    TRY(disk.Drain());
    trial.busy_ns += clock_.NowNs() - begin_ns - (disk.renewal_ns() - renewal_ns);
    return {};
  }

  const TuneOptions& options_;
  Terminal& terminal_;
  const SystemClock clock_;
  const std::int64_t begin_ns_;
  const std::int64_t end_ns_;
  PosixFileSystem file_system_;
  DeviceFacts facts_;
  Witnesses witnesses_;
  std::vector<Trial> trials_;
  std::vector<BareDisk> disks_;
  bool direct_ = true;
};

/// The names of what is said of one method, for programs.
struct MethodKeys {
  std::string_view honesty;
  std::string_view why;
  std::string_view syncs;
  std::string_view pages_written;
  std::string_view device_writes;
  std::string_view device_flushes;
  std::string_view write_us;
  std::string_view sync_us;
};
constexpr MethodKeys kKeys[] = {
    {"datasync", "datasync_why", "datasync_syncs", "datasync_pages_written",
     "datasync_device_writes", "datasync_device_flushes", "datasync_write_us", "datasync_sync_us"},
    {"fsync", "fsync_why", "fsync_syncs", "fsync_pages_written", "fsync_device_writes",
     "fsync_device_flushes", "fsync_write_us", "fsync_sync_us"},
    {"dsync", "dsync_why", "dsync_syncs", "dsync_pages_written", "dsync_device_writes",
     "dsync_device_flushes", "dsync_write_us", "dsync_sync_us"}};
static_assert(std::size(kKeys) == std::size(kMethods));

struct JudgedMethod {
  SyncEvidence seen;
  HonestyVerdict verdict;
};

template <typename T>
Cell CellOf(const std::optional<T>& value) {
  return value ? Cell(*value) : Cell();
}

/// What is said in the end.
class Report {
 public:
  Report(const TuneOptions& options, Terminal& terminal, const Tuning& tuning)
      : options_(options), terminal_(terminal), tuning_(tuning), trials_(tuning.Measured()) {
    for (const SyncEvidence& seen : tuning.witnesses().methods) {
      judged_.push_back({seen, JudgeSyncs(tuning.facts(), tuning.witnesses().account, seen)});
      if (judged_.back().verdict.honesty == Honesty::kDishonest) dishonest_.push_back(seen.method);
    }
    std::vector<TunedCell> measured;
    for (const Trial& trial : trials_) measured.push_back(trial.is);
    advice_ = Advise(measured, dishonest_);
  }

  bool dishonest() const { return !dishonest_.empty(); }

  void Print() {
    const bool table = options_.output.format == Format::kTable;
    if (table) {
      PrintFacts(terminal_, options_.output, "tune", FactsForPeople());
      terminal_.Out("\n");
    }
    Sheet sheet(terminal_, options_.output, "tune",
                {{"layout", ColumnType::kText},
                 {"bytes", ColumnType::kSize},
                 {"method", ColumnType::kText},
                 {"depth", ColumnType::kCount},
                 {"ops", ColumnType::kCount},
                 {"ops_per_s", ColumnType::kCount},
                 {"p50_us", ColumnType::kDecimal},
                 {"p99_us", ColumnType::kDecimal},
                 {"p999_us", ColumnType::kDecimal},
                 {"max_us", ColumnType::kDecimal}});
    for (const Trial& trial : trials_) AddRow(sheet, trial);
    sheet.Finish(VerdictLine(), FactsForPrograms());
    if (table) PrintAdvice();
  }

 private:
  static void AddRow(Sheet& sheet, const Trial& trial) {
    sheet.Add(std::vector<Cell>{
        std::string(LayoutName(trial.is.layout)), trial.is.bytes, MethodName(trial.is.method),
        std::uint64_t{trial.is.depth}, trial.is.operations,
        static_cast<std::uint64_t>(trial.is.operations_per_s), trial.latency.Microseconds(0.5),
        trial.latency.Microseconds(0.99), trial.latency.Microseconds(0.999), trial.is.max_us});
  }

  /// The worst of the methods, and why.
  HonestyVerdict Worst() const {
    HonestyVerdict worst{Honesty::kUnknown, "none was watched"};
    bool first = true;
    for (const JudgedMethod& judged : judged_) {
      if (first || judged.verdict.honesty > worst.honesty) worst = judged.verdict;
      first = false;
    }
    return worst;
  }

  std::string VerdictLine() const {
    std::uint64_t operations = 0;
    for (const Trial& trial : trials_) operations += trial.is.operations;
    const HonestyVerdict worst = Worst();
    const std::string syncs = worst.honesty == Honesty::kHonest ? "the syncs look honest"
                              : worst.honesty == Honesty::kDishonest
                                  ? "the syncs are DISHONEST: " + worst.why
                                  : "whether the syncs are honest cannot be told: " + worst.why;
    return Plural(trials_.size(), "row") + ", " + Plural(operations, "write") + " in " +
           Decimal(tuning_.seconds(), 1) + " s" + (Interrupted() ? " (interrupted)" : "") + ": " +
           syncs;
  }

  std::vector<Field> DeviceFields() const {
    const DeviceFacts& facts = tuning_.facts();
    std::vector<Field> fields = {
        {"directory", ColumnType::kText, facts.path},
        {"file_system", ColumnType::kText, facts.file_system},
        {"mount_options", ColumnType::kText, facts.mount ? Cell(facts.mount->options) : Cell()}};
    if (!facts.device) {
      fields.push_back({"device", ColumnType::kText, Cell()});
      return fields;
    }
    const BlockDevice& device = *facts.device;
    std::string below;
    for (const std::string& leaf : device.leaves) below += (below.empty() ? "" : ", ") + leaf;
    const std::optional<std::string> cache =
        device.volatile_cache
            ? std::optional<std::string>(*device.volatile_cache ? "write back" : "write through")
            : std::nullopt;
    const std::vector<Field> said = {
        {"device", ColumnType::kText, device.name},
        {"disks", ColumnType::kText, below},
        {"write_cache", ColumnType::kText, CellOf(cache)},
        {"fua", ColumnType::kFlag, CellOf(device.fua)},
        {"rotational", ColumnType::kFlag, CellOf(device.rotational)},
        {"logical_block_bytes", ColumnType::kCount, CellOf(device.logical_block_bytes)},
        {"physical_block_bytes", ColumnType::kCount, CellOf(device.physical_block_bytes)}};
    fields.insert(fields.end(), said.begin(), said.end());
    return fields;
  }

  std::vector<Field> FactsForPeople() const {
    std::vector<Field> fields = DeviceFields();
    const std::string meaning = MeaningOf(tuning_.facts().kind, tuning_.facts().path);
    if (!meaning.empty()) fields.push_back({"which_means", ColumnType::kText, meaning});
    for (const JudgedMethod& judged : judged_) {
      fields.push_back(
          {KeysOf(judged.seen.method).honesty, ColumnType::kText,
           std::string(HonestyName(judged.verdict.honesty)) + ": " + judged.verdict.why});
    }
    if (!tuning_.direct()) {
      fields.push_back({"direct_I/O", ColumnType::kText,
                        std::string("not on this file system: dsync was not measured")});
    }
    return fields;
  }

  std::vector<Field> FactsForPrograms() const {
    std::vector<Field> fields = DeviceFields();
    const HonestyVerdict worst = Worst();
    fields.push_back({"syncs", ColumnType::kText, std::string(HonestyName(worst.honesty))});
    fields.push_back({"syncs_why", ColumnType::kText, worst.why});
    for (const JudgedMethod& judged : judged_) AddJudged(judged, fields);
    fields.push_back({"seconds", ColumnType::kDecimal, tuning_.seconds()});
    for (const AdvisedSetting& setting : advice_) {
      fields.push_back({setting.name, ColumnType::kText, setting.value});
      fields.push_back({setting.reason_name, ColumnType::kText, setting.reason});
    }
    return fields;
  }

  void AddJudged(const JudgedMethod& judged, std::vector<Field>& fields) const {
    const MethodKeys& keys = KeysOf(judged.seen.method);
    const SyncEvidence& seen = judged.seen;
    std::vector<Field> said = {
        {keys.honesty, ColumnType::kText, std::string(HonestyName(judged.verdict.honesty))},
        {keys.why, ColumnType::kText, judged.verdict.why},
        {keys.syncs, ColumnType::kCount, seen.syncs},
        {keys.pages_written, ColumnType::kCount,
         tuning_.witnesses().account ? Cell(seen.pages_clean_after) : Cell()},
        {keys.device_writes, ColumnType::kCount, seen.device ? Cell(seen.device->writes) : Cell()},
        {keys.device_flushes, ColumnType::kCount,
         seen.device ? Cell(seen.device->flushes) : Cell()},
        {keys.write_us, ColumnType::kDecimal, static_cast<double>(seen.write_ns) / 1000},
        {keys.sync_us, ColumnType::kDecimal, static_cast<double>(seen.sync_ns) / 1000}};
    std::move(said.begin(), said.end(), std::back_inserter(fields));
  }

  static const MethodKeys& KeysOf(SyncMethod method) {
    const auto at = std::find(std::begin(kMethods), std::end(kMethods), method);
    return kKeys[at - std::begin(kMethods)];
  }

  void PrintAdvice() {
    if (advice_.empty()) {
      terminal_.Out(dishonest() ? "no setting makes syncs honest that are not: mend that first\n"
                                : "too little was measured for a recommendation\n");
      return;
    }
    terminal_.Out("\n");
    for (const AdvisedSetting& setting : advice_) {
      const std::string quote = setting.is_text ? "\"" : "";
      terminal_.Out(std::string(setting.name) + " = " + quote + setting.value + quote + "  # " +
                    setting.reason + "\n");
    }
  }

  const TuneOptions& options_;
  Terminal& terminal_;
  const Tuning& tuning_;
  const std::vector<Trial> trials_;
  std::vector<JudgedMethod> judged_;
  std::vector<SyncMethod> dishonest_;
  std::vector<AdvisedSetting> advice_;
};

ExitCode Refuse(Terminal& terminal, const Error& error) {
  terminal.Complain(error);
  return ExitCodeOf(error.code);
}

}  // namespace

ExitCode RunTune(const TuneOptions& options, Terminal& terminal) {
  Tuning tuning(options, terminal);
  const Status status = tuning.Run();
  // A signal may well be what made a call fail.
  if (!status.ok() && !Interrupted()) return Refuse(terminal, status.error());
  Report report(options, terminal, tuning);
  report.Print();
  const Status flushed = terminal.Flush();
  if (!flushed.ok()) return Refuse(terminal, flushed.error());
  if (Interrupted()) return ExitCode::kInterrupted;
  return report.dishonest() ? ExitCode::kDamage : ExitCode::kClean;
}

}  // namespace duramen::tools
