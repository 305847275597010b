// The statistics page: what a process counts, laid out so that another one can read it without
// asking and without knowing this build. It opens with a header and a table of its metrics (name,
// unit, kind, help, place); behind them are the values, which the process counts in place. No
// pointers; integers as the machine has them (little-endian, as everywhere).
//
//   [0, 4096)                  header: whose page it is; its checksum covers the table too
//   [4096, 4096 + 256 * n)     the table
//   [values_at, size)          the values, 64-byte aligned
//
// Distrust: a reader copies the page first (base/stat_memory.h) and every place is held against the
// size of the copy before it is followed. Pure, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/client_table.h"
#include "base/flight_recorder.h"
#include "base/histogram.h"
#include "base/types.h"
#include "duramen/result.h"

namespace duramen {

inline constexpr std::uint32_t kStatVersion = 1;
inline constexpr std::size_t kStatHeaderBytes = 4096;
inline constexpr std::size_t kStatMetricBytes = 256;
inline constexpr std::size_t kStatMetricsMax = 1024;
inline constexpr std::size_t kStatPageBytesMax = 4 << 20;

enum class StatKind : std::uint32_t {
  kCounter = 1,    // only grows
  kGauge = 2,      // as it is now
  kSince = 3,      // a Clock::NowNs, told as how long ago that was; 0: not now
  kHistogram = 4,  // base/histogram.h
  kBatches = 5,    // base/flight_recorder.h
  kClients = 6,    // base/client_table.h
};
const char* StatKindName(StatKind kind) noexcept;

/// One row of the table. Texts are cut to what the table has room for: 47, 15 and 175 bytes.
struct StatSpec {
  std::string_view name;  // "wal_batches"
  std::string_view unit;  // "batches", "bytes", "ns"
  std::string_view help;
  StatKind kind = StatKind::kCounter;
  std::size_t offset = 0;  // in the values
};
/// Of one value of that kind.
std::size_t StatValueBytes(StatKind kind);

struct StatIdentity {
  SystemUuid system;
  std::uint64_t boot = 0;
  std::uint64_t pid = 0;
  std::int64_t started_unix_ms = 0;
  std::int64_t started_ns = 0;  // Clock::NowNs
  std::string data_dir;         // at most 2047 bytes of it
};

struct StatLayout {
  std::span<const StatSpec> specs;
  std::size_t values_bytes = 0;
};
std::size_t StatPageBytes(const StatLayout& layout);
/// Where the values go in a page of that layout.
std::size_t StatValuesAt(const StatLayout& layout);
/// Writes header and table; the last store makes the page valid, so the values stand there before.
/// Requires: StatPageBytes(layout) zeroed, 64-byte aligned.
void StatPageWrite(std::span<std::byte> page, const StatLayout& layout,
                   const StatIdentity& identity);

/// One metric of a page that was read.
struct StatMetric {
  std::string name;
  std::string unit;
  std::string help;
  StatKind kind = StatKind::kCounter;
  std::uint64_t value = 0;    // of a histogram: its sum
  HistogramCounts histogram;  // of a histogram
};
struct StatReading {
  StatIdentity identity;
  std::vector<StatMetric> metrics;    // without batches and clients
  std::vector<BatchRecord> batches;   // oldest first
  std::vector<ClientRecord> clients;  // of a WAL process, in the order in which they came
  /// Null: there is none.
  const StatMetric* Find(std::string_view name) const;
  /// 0 where there is none. Of a kSince how long ago it was, seen from `now_ns`.
  std::uint64_t ValueOf(std::string_view name, std::int64_t now_ns) const;
};
/// The value as people and programs see it: of a kSince how long ago it was.
std::uint64_t StatValue(StatKind kind, std::uint64_t value, std::int64_t now_ns);

/// Errors: kUnknownVersion; kCorruption (any bytes that are not a page: what contradicts what).
Result<StatReading> StatPageRead(Bytes copy);

}  // namespace duramen
