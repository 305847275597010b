#include "meta/row.h"

#include <type_traits>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace duramen::meta {
namespace {

/// The first byte of every payload, per kind: how what follows is laid out.
constexpr std::uint8_t kLayout = 1;

// Encoding: the fields in the order of the struct, without padding.

struct Encoder {
  ByteWriter& out;
  void operator()(const IdentityRow& row) const {
    for (const std::uint8_t byte : row.uid.bytes) out.Put(byte);
    out.PutString(row.name);
    out.PutString(row.node);
    out.Put<std::uint64_t>(row.cluster_id);
    out.Put<std::uint64_t>(row.incarnation);
  }
  void operator()(const VoteRow& row) const {
    out.Put<std::uint64_t>(row.term);
    out.PutString(row.voted_for);
  }
  void operator()(const LastAppliedRow& row) const { out.Put<std::uint64_t>(row.index); }
  void operator()(const BoundsRow& row) const {
    out.Put<std::uint64_t>(row.begin);
    out.Put<std::uint64_t>(row.term_before_begin);
    out.Put<std::uint64_t>(row.end);
    out.Put<std::uint64_t>(row.last_term);
    out.Put<std::uint64_t>(row.epoch);
  }
  void operator()(const ValueRow& row) const {
    out.PutString(row.key);
    out.PutString(row.value);
  }
  void operator()(const FaultyRow& row) const {
    out.Put<std::uint64_t>(row.from);
    out.Put<std::uint64_t>(row.to);
    out.Put<std::uint8_t>(row.rows_lost ? 1 : 0);
    out.PutString(row.reason);
  }
  void operator()(const TombstoneRow&) const {}
  void operator()(const FlushedRow& row) const {
    out.Put<std::uint64_t>(row.segment);
    out.Put<std::uint64_t>(row.segment_bytes);
    out.Put<std::uint64_t>(row.end);
    out.Put<std::uint64_t>(row.last_term);
    out.Put<std::uint64_t>(row.epoch);
    out.Put<std::uint64_t>(row.segment_begin);
  }
};

/// A string whose length is checked against its limit before anything is allocated.
std::string GetLimited(ByteReader& in, std::size_t limit) {
  const auto size = in.Get<std::uint32_t>();
  // Asking for more than there is makes the reader fail for good.
  return std::string(AsText(in.GetBytes(size <= limit ? size : in.remaining() + 1)));
}

IdentityRow GetIdentity(ByteReader& in) {
  IdentityRow row;
  for (std::uint8_t& byte : row.uid.bytes) byte = in.Get<std::uint8_t>();
  row.name = GetLimited(in, kNameBytesMax);
  row.node = GetLimited(in, kNameBytesMax);
  row.cluster_id = in.Get<std::uint64_t>();
  row.incarnation = in.Get<std::uint64_t>();
  return row;
}

VoteRow GetVote(ByteReader& in) {
  VoteRow row;
  row.term = in.Get<std::uint64_t>();
  row.voted_for = GetLimited(in, kNameBytesMax);
  return row;
}

BoundsRow GetBounds(ByteReader& in) {
  BoundsRow row;
  row.begin = in.Get<std::uint64_t>();
  row.term_before_begin = in.Get<std::uint64_t>();
  row.end = in.Get<std::uint64_t>();
  row.last_term = in.Get<std::uint64_t>();
  row.epoch = in.Get<std::uint64_t>();
  return row;
}

ValueRow GetValue(ByteReader& in) {
  ValueRow row;
  row.key = GetLimited(in, kNameBytesMax);
  row.value = GetLimited(in, kValueBytesMax);
  return row;
}

/// `rows_lost` may only be 0 or 1; another byte would not survive a round trip.
FaultyRow GetFaulty(ByteReader& in, bool& well_formed) {
  FaultyRow row;
  row.from = in.Get<std::uint64_t>();
  row.to = in.Get<std::uint64_t>();
  const auto rows_lost = in.Get<std::uint8_t>();
  well_formed = rows_lost <= 1;
  row.rows_lost = rows_lost == 1;
  row.reason = GetLimited(in, kReasonBytesMax);
  return row;
}

FlushedRow GetFlushed(ByteReader& in) {
  FlushedRow row;
  row.segment = in.Get<std::uint64_t>();
  row.segment_bytes = in.Get<std::uint64_t>();
  row.end = in.Get<std::uint64_t>();
  row.last_term = in.Get<std::uint64_t>();
  row.epoch = in.Get<std::uint64_t>();
  row.segment_begin = in.Get<std::uint64_t>();
  return row;
}

Row GetRow(RowKind kind, ByteReader& in, bool& well_formed) {
  switch (kind) {
    case RowKind::kIdentity:
      return GetIdentity(in);
    case RowKind::kVote:
      return GetVote(in);
    case RowKind::kLastApplied:
      return LastAppliedRow{in.Get<std::uint64_t>()};
    case RowKind::kBounds:
      return GetBounds(in);
    case RowKind::kValue:
      return GetValue(in);
    case RowKind::kFaulty:
      return GetFaulty(in, well_formed);
    case RowKind::kTombstone:
      return TombstoneRow{};
    case RowKind::kFlushed:
      return GetFlushed(in);
  }
  CHECK(false);  // The caller has asked IsRowKind.
  return TombstoneRow{};
}

Error TooLarge(std::string_view what, std::size_t size, std::size_t limit) {
  return {.code = ErrorCode::kTooLarge,
          .message = std::string(what) + " has " + std::to_string(size) + " bytes, the limit is " +
                     std::to_string(limit),
          .hint = "shorten it"};
}

Error Invalid(std::string message) {
  return {.code = ErrorCode::kInvalidArgument, .message = std::move(message), .hint = ""};
}

Error Corrupt(std::uint8_t kind, std::string_view why) {
  return {.code = ErrorCode::kCorruption,
          .message = "a row of kind " + std::to_string(kind) + " " + std::string(why),
          .hint = ""};
}

struct Validator {
  Status operator()(const IdentityRow& row) const {
    if (row.name.empty()) return Invalid("a server's name is empty");
    if (row.name.size() > kNameBytesMax) return TooLarge("a name", row.name.size(), kNameBytesMax);
    if (row.node.size() > kNameBytesMax) {
      return TooLarge("a node's name", row.node.size(), kNameBytesMax);
    }
    return {};
  }
  Status operator()(const VoteRow& row) const {
    if (row.voted_for.size() <= kNameBytesMax) return {};
    return TooLarge("voted_for", row.voted_for.size(), kNameBytesMax);
  }
  Status operator()(const LastAppliedRow&) const { return {}; }
  Status operator()(const BoundsRow& row) const {
    if (row.begin >= 1 && row.end >= row.begin) return {};
    return Invalid("bounds [" + std::to_string(row.begin) + ", " + std::to_string(row.end) +
                   ") are none of a log");
  }
  Status operator()(const ValueRow& row) const {
    if (row.key.empty()) return Invalid("a key is empty");
    if (row.key.size() > kNameBytesMax) return TooLarge("a key", row.key.size(), kNameBytesMax);
    if (row.value.size() <= kValueBytesMax) return {};
    return TooLarge("a value", row.value.size(), kValueBytesMax);
  }
  Status operator()(const FaultyRow& row) const {
    if (row.to != 0 && (row.from == 0 || row.to < row.from)) {
      return Invalid("a faulty range ends before it begins");
    }
    if (row.reason.size() <= kReasonBytesMax) return {};
    return TooLarge("a reason", row.reason.size(), kReasonBytesMax);
  }
  Status operator()(const TombstoneRow&) const { return {}; }
  Status operator()(const FlushedRow& row) const {
    if (row.end == 0) return Invalid("a flushed end of 0 is none of a log");
    if (row.segment != 0) return {};
    if (row.segment_bytes == 0 && row.end == 1 && row.last_term == 0) return {};
    return Invalid("entries below " + std::to_string(row.end) + " are flushed into no segment");
  }
};

}  // namespace

