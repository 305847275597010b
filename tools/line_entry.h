// How `load` keeps line N of its input: in the log of server ServerOfLine(N), as an entry whose
// payload is the line's number in 12 digits, a blank, and the line. So each log's last entry says
// how far that log got, and `dump --format raw | sort` gives the input back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace duramen::tools {

inline constexpr std::size_t kLineNumberDigits = 12;
inline constexpr std::uint8_t kLineKind = 128;

/// The same for every run, so that a resumed load finds its lines: [0, servers).
constexpr std::uint64_t ServerOfLine(std::uint64_t line, std::uint64_t servers) {
  std::uint64_t mixed = line * 0x9E3779B97F4A7C15ULL;  // splitmix64
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  return (mixed ^ (mixed >> 31)) % servers;
}

/// "load-00007".
std::string ServerName(std::uint64_t server);

/// Replaces `payload`.
void EncodeLine(std::uint64_t line, std::string_view text, std::string& payload);

struct DecodedLine {
  std::uint64_t line = 0;
  std::string_view text;
};
/// Nothing when `payload` is not one of EncodeLine's.
std::optional<DecodedLine> DecodeLine(std::string_view payload);

}  // namespace duramen::tools
