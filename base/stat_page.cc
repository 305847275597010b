#include "base/stat_page.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <optional>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"

namespace duramen {
namespace {

constexpr std::uint64_t kMagic = 0x3141545341525544ULL;  // "DURASTA1"
constexpr std::uint64_t kSeed = 0x53544154'50414745ULL;
constexpr std::size_t kAlign = 64;

struct Header {
  std::uint64_t magic = 0;
  std::uint32_t version = 0;
  std::uint32_t metrics = 0;
  std::uint64_t checksum = 0;  // of what stands behind it, to the end of the table
  std::uint64_t size_bytes = 0;
  std::uint64_t values_at = 0;
  std::uint64_t system[2] = {};
  std::uint64_t boot = 0;
  std::uint64_t pid = 0;
  std::int64_t started_unix_ms = 0;
  std::int64_t started_ns = 0;
  char data_dir[2048] = {};
  std::byte reserved[1960] = {};
};
static_assert(sizeof(Header) == kStatHeaderBytes);
constexpr std::size_t kCheckedAt = offsetof(Header, size_bytes);

struct Row {
  char name[48] = {};
  char unit[16] = {};
  char help[176] = {};
  std::uint32_t kind = 0;
  std::uint32_t bytes = 0;
  std::uint64_t offset = 0;
};
static_assert(sizeof(Row) == kStatMetricBytes);

template <std::size_t kSize>
void Put(char (&to)[kSize], std::string_view text) {
  std::memcpy(to, text.data(), std::min(text.size(), kSize - 1));
}
template <std::size_t kSize>
std::string Text(const char (&from)[kSize]) {
  return {from, ::strnlen(from, kSize)};
}

std::size_t TableEnd(std::size_t metrics) { return kStatHeaderBytes + metrics * kStatMetricBytes; }

Error NoPage(const std::string& why) {
  return {ErrorCode::kCorruption, "the statistics page cannot be used: " + why,
          "it is made anew when the store is started again"};
}

/// What is wrong with the header of `copy`; nothing: all of the table is there.
std::optional<Error> Judge(const Header& header, Bytes copy) {
  if (header.magic != kMagic) return NoPage("it does not begin as one");
  if (header.version != kStatVersion) {
    return Error{ErrorCode::kUnknownVersion,
                 "the statistics page has version " + std::to_string(header.version) +
                     "; this program knows " + std::to_string(kStatVersion),
                 "use the duramen of the release that runs the store"};
  }
  if (header.size_bytes != copy.size()) return NoPage("it is cut short or too long");
  if (header.metrics > kStatMetricsMax || TableEnd(header.metrics) > copy.size()) {
    return NoPage("its table does not fit");
  }
  if (header.values_at < TableEnd(header.metrics) || header.values_at > copy.size() ||
      header.values_at % kAlign != 0) {
    return NoPage("its values do not fit");
  }
  const Bytes checked = copy.subspan(kCheckedAt, TableEnd(header.metrics) - kCheckedAt);
  if (header.checksum != Checksum(checked, kSeed)) return NoPage("its checksum is wrong");
  return std::nullopt;
}

HistogramCounts HistogramOf(Bytes value) {
  HistogramCounts counts;
  counts.sum = LoadLe<std::uint64_t>(value.data());
  counts.max = LoadLe<std::uint64_t>(value.data() + 8);
  for (std::size_t i = 0; i < counts.buckets.size(); ++i) {
    counts.buckets[i] = LoadLe<std::uint64_t>(value.data() + 8 * (2 + i));
    counts.count += counts.buckets[i];
  }
  return counts;
}

}  // namespace

const char* StatKindName(StatKind kind) noexcept {
  switch (kind) {
    case StatKind::kCounter:
      return "counter";
    case StatKind::kGauge:
    case StatKind::kSince:
      return "gauge";
    case StatKind::kHistogram:
      return "histogram";
    case StatKind::kBatches:
      return "batches";
    case StatKind::kClients:
      return "clients";
  }
  return "unknown";
}

std::size_t StatValueBytes(StatKind kind) {
  if (kind == StatKind::kHistogram) return sizeof(Histogram);
  if (kind == StatKind::kClients) return sizeof(ClientTable);
  return kind == StatKind::kBatches ? sizeof(FlightRecorder) : 8;
}

std::size_t StatValuesAt(const StatLayout& layout) {
  return (TableEnd(layout.specs.size()) + kAlign - 1) / kAlign * kAlign;
}

std::size_t StatPageBytes(const StatLayout& layout) {
  return StatValuesAt(layout) + layout.values_bytes;
}

void StatPageWrite(std::span<std::byte> page, const StatLayout& layout,
                   const StatIdentity& identity) {
  CHECK(page.size() == StatPageBytes(layout) && layout.specs.size() <= kStatMetricsMax);
  CHECK(page.size() <= kStatPageBytesMax);
  for (std::size_t i = 0; i < layout.specs.size(); ++i) {
    const StatSpec& spec = layout.specs[i];
    Row row;
    Put(row.name, spec.name);
    Put(row.unit, spec.unit);
    Put(row.help, spec.help);
    row.kind = static_cast<std::uint32_t>(spec.kind);
    row.bytes = static_cast<std::uint32_t>(StatValueBytes(spec.kind));
    row.offset = spec.offset;
    CHECK(spec.offset % 8 == 0 && spec.offset + row.bytes <= layout.values_bytes);
    std::memcpy(page.data() + TableEnd(i), &row, sizeof row);
  }
  Header header{.version = kStatVersion,
                .metrics = static_cast<std::uint32_t>(layout.specs.size()),
                .size_bytes = page.size(),
                .values_at = StatValuesAt(layout),
                .boot = identity.boot,
                .pid = identity.pid,
                .started_unix_ms = identity.started_unix_ms,
                .started_ns = identity.started_ns};
  std::memcpy(header.system, &identity.system, sizeof header.system);
  static_assert(sizeof(identity.system) == sizeof header.system);
  Put(header.data_dir, identity.data_dir);
  std::memcpy(page.data(), &header, sizeof header);
  const std::uint64_t checksum =
      Checksum(page.subspan(kCheckedAt, TableEnd(layout.specs.size()) - kCheckedAt), kSeed);
  std::memcpy(page.data() + offsetof(Header, checksum), &checksum, sizeof checksum);
  // Last: who finds it finds all of the above.
  std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(page.data()))
      .store(kMagic, std::memory_order_release);
}

