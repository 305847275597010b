// Hostile statistics pages. Bit 0 of the first byte makes size and checksum right first.
#include <cstring>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/stat_page.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen;
  if (size == 0) return 0;
  const Bytes rest = std::as_bytes(std::span(input, size)).subspan(1);
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  if ((input[0] & 1) != 0 && bytes.size() >= kStatHeaderBytes) {
    StoreLe<std::uint64_t>(bytes.data() + 24, bytes.size());
    const std::uint64_t end =
        kStatHeaderBytes +
        std::uint64_t{LoadLe<std::uint32_t>(bytes.data() + 12)} * kStatMetricBytes;
    if (end <= bytes.size()) {
      StoreLe(bytes.data() + 16,
              Checksum(Bytes(bytes).subspan(24, end - 24), 0x53544154'50414745ULL));
    }
  }
  const Result<StatReading> page = StatPageRead(bytes);
  if (!page.ok()) return 0;
  for (const StatMetric& metric : page->metrics) {
    CHECK(page->Find(metric.name) != nullptr);
    (void)StatValue(metric.kind, metric.value, INT64_MAX);
    if (metric.kind == StatKind::kHistogram) (void)metric.histogram.Quantile(0.99);
  }
  for (const BatchRecord& batch : page->batches) (void)batch.ToText();
  return 0;
}
