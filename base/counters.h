// Counters and gauges, declared once with name, unit and help. Written by one thread each with a
// plain add, read by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace duramen {

struct CounterSpec {
  std::string_view name;  // "wal_batches"
  std::string_view unit;  // "batches", "bytes", "ns"
  std::string_view help;
};

class Counter {
 public:
  /// Only one thread adds; a load and a store are cheaper than a locked add.
  void Add(std::uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace duramen
