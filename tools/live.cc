#include "tools/live.h"

#include <algorithm>

#include "base/clock.h"
#include "base/stat_memory.h"
#include "base/try.h"
#include "log/system_file.h"
#include "tools/read_only.h"
#include "tools/read_only_directory.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr double kNsPerSecond = 1e9;

/// The system that lives there; nil where SYSTEM cannot be read.
Result<SystemUuid> SystemOf(const std::string& data_dir) {
  const std::unique_ptr<Directory> directory = TRY(ReadOnlyDirectory::Open(data_dir));
  const Result<std::vector<std::byte>> bytes = log::ReadSmallFile(*directory, log::kSystemName);
  if (!bytes.ok() && bytes.error().code == ErrorCode::kNotFound) {
    return Error{ErrorCode::kNotFound, data_dir + " is no data directory: it has no SYSTEM file",
                 "name the data_dir of a store"};
  }
  if (!bytes.ok()) return bytes.error();
  const Result<log::Copies<log::SystemFile>> file = log::DecodeSystemFile(*bytes);
  return file.ok() ? file->content.system : SystemUuid{};
}

Error NobodyCounts(const std::string& data_dir) {
  if (IsHeld(data_dir)) {
    return {ErrorCode::kNotFound,
            "the process that has " + data_dir + " open has no statistics page that is seen here",
            "its log says why (store.stats); from another container, share its /dev/shm"};
  }
  return {ErrorCode::kNotFound, "no process has " + data_dir + " open, and none has died in it",
          "duramen stat " + data_dir + " reads the files"};
}

const char* StateName(std::uint64_t state) {
  constexpr const char* kNames[] = {"up", "waiting for a file", "stopped by a full disk", "down"};
  return state < std::size(kNames) ? kNames[state] : "in a state that is not known here";
}

std::string Seconds(std::uint64_t ns) { return Decimal(static_cast<double>(ns) / kNsPerSecond, 3); }

const std::vector<Column> kMetricColumns = {
    {"metric", ColumnType::kText}, {"kind", ColumnType::kText, false}, {"unit", ColumnType::kText},
    {"value", ColumnType::kCount}, {"count", ColumnType::kCount},      {"p50", ColumnType::kCount},
    {"p99", ColumnType::kCount},   {"p999", ColumnType::kCount},       {"max", ColumnType::kCount},
    {"help", ColumnType::kText}};
const std::vector<Column> kBatchColumns = {
    {"batch", ColumnType::kCount},     {"file", ColumnType::kCount},
    {"records", ColumnType::kCount},   {"bytes", ColumnType::kSize},
    {"waiting", ColumnType::kCount},   {"queue_ns", ColumnType::kCount},
    {"encode_ns", ColumnType::kCount}, {"write_ns", ColumnType::kCount},
    {"sync_ns", ColumnType::kCount},   {"notify_ns", ColumnType::kCount},
    {"stage", ColumnType::kText}};

const std::vector<Column> kClientColumns = {
    {"client", ColumnType::kCount},       {"state", ColumnType::kText},
    {"pid", ColumnType::kCount},          {"uid", ColumnType::kCount},
    {"seconds", ColumnType::kDecimal},    {"logs", ColumnType::kCount},
    {"logs_max", ColumnType::kCount},     {"writers", ColumnType::kCount},
    {"writers_max", ColumnType::kCount},  {"memory", ColumnType::kSize},
    {"memory_max", ColumnType::kSize},    {"records", ColumnType::kCount},
    {"bytes", ColumnType::kSize},         {"requests", ColumnType::kCount},
    {"refused", ColumnType::kCount},      {"read_entries", ColumnType::kCount},
    {"reason", ColumnType::kText}};

std::vector<Cell> MetricRow(const StatMetric& metric, std::int64_t now_ns, bool for_people) {
  std::vector<Cell> row = {metric.name, std::string(StatKindName(metric.kind)),
                           metric.unit, StatValue(metric.kind, metric.value, now_ns),
                           Cell{},      Cell{},
                           Cell{},      Cell{},
                           Cell{},      metric.help};
  if (metric.kind != StatKind::kHistogram) return row;
  const HistogramCounts& counts = metric.histogram;
  if (for_people) row[3] = Cell{};  // A sum of waits tells nobody anything.
  row[4] = counts.count;
  row[5] = counts.Quantile(0.5);
  row[6] = counts.Quantile(0.99);
  row[7] = counts.Quantile(0.999);
  row[8] = counts.max;
  return row;
}

std::vector<Cell> BatchRow(const BatchRecord& batch) {
  return {batch.batch,
          batch.file,
          batch.records,
          batch.bytes,
          batch.waiting,
          batch.oldest_wait_ns,
          batch.encode_ns,
          batch.write_ns,
          batch.sync_ns,
          batch.notify_ns,
          std::string(BatchStageName(batch.stage))};
}

/// `seconds`: so long it has been attached, or was.
std::vector<Cell> ClientCells(const ClientRecord& client, std::int64_t now_ns) {
  const std::int64_t end_ns = client.gone_ns != 0 ? client.gone_ns : now_ns;
  const auto attached_ns = std::max<std::int64_t>(end_ns - client.attached_ns, 0);
  return {client.ordinal,
          std::string(ClientStateName(client.state)),
          client.pid,
          client.uid,
          static_cast<double>(attached_ns) / kNsPerSecond,
          client.logs,
          client.logs_max,
          client.rings,
          client.rings_max,
          client.memory_bytes,
          client.memory_bytes_max,
          client.records,
          client.bytes,
          client.requests,
          client.refused,
          client.read_entries,
          client.reason.empty() ? Cell{} : Cell{client.reason}};
}

