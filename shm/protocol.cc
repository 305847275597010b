#include "shm/protocol.h"

#include <cstring>

#include "base/bytes.h"

namespace duramen::shm {
namespace {

constexpr std::size_t kNameBytesMax = 255;

Error Broken(const char* what) {
  return {ErrorCode::kCorruption, std::string("a message that breaks the rules: ") + what, ""};
}

template <typename... Values>
std::vector<std::byte> Packed(Values... values) {
  std::vector<std::byte> out;
  ByteWriter writer(out);
  (writer.Put(values), ...);
  return out;
}

template <typename Body>
Result<Body> Whole(const ByteReader& reader, Body body, const char* what) {
  if (!reader.AtEnd()) return Broken(what);
  return body;
}

void PutOwner(ByteWriter& writer, const wal::RecordOwner& owner) {
  writer.Put(owner.uid.bytes);
  writer.Put(owner.cluster_id);
}

wal::RecordOwner GetOwner(ByteReader& reader) {
  wal::RecordOwner owner;
  owner.uid.bytes = reader.Get<std::array<std::uint8_t, 16>>();
  owner.cluster_id = reader.Get<ClusterId>();
  return owner;
}

}  // namespace

std::vector<std::byte> Encode(const Frame& frame) {
  std::vector<std::byte> out;
  ByteWriter writer(out);
  writer.Put(kMagic);
  writer.Put(kVersion);
  writer.Put(static_cast<std::uint16_t>(frame.kind));
  writer.Put(frame.id);
  writer.PutBytes(frame.body);
  return out;
}

Result<Frame> Decode(Bytes bytes) {
  ByteReader reader(bytes);
  const auto magic = reader.Get<std::uint32_t>();
  const auto version = reader.Get<std::uint16_t>();
  if (!reader.ok() || magic != kMagic) return Broken("it is not of Duramen");
  if (version != kVersion) {
    return Error{ErrorCode::kUnknownVersion,
                 "the other side speaks version " + std::to_string(version) +
                     " of the protocol, this one " + std::to_string(kVersion),
                 "use the same release on both sides"};
  }
  Frame frame;
  frame.kind = static_cast<Kind>(reader.Get<std::uint16_t>());
  frame.id = reader.Get<std::uint32_t>();
  if (!reader.ok()) return Broken("it is too short");
  const Bytes body = reader.GetBytes(reader.remaining());
  frame.body.assign(body.begin(), body.end());
  return frame;
}

std::vector<std::byte> EncodeBody(const Hello& body) {
  return Packed(body.region_bytes, body.control_bytes);
}

Result<Hello> DecodeHello(Bytes bytes) {
  ByteReader reader(bytes);
  Hello body;
  body.region_bytes = reader.Get<std::uint64_t>();
  body.control_bytes = reader.Get<std::uint64_t>();
  return Whole(reader, body, "hello");
}

std::vector<std::byte> EncodeBody(const Welcome& body) {
  return Packed(body.boot, body.payload_bytes_max, body.row_bytes_max, body.status_bytes);
}

Result<Welcome> DecodeWelcome(Bytes bytes) {
  ByteReader reader(bytes);
  Welcome body;
  body.boot = reader.Get<std::uint64_t>();
  body.payload_bytes_max = reader.Get<std::uint64_t>();
  body.row_bytes_max = reader.Get<std::uint64_t>();
  body.status_bytes = reader.Get<std::uint64_t>();
  return Whole(reader, body, "welcome");
}

std::vector<std::byte> EncodeBody(const AddRing& body) {
  return Packed(body.ring, body.memory_bytes, body.ring_bytes);
}

Result<AddRing> DecodeAddRing(Bytes bytes) {
  ByteReader reader(bytes);
  AddRing body;
  body.ring = reader.Get<std::uint32_t>();
  body.memory_bytes = reader.Get<std::uint64_t>();
  body.ring_bytes = reader.Get<std::uint64_t>();
  return Whole(reader, body, "add a ring");
}

std::vector<std::byte> EncodeBody(const RingNumber& body) { return Packed(body.ring); }

Result<RingNumber> DecodeRingNumber(Bytes bytes) {
  ByteReader reader(bytes);
  RingNumber body{reader.Get<std::uint32_t>()};
  return Whole(reader, body, "a ring");
}

std::vector<std::byte> EncodeBody(const Claim& body) {
  std::vector<std::byte> out =
      Packed(body.ring, body.number, static_cast<std::uint8_t>(body.mode));
  ByteWriter(out).PutString(body.name);
  return out;
}

Result<Claim> DecodeClaim(Bytes bytes) {
  ByteReader reader(bytes);
  Claim body;
  body.ring = reader.Get<std::uint32_t>();
  body.number = reader.Get<std::uint32_t>();
  const auto mode = reader.Get<std::uint8_t>();
  if (mode > static_cast<std::uint8_t>(OpenMode::kOpenOrCreate)) return Broken("a mode");
  body.mode = static_cast<OpenMode>(mode);
  body.name = reader.GetString();
  if (body.name.size() > kNameBytesMax) return Broken("a name that is too long");
  return Whole(reader, std::move(body), "a claim");
}

std::vector<std::byte> EncodeBody(const ClaimAgain& body) {
  std::vector<std::byte> out = Packed(body.ring, body.number);
  ByteWriter writer(out);
  writer.PutString(body.log.name);
  PutOwner(writer, body.log.owner);
  writer.Put(body.log.incarnation);
  writer.Put(static_cast<std::uint8_t>(body.log.deleted ? 1 : 0));
  writer.Put(body.log.epoch);
  writer.Put(body.log.end);
  writer.Put(body.log.row_sequence);
  return out;
}

Result<ClaimAgain> DecodeClaimAgain(Bytes bytes) {
  ByteReader reader(bytes);
  ClaimAgain body;
  body.ring = reader.Get<std::uint32_t>();
  body.number = reader.Get<std::uint32_t>();
  body.log.name = reader.GetString();
  if (body.log.name.size() > kNameBytesMax) return Broken("a name that is too long");
  body.log.owner = GetOwner(reader);
  body.log.incarnation = reader.Get<std::uint64_t>();
  body.log.deleted = reader.Get<std::uint8_t>() != 0;
  body.log.epoch = reader.Get<std::uint64_t>();
  body.log.end = reader.Get<std::uint64_t>();
  body.log.row_sequence = reader.Get<std::uint64_t>();
  return Whole(reader, std::move(body), "a claim");
}

std::vector<std::byte> EncodeBody(const Assign& body) { return Packed(body.ring, body.number); }

Result<Assign> DecodeAssign(Bytes bytes) {
  ByteReader reader(bytes);
  Assign body;
  body.ring = reader.Get<std::uint32_t>();
  body.number = reader.Get<std::uint32_t>();
  return Whole(reader, body, "an assignment");
}

std::vector<std::byte> EncodeBody(const LogNumber& body) { return Packed(body.number); }

Result<LogNumber> DecodeLogNumber(Bytes bytes) {
  ByteReader reader(bytes);
  LogNumber body{reader.Get<std::uint32_t>()};
  return Whole(reader, body, "a log");
}

std::vector<std::byte> EncodeBody(const Read& body) {
  return Packed(body.number, body.range.begin, body.range.end, body.bytes_max);
}

Result<Read> DecodeRead(Bytes bytes) {
  ByteReader reader(bytes);
  Read body;
  body.number = reader.Get<std::uint32_t>();
  body.range.begin = reader.Get<Index>();
  body.range.end = reader.Get<Index>();
  body.bytes_max = reader.Get<std::uint64_t>();
  return Whole(reader, body, "a read");
}

std::vector<std::byte> EncodeBody(const Reason& body) {
  std::vector<std::byte> out = Packed(body.free_bytes);
  ByteWriter(out).PutString(body.state);
  return out;
}

Result<Reason> DecodeReason(Bytes bytes) {
  ByteReader reader(bytes);
  Reason body;
  body.free_bytes = reader.Get<std::uint64_t>();
  body.state = reader.GetString();
  return Whole(reader, std::move(body), "a reason");
}

std::vector<std::byte> EncodeBody(const LargeAnswer& body) { return Packed(body.bytes); }

Result<LargeAnswer> DecodeLargeAnswer(Bytes bytes) {
  ByteReader reader(bytes);
  LargeAnswer body{reader.Get<std::uint64_t>()};
  if (body.bytes > kAnswerBytesMax) return Broken("an answer that is too large");
  return Whole(reader, body, "an answer");
}

std::vector<std::byte> EncodeBody(const Takeover& body) { return Packed(body.device, body.inode); }

Result<Takeover> DecodeTakeover(Bytes bytes) {
  ByteReader reader(bytes);
  Takeover body;
  body.device = reader.Get<std::uint64_t>();
  body.inode = reader.Get<std::uint64_t>();
  return Whole(reader, body, "a takeover");
}

std::vector<std::byte> EncodeBody(const HandedSocket& body) {
  return Packed(static_cast<std::uint8_t>(body.owns_file));
}

/// Of an older WAL process it is empty.
Result<HandedSocket> DecodeHandedSocket(Bytes bytes) {
  if (bytes.empty()) return HandedSocket{};
  ByteReader reader(bytes);
  HandedSocket body;
  body.owns_file = reader.Get<std::uint8_t>() != 0;
  return Whole(reader, body, "a socket that is handed over");
}

std::vector<std::byte> EncodeBody(const wal::WalEnd& body) {
  std::vector<std::byte> out =
      Packed(body.file, body.life, body.end_offset, body.batch, body.checksum);
  ByteWriter writer(out);
  for (const std::uint64_t number : body.live) writer.Put(number);
  return out;
}

Result<wal::WalEnd> DecodeWalEnd(Bytes bytes) {
  ByteReader reader(bytes);
  wal::WalEnd body;
  body.file = reader.Get<std::uint64_t>();
  body.life = reader.Get<std::uint64_t>();
  body.end_offset = reader.Get<std::uint64_t>();
  body.batch = reader.Get<std::uint64_t>();
  body.checksum = reader.Get<std::uint64_t>();
  while (reader.remaining() > 0) body.live.push_back(reader.Get<std::uint64_t>());
  return Whole(reader, std::move(body), "the end of a WAL");
}

std::vector<std::byte> EncodeBody(const Refusal& body) {
  std::vector<std::byte> out = Packed(static_cast<std::uint16_t>(body.error.code));
  ByteWriter writer(out);
  writer.PutString(body.error.message);
  writer.PutString(body.error.hint);
  return out;
}

Result<Refusal> DecodeRefusal(Bytes bytes) {
  ByteReader reader(bytes);
  Refusal body;
  body.error.code = static_cast<ErrorCode>(reader.Get<std::uint16_t>());
  body.error.message = reader.GetString();
  body.error.hint = reader.GetString();
  return Whole(reader, std::move(body), "a refusal");
}

}  // namespace duramen::shm
