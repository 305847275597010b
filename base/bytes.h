// Little-endian reads and writes of plain integers, and views between bytes and text.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "duramen/types.h"

namespace duramen {

static_assert(std::endian::native == std::endian::little, "formats are little-endian");

inline Bytes AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view AsText(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename T>
T LoadLe(const std::byte* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
void StoreLe(std::byte* to, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
}

/// Appends to a growing buffer.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>& out) : out_(out) {}
  template <typename T>
  void Put(T value) {
    const std::size_t at = out_.size();
    out_.resize(at + sizeof value);
    StoreLe(out_.data() + at, value);
  }
  void PutBytes(Bytes bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  /// Length (u32) and bytes.
  void PutString(std::string_view text) {
    Put(static_cast<std::uint32_t>(text.size()));
    PutBytes(AsBytes(text));
  }

 private:
  std::vector<std::byte>& out_;
};

/// Reads a hostile buffer: every read is checked, a failed one makes ok() false for good and
/// yields zeros. Nothing is allocated by an unchecked length.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}
  template <typename T>
  T Get() {
    if (bytes_.size() < sizeof(T)) return Fail<T>();
    T value = LoadLe<T>(bytes_.data());
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  Bytes GetBytes(std::size_t size) {
    if (bytes_.size() < size) {
      Fail<int>();
      return {};
    }
    Bytes taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  std::string GetString() { return std::string(AsText(GetBytes(Get<std::uint32_t>()))); }
  /// All that is left.
  Bytes Rest() { return GetBytes(remaining()); }
  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && bytes_.empty(); }
  std::size_t remaining() const { return bytes_.size(); }

 private:
  template <typename T>
  T Fail() {
    ok_ = false;
    bytes_ = {};
    return T{};
  }
  Bytes bytes_;
  bool ok_ = true;
};

inline constexpr std::uint64_t RoundUp(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace duramen