const std::vector<Column>& ColumnsBy(std::string_view by) {
  if (by == "client") return kClientColumns;
  return by == "batch" ? kBatchColumns : kMetricColumns;
}

/// How many rows that was.
std::size_t AddRows(const LiveStatOptions& options, const LiveStats& stats, Sheet& sheet) {
  if (options.by == "batch") {
    for (const BatchRecord& batch : stats.page.batches) sheet.Add(BatchRow(batch));
    return stats.page.batches.size();
  }
  if (options.by == "client") {
    for (const ClientRecord& client : stats.page.clients) {
      sheet.Add(ClientCells(client, stats.now_ns));
    }
    return stats.page.clients.size();
  }
  const bool for_people = options.output.format == Format::kTable;
  for (const StatMetric& metric : stats.page.metrics) {
    sheet.Add(MetricRow(metric, stats.now_ns, for_people));
  }
  return stats.page.metrics.size();
}

}  // namespace

HistogramCounts LiveStats::Histogram(std::string_view name) const {
  const StatMetric* metric = page.Find(name);
  return metric == nullptr ? HistogramCounts() : metric->histogram;
}

std::string LiveStats::Sentence() const {
  std::string text = "process " + std::to_string(page.identity.pid) + ", boot " +
                     std::to_string(page.identity.boot) + ": ";
  if (!running) {
    text += "not running";
    const bool under_way = !page.batches.empty() && page.batches.back().stage != BatchStage::kDone;
    if (under_way)
      text += "; it ended " + std::string("while batch ") +
              std::to_string(page.batches.back().batch) + " was " +
              BatchStageName(page.batches.back().stage);
    return text;
  }
  text += "the WAL is " + std::string(StateName(Value("wal_state")));
  const std::uint64_t stalls = Value("wal_stalls");
  if (stalls > 0) text += "; " + Plural(stalls, "stall") + " so far";
  constexpr std::uint64_t kLongNs = 100'000'000;
  const std::uint64_t in_flight = Value("wal_in_flight_ns");
  if (in_flight > kLongNs) {
    text += "; a write and its sync have been under way for " + Seconds(in_flight) + " s";
  }
  const std::uint64_t faulty = Value("faulty_logs");
  if (faulty > 0) text += "; " + Plural(faulty, "log") + " faulty";
  return text;
}

Result<LiveStats> ReadLive(const std::string& data_dir) {
  const SystemUuid system = TRY(SystemOf(data_dir));
  const Result<StatCopy> copy = ReadStatMemory(data_dir);
  if (!copy.ok() && copy.error().code == ErrorCode::kNotFound) return NobodyCounts(data_dir);
  if (!copy.ok()) return copy.error();
  LiveStats stats;
  stats.page = TRY(StatPageRead(copy->bytes));
  stats.running = copy->in_use;
  // Names of directories that are gone may be given again.
  const bool other = !system.is_nil() && stats.page.identity.system != system;
  if (other) return NobodyCounts(data_dir);
  stats.now_ns = SystemClock().NowNs();
  if (!stats.running) {
    stats.now_ns = stats.page.identity.started_ns;
    for (const BatchRecord& batch : stats.page.batches) {
      stats.now_ns = std::max(stats.now_ns, batch.stage_at_ns);
    }
  }
  return stats;
}

ExitCode RefuseLive(Terminal& terminal, const Error& error) {
  terminal.Complain(error);
  return error.code == ErrorCode::kCorruption ? ExitCode::kUnreadable : ExitCodeOf(error.code);
}

Status CheckUsage(const LiveStatOptions& options) {
  if (options.by == "metric" || options.by == "batch" || options.by == "client") return {};
  return Error{ErrorCode::kInvalidArgument, "--by " + options.by + " is not possible with --live",
               "--by metric, --by batch or --by client"};
}

ExitCode RunLiveStat(const LiveStatOptions& options, Terminal& terminal) {
  const Status usage = CheckUsage(options);
  if (!usage.ok()) return RefuseLive(terminal, usage.error());
  const Result<LiveStats> stats = ReadLive(options.path);
  if (!stats.ok()) return RefuseLive(terminal, stats.error());
  Sheet sheet(terminal, options.output, options.by, ColumnsBy(options.by));
  const std::size_t rows = AddRows(options, *stats, sheet);
  const StatIdentity& identity = stats->page.identity;
  const auto up_ns =
      static_cast<std::uint64_t>(std::max<std::int64_t>(stats->now_ns - identity.started_ns, 0));
  const Field summary[] = {
      {"running", ColumnType::kFlag, stats->running},
      {"pid", ColumnType::kCount, identity.pid},
      {"boot", ColumnType::kCount, identity.boot},
      {"seconds_up", ColumnType::kDecimal, static_cast<double>(up_ns) / kNsPerSecond},
      {"started_unix_ms", ColumnType::kCount, static_cast<std::uint64_t>(identity.started_unix_ms)},
      {"sentence", ColumnType::kText, stats->Sentence()}};
  const std::string told = options.by == "batch" && rows != 1 ? std::to_string(rows) + " batches"
                                                              : Plural(rows, options.by);
  sheet.Finish(told + " of " + stats->Sentence(),
               summary);
  return ExitCode::kClean;
}

}  // namespace duramen::tools
