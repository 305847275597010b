// A client made by hand, so that it can do what no store would.
#pragma once

#include <string>
#include <vector>

#include "base/checksum.h"
#include "shm/layout.h"
#include "shm/protocol.h"
#include "shm/wait.h"
#include "tests/shm/shared.h"

namespace duramen::shm::testing {

class RawClient {
 public:
  static constexpr std::size_t kRegionBytes = 1 << 20;
  static constexpr std::uint32_t kRecords = 64;

  explicit RawClient(const std::string& socket)
      : connection(Connection::Connect(socket).value()),
        region(SealedMemory::Create("region", kRegionBytes).value()),
        control(SealedMemory::Create("control", kPageBytes).value()),
        ring(SealedMemory::Create("ring", RingMemoryBytes(RingBytes(kRecords))).value()) {
    RingCreate(ring.bytes().first(RingBytes(kRecords)), kRecords);
    producer = RingProducer::Attach(ring.bytes().first(RingBytes(kRecords))).value();
  }

  /// The next message of the WAL process.
  Result<Frame> Next() {
    Result<Message> message = ReceiveNext(connection, Soon());
    if (!message.ok()) return std::move(message).error();
    if (message->descriptors.size() == 2) bell = std::move(message->descriptors[1]);
    return Decode(message->bytes);
  }
  Result<Frame> Ask(Kind kind, std::vector<std::byte> body, const std::vector<int>& fds = {}) {
    const Status sent =
        SendFrame(connection, {.kind = kind, .id = ++id, .body = std::move(body)}, fds, 1000);
    if (!sent.ok()) return sent.error();
    return Next();
  }
  Result<Frame> Greet() {
    return Ask(Kind::kHello, EncodeBody(Hello{kRegionBytes, kPageBytes}),
               {region.fd(), control.fd()});
  }
  /// A log of that name under number 0, ready to be written.
  void Begin(const std::string& name) {
    ASSERT_EQ(Greet()->kind, Kind::kAnswer);
    const AddRing add{0, ring.bytes().size(), RingBytes(kRecords)};
    ASSERT_EQ(Ask(Kind::kAddRing, EncodeBody(add), {ring.fd()})->kind, Kind::kAnswer);
    ASSERT_EQ(Ask(Kind::kStartRing, EncodeBody(RingNumber{0}))->kind, Kind::kAnswer);
    const Claim claim{0, 0, OpenMode::kOpenOrCreate, name};
    const Frame answer = Ask(Kind::kClaim, EncodeBody(claim)).value();
    ASSERT_EQ(answer.kind, Kind::kAnswer);
    log = DecodeHostedLog(answer.body).value();
  }
  /// A payload in the region, and the record that is right for it.
  wal::Descriptor Entry(Index index, const std::string& text) {
    return Record(AsBytes(text), {.index = index, .term = 1, .kind = 200});
  }
  wal::Descriptor Row(std::uint64_t sequence, const meta::Row& row) {
    std::vector<std::byte> payload;
    ByteWriter writer(payload);
    writer.Put(sequence);
    writer.PutBytes(meta::EncodeRow(row));
    return Record(payload, {.index = sequence,
                            .kind = static_cast<std::uint8_t>(meta::KindOf(row)),
                            .run_kind = wal::RunKind::kRows});
  }
  wal::Descriptor Identity() {
    return Row(1, meta::IdentityRow{log.owner.uid, log.name, "", log.owner.cluster_id,
                                    log.incarnation});
  }
  /// Rings the bell too: a request wakes nobody, so the WAL's thread is asked by a read.
  void Push(const wal::Descriptor& descriptor) {
    ASSERT_TRUE(producer.Push(std::as_bytes(std::span(&descriptor, 1))).has_value());
  }
  /// What it is cut off with; empty: it was not.
  std::string CutOff() {
    while (true) {
      const Result<Frame> frame = Next();
      if (!frame.ok()) return "";
      if (frame->kind == Kind::kCutOff) return DecodeRefusal(frame->body)->error.message;
    }
  }

  Connection connection;
  SealedMemory region;
  SealedMemory control;
  SealedMemory ring;
  RingProducer producer;
  log::HostedLog log;
  Descriptor bell;  // its end
  std::uint32_t id = 0;

 private:
  wal::Descriptor Record(Bytes payload, wal::Descriptor record) {
    std::ranges::copy(payload, region.bytes().begin() + static_cast<std::ptrdiff_t>(used_) + 8);
    const bool entry = record.run_kind != wal::RunKind::kRows;
    record.entry_checksum = EntryChecksum({log.owner.cluster_id, entry ? record.term : 0,
                                           entry ? record.index : 0, record.kind},
                                          payload);
    record.chunk = 1;
    record.offset = static_cast<std::uint32_t>(used_);
    record.payload_bytes = static_cast<std::uint32_t>(payload.size());
    used_ += RoundUp(payload.size() + 8, 8);
    return record;
  }
  std::size_t used_ = 0;
};

}  // namespace duramen::shm::testing
