#include "base/flight_recorder.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checksum.h"

namespace duramen {
namespace {

constexpr std::size_t kWords = sizeof(BatchRecord) / 8;
using Words = std::array<std::uint64_t, kWords>;
static_assert(sizeof(Words) == sizeof(BatchRecord));

std::uint64_t CheckOf(const Words& words) {
  return Checksum(std::as_bytes(std::span(words)), 0x4641524C42415443ULL);
}

/// Nothing where the words do not belong together.
void Take(const Words& words, std::uint64_t check, std::vector<BatchRecord>& records) {
  const auto record = std::bit_cast<BatchRecord>(words);
  const bool known = record.stage <= BatchStage::kFailed;
  if (record.ordinal != 0 && known && check == CheckOf(words)) records.push_back(record);
}

std::vector<BatchRecord> Sorted(std::vector<BatchRecord> records) {
  std::sort(records.begin(), records.end(),
            [](const BatchRecord& a, const BatchRecord& b) { return a.ordinal < b.ordinal; });
  return records;
}

/// "12.345 ms".
std::string Milliseconds(std::uint64_t ns) {
  const std::uint64_t us = ns / 1000;
  const std::string fraction = std::to_string(us % 1000);
  return std::to_string(us / 1000) + "." + std::string(3 - fraction.size(), '0') + fraction + " ms";
}

}  // namespace

const char* BatchStageName(BatchStage stage) noexcept {
  switch (stage) {
    case BatchStage::kEncoding:
      return "encoding";
    case BatchStage::kWriting:
      return "writing";
    case BatchStage::kSyncing:
      return "syncing";
    case BatchStage::kNotifying:
      return "notifying";
    case BatchStage::kDone:
      return "done";
    case BatchStage::kFailed:
      return "failed";
  }
  return "unknown";
}

std::string BatchRecord::ToText() const {
  std::string text = "batch " + std::to_string(batch) + " in file " + std::to_string(file) + ": " +
                     std::to_string(records) + " records, " + std::to_string(bytes) + " bytes, " +
                     std::to_string(waiting) + " waiting, queue " + Milliseconds(oldest_wait_ns) +
                     ", encode " + Milliseconds(encode_ns) + ", write " + Milliseconds(write_ns) +
                     ", sync " + Milliseconds(sync_ns) + ", notify " + Milliseconds(notify_ns);
  if (stage != BatchStage::kDone) text += std::string(", ") + BatchStageName(stage);
  return text;
}

void FlightRecorder::Put(const BatchRecord& record) noexcept {
  const auto words = std::bit_cast<Words>(record);
  Slot& slot = slots_[record.ordinal % kSlots];
  for (std::size_t i = 0; i < kWords; ++i) slot[i].store(words[i], std::memory_order_relaxed);
  slot[kWords].store(CheckOf(words), std::memory_order_relaxed);
}

std::vector<BatchRecord> FlightRecorder::Last(std::size_t count) const {
  std::vector<BatchRecord> records;
  records.reserve(kSlots);
  for (const Slot& slot : slots_) {
    Words words;
    for (std::size_t i = 0; i < kWords; ++i) words[i] = slot[i].load(std::memory_order_relaxed);
    Take(words, slot[kWords].load(std::memory_order_relaxed), records);
  }
  records = Sorted(std::move(records));
  if (records.size() > count) records.erase(records.begin(), records.end() - count);
  return records;
}

std::vector<BatchRecord> ReadBatches(Bytes bytes) {
  std::vector<BatchRecord> records;
  for (std::size_t at = 0; at + FlightRecorder::kSlotBytes <= bytes.size();
       at += FlightRecorder::kSlotBytes) {
    Words words;
    std::uint64_t check = 0;
    std::memcpy(words.data(), bytes.data() + at, sizeof words);
    std::memcpy(&check, bytes.data() + at + sizeof words, sizeof check);
    Take(words, check, records);
  }
  return Sorted(std::move(records));
}

}  // namespace duramen
