// What a client and the WAL process say to each other over their socket: one message a datagram,
// a request and its answer. Pure: bytes in, bytes out; what comes from the other side is hostile.
//
// A message is {magic u32, version u16, kind u16, id u32, body}. An answer that does not fit a
// datagram stands in a sealed memfd that goes with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "duramen/log_store.h"
#include "log/hosted.h"
#include "wal/wal_end.h"

namespace duramen::shm {

inline constexpr std::uint32_t kMagic = 0x4D485344;  // "DSHM"
inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::size_t kAnswerBytesMax = 1u << 30;  // in a memfd

enum class Kind : std::uint16_t {
  kHello = 1,
  kAddRing = 2,
  kStartRing = 3,
  kRemoveRing = 4,
  kClaim = 5,
  kClaimAgain = 6,
  kAssign = 7,
  kDrop = 8,
  kRead = 9,
  kList = 10,
  kReason = 11,
  kLeave = 12,
  kTakeOver = 13,  // a successor asks for the listening socket; no hello before it
  // From the WAL process.
  kAnswer = 100,
  kAnswerInMemory = 101,  // its body is in the memfd that goes with it: {bytes u64}
  kRefusal = 102,
  kCutOff = 103,
};

/// A message, taken apart.
struct Frame {
  Kind kind = Kind::kAnswer;
  std::uint32_t id = 0;
  std::vector<std::byte> body;
};

std::vector<std::byte> Encode(const Frame& frame);
/// Errors: kCorruption; kUnknownVersion, which names both versions.
Result<Frame> Decode(Bytes bytes);

/// With the memfds of control page and region.
struct Hello {
  std::uint64_t region_bytes = 0;
  std::uint64_t control_bytes = 0;
};
/// With the status page and the client's end of the bell between them.
struct Welcome {
  std::uint64_t boot = 0;
  std::uint64_t payload_bytes_max = 0;
  std::uint64_t row_bytes_max = 0;
  std::uint64_t status_bytes = 0;
};
/// With its memfd.
struct AddRing {
  std::uint32_t ring = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t ring_bytes = 0;  // of it; notices are behind
};
struct RingNumber {
  std::uint32_t ring = 0;
};
struct Claim {
  std::uint32_t ring = 0;
  std::uint32_t number = 0;
  OpenMode mode = OpenMode::kOpen;
  std::string name;
};
inline constexpr std::uint32_t kNoRing = UINT32_MAX;
struct ClaimAgain {
  std::uint32_t ring = 0;  // kNoRing: its Writer is gone
  std::uint32_t number = 0;
  log::Reclaim log;
};
struct Assign {
  std::uint32_t ring = 0;
  std::uint32_t number = 0;
};
struct LogNumber {
  std::uint32_t number = 0;
};
struct Read {
  std::uint32_t number = 0;
  IndexRange range;
  std::uint64_t bytes_max = 0;
};
/// One entry of an answer to Read.
struct ReadEntry {
  EntryView entry;
  std::uint64_t checksum = 0;
};
/// Which directory the successor is about to open: as stat(2) tells.
struct Takeover {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const Takeover&, const Takeover&) = default;
};
/// With the listening socket. Another answer follows when the directory is free: a wal::WalEnd.
struct HandedSocket {
  bool owns_file = false;  // the socket file is the WAL process's to remove
};
/// Where an answer is too large for a message.
struct LargeAnswer {
  std::uint64_t bytes = 0;
};
struct Refusal {
  Error error;
};
struct Reason {
  std::string state;
  std::uint64_t free_bytes = UINT64_MAX;
};

// Each pair: EncodeBody is the inverse of the Decode; a Decode's error is kCorruption.
std::vector<std::byte> EncodeBody(const Hello& body);
std::vector<std::byte> EncodeBody(const Welcome& body);
std::vector<std::byte> EncodeBody(const AddRing& body);
std::vector<std::byte> EncodeBody(const RingNumber& body);
std::vector<std::byte> EncodeBody(const Claim& body);
std::vector<std::byte> EncodeBody(const ClaimAgain& body);
std::vector<std::byte> EncodeBody(const Assign& body);
std::vector<std::byte> EncodeBody(const LogNumber& body);
std::vector<std::byte> EncodeBody(const Read& body);
std::vector<std::byte> EncodeBody(const Reason& body);
std::vector<std::byte> EncodeBody(const LargeAnswer& body);
std::vector<std::byte> EncodeBody(const Takeover& body);
std::vector<std::byte> EncodeBody(const HandedSocket& body);
std::vector<std::byte> EncodeBody(const wal::WalEnd& body);
std::vector<std::byte> EncodeBody(const Refusal& body);
std::vector<std::byte> EncodeBody(const log::HostedLog& body);
std::vector<std::byte> EncodeBody(const std::vector<LogInfo>& body);
std::vector<std::byte> EncodeBody(const std::vector<ReadEntry>& body);
Result<Hello> DecodeHello(Bytes bytes);
Result<Welcome> DecodeWelcome(Bytes bytes);
Result<AddRing> DecodeAddRing(Bytes bytes);
Result<RingNumber> DecodeRingNumber(Bytes bytes);
Result<Claim> DecodeClaim(Bytes bytes);
Result<ClaimAgain> DecodeClaimAgain(Bytes bytes);
Result<Assign> DecodeAssign(Bytes bytes);
Result<LogNumber> DecodeLogNumber(Bytes bytes);
Result<Read> DecodeRead(Bytes bytes);
Result<Reason> DecodeReason(Bytes bytes);
Result<LargeAnswer> DecodeLargeAnswer(Bytes bytes);
Result<Takeover> DecodeTakeover(Bytes bytes);
Result<HandedSocket> DecodeHandedSocket(Bytes bytes);
Result<wal::WalEnd> DecodeWalEnd(Bytes bytes);
Result<Refusal> DecodeRefusal(Bytes bytes);
Result<log::HostedLog> DecodeHostedLog(Bytes bytes);
Result<std::vector<LogInfo>> DecodeList(Bytes bytes);
/// Payloads borrow from `bytes`.
Result<std::vector<ReadEntry>> DecodeEntries(Bytes bytes);

}  // namespace duramen::shm
