// Rows of hostile bytes: the first byte is the kind, the rest the payload. Whatever decodes must
// encode to the same bytes, and be of the kind that was asked for.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "meta/row.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  if (size == 0) return 0;
  const duramen::Bytes payload = std::as_bytes(std::span(input, size)).subspan(1);
  const duramen::Result<duramen::meta::Row> row = duramen::meta::DecodeRow(input[0], payload);
  if (!row.ok()) return 0;
  CHECK(static_cast<std::uint8_t>(duramen::meta::KindOf(*row)) == input[0]);
  const std::vector<std::byte> again = duramen::meta::EncodeRow(*row);
  CHECK(std::equal(again.begin(), again.end(), payload.begin(), payload.end()));
  return 0;
}
