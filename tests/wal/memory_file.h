// A file whose bytes lie in memory: what codecs and scans are tested on. One thread.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "base/io.h"

namespace duramen::testing {

class MemoryFile final : public File {
 public:
  explicit MemoryFile(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const std::size_t size = std::min<std::size_t>(out.size(), bytes_.size() - offset);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), size, out.begin());
    return size;
  }
  Status Write(std::uint64_t offset, Bytes in) override {
    bytes_.resize(std::max<std::size_t>(bytes_.size(), offset + in.size()));
    std::copy(in.begin(), in.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
  }
  Status SyncData() override { return {}; }
  Status SyncAll() override { return {}; }
  Status Allocate(std::uint64_t size) override { return Truncate(size); }
  Status Truncate(std::uint64_t size) override {
    bytes_.resize(size);
    return {};
  }
  Result<std::uint64_t> SizeBytes() const override { return std::uint64_t{bytes_.size()}; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace duramen::testing
