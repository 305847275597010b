#include "base/types.h"

#include <cstring>

namespace duramen {
namespace {

// Crockford's alphabet, lower case: no i, l, o, u. The first of 26 characters carries the 3 bits
// that 25 x 5 leave over.
constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::size_t kUidCharacters = 26;

Error NotAUid(std::string_view text) {
  return {.code = ErrorCode::kInvalidArgument,
          .message = "'" + std::string(text.substr(0, 64)) + "' is not a uid",
          .hint = "a uid has 26 characters out of " + std::string(kAlphabet)};
}

/// The 5 bits of a character, or a number above 31.
std::uint32_t DigitOf(char character) {
  const char lower =
      character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
  return static_cast<std::uint32_t>(kAlphabet.find(lower));  // npos is cut to UINT32_MAX.
}

}  // namespace

std::string Uid128::ToString() const {
  std::string text(kUidCharacters, '0');
  std::uint32_t pending = 0;  // the bits read and not yet printed
  int pending_bits = 2;       // two zero bits in front make 130
  std::size_t at = 0;
  for (const std::uint8_t byte : bytes) {
    pending = (pending << 8 | byte) & 0xFFFF;
    pending_bits += 8;
    while (pending_bits >= 5) {
      pending_bits -= 5;
      text[at++] = kAlphabet[pending >> pending_bits & 31];
    }
  }
  return text;
}

Result<Uid128> Uid128::Parse(std::string_view text) {
  if (text.size() != kUidCharacters) return NotAUid(text);
  Uid128 uid;
  std::uint32_t pending = 0;
  int pending_bits = -2;
  std::size_t at = 0;
  for (const char character : text) {
    const std::uint32_t digit = DigitOf(character);
    if (digit > 31) return NotAUid(text);
    if (at == 0 && pending_bits == -2 && digit > 7) return NotAUid(text);  // over 128 bits
    pending = (pending << 5 | digit) & 0xFFFF;
    pending_bits += 5;
    if (pending_bits >= 8) {
      pending_bits -= 8;
      uid.bytes[at++] = static_cast<std::uint8_t>(pending >> pending_bits);
    }
  }
  return uid;
}

std::size_t Uid128Hash::operator()(const Uid128& uid) const noexcept {
  std::uint64_t halves[2];
  std::memcpy(halves, uid.bytes.data(), sizeof halves);
  return halves[0] ^ halves[1];  // The bits are random already.
}

}  // namespace duramen