Result<StatReading> StatPageRead(Bytes copy) {
  Header header;
  if (copy.size() < sizeof header) return NoPage("it is cut short");
  if (copy.size() > kStatPageBytesMax) return NoPage("it is too long");
  std::memcpy(&header, copy.data(), sizeof header);
  if (const std::optional<Error> wrong = Judge(header, copy)) return *wrong;
  StatReading reading;
  reading.identity = {.boot = header.boot,
                      .pid = header.pid,
                      .started_unix_ms = header.started_unix_ms,
                      .started_ns = header.started_ns,
                      .data_dir = Text(header.data_dir)};
  std::memcpy(&reading.identity.system, header.system, sizeof header.system);
  const Bytes values = copy.subspan(header.values_at);
  for (std::size_t i = 0; i < header.metrics; ++i) {
    Row row;
    std::memcpy(&row, copy.data() + TableEnd(i), sizeof row);
    const auto kind = static_cast<StatKind>(row.kind);
    if (kind < StatKind::kCounter || kind > StatKind::kClients) continue;  // Of a later release.
    if (row.bytes != StatValueBytes(kind)) return NoPage("a value has another size than its kind");
    if (row.offset > values.size() || row.bytes > values.size() - row.offset) {
      return NoPage("a value lies outside of it");
    }
    const Bytes value = values.subspan(row.offset, row.bytes);
    if (kind == StatKind::kBatches) {
      reading.batches = ReadBatches(value);
      continue;
    }
    if (kind == StatKind::kClients) {
      reading.clients = ReadClients(value);
      continue;
    }
    StatMetric metric{.name = Text(row.name),
                      .unit = Text(row.unit),
                      .help = Text(row.help),
                      .kind = kind,
                      .value = LoadLe<std::uint64_t>(value.data()),
                      .histogram = {}};
    if (kind == StatKind::kHistogram) metric.histogram = HistogramOf(value);
    reading.metrics.push_back(std::move(metric));
  }
  return reading;
}

const StatMetric* StatReading::Find(std::string_view name) const {
  for (const StatMetric& metric : metrics) {
    if (metric.name == name) return &metric;
  }
  return nullptr;
}

std::uint64_t StatReading::ValueOf(std::string_view name, std::int64_t now_ns) const {
  const StatMetric* metric = Find(name);
  return metric == nullptr ? 0 : StatValue(metric->kind, metric->value, now_ns);
}

std::uint64_t StatValue(StatKind kind, std::uint64_t value, std::int64_t now_ns) {
  if (kind != StatKind::kSince) return value;
  const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(now_ns, 0));
  return value == 0 || value > now ? 0 : now - value;
}

}  // namespace duramen