const char* RowKindName(RowKind kind) noexcept {
  switch (kind) {
    case RowKind::kIdentity:
      return "identity";
    case RowKind::kVote:
      return "vote";
    case RowKind::kLastApplied:
      return "last_applied";
    case RowKind::kBounds:
      return "bounds";
    case RowKind::kValue:
      return "value";
    case RowKind::kFaulty:
      return "faulty";
    case RowKind::kTombstone:
      return "tombstone";
    case RowKind::kFlushed:
      return "flushed";
  }
  return "unknown";
}

RowKind KindOf(const Row& row) {
  // The alternatives stand in the order of the kinds.
  static_assert(std::variant_size_v<Row> == kLastRowKind);
  static_assert(std::is_same_v<std::variant_alternative_t<4, Row>, ValueRow>);
  return static_cast<RowKind>(row.index() + kFirstRowKind);
}

std::vector<std::byte> EncodeRow(const Row& row) {
  CHECK(ValidateRow(row).ok());
  std::vector<std::byte> bytes;
  ByteWriter out(bytes);
  out.Put(kLayout);
  std::visit(Encoder{out}, row);
  CHECK(bytes.size() <= kRowBytesMax);
  return bytes;
}

Status ValidateRow(const Row& row) { return std::visit(Validator{}, row); }

Result<Row> DecodeRow(std::uint8_t kind, Bytes payload) {
  if (!IsRowKind(kind)) return Corrupt(kind, "does not exist");
  ByteReader in(payload);
  const auto layout = in.Get<std::uint8_t>();
  if (!in.ok()) return Corrupt(kind, "is empty");
  if (layout != kLayout) {
    return Error{.code = ErrorCode::kUnknownVersion,
                 .message = std::string("a row of kind ") +
                            RowKindName(static_cast<RowKind>(kind)) + " has layout " +
                            std::to_string(layout) + ", this release knows 1",
                 .hint = "use the release that wrote it, or a newer one"};
  }
  bool well_formed = true;
  Row row = GetRow(static_cast<RowKind>(kind), in, well_formed);
  if (!in.AtEnd()) return Corrupt(kind, in.ok() ? "is too long" : "is too short or over a limit");
  if (!well_formed) return Corrupt(kind, "has a flag that is neither 0 nor 1");
  const Status valid = ValidateRow(row);
  if (!valid.ok()) return Corrupt(kind, "breaks a rule: " + valid.error().message);
  return row;
}

}  // namespace duramen::meta
