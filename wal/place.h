// Where a WAL file lies.
#pragma once

#include <cstddef>
#include <cstdint>

namespace duramen::wal {

/// In wal_dir, or in the fail-over directory.
enum class Place : std::uint8_t { kHome, kAway };
inline constexpr std::size_t kPlaces = 2;
constexpr Place Other(Place place) { return place == Place::kHome ? Place::kAway : Place::kHome; }

}  // namespace duramen::wal
