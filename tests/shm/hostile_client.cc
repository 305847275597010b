// A client that attaches to a WAL process and does what no client may: it scribbles over all
// memory that it shares, with right records among it so that they lead far in, and sends what is no
// message. When it is cut off it attaches again, with new memory, until its time is over.
//
//   duramen_hostile_client SOCKET SEED SECONDS
//
// For each time, a line "cut off REASON", without the numbers in it.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/rng.h"
#include "meta/row.h"
#include "shm/layout.h"
#include "shm/protocol.h"
#include "shm/sealed_memory.h"
#include "shm/socket.h"

namespace duramen::shm::testing {
namespace {

constexpr std::size_t kRegionBytes = 1 << 20;
constexpr std::uint32_t kRecords = 64;
constexpr std::uint64_t kNames = 8;
constexpr std::uint64_t kActsMax = 400;  // of one life
constexpr int kAnswerMs = 1000;
constexpr std::array<std::uint64_t, 10> kEdges = {
    0, 1, 4095, 4096, 65536, UINT32_MAX, 1ULL << 32, 1ULL << 62, UINT64_MAX - 1, UINT64_MAX};

class Scribbler {
 public:
  Scribbler(Connection connection, Rng& rng)
      : connection_(std::move(connection)),
        rng_(rng),
        region_(SealedMemory::Create("region", kRegionBytes).value()),
        control_(SealedMemory::Create("control", kPageBytes).value()),
        ring_(SealedMemory::Create("ring", RingMemoryBytes(RingBytes(kRecords))).value()) {
    RingCreate(ring_.bytes().first(RingBytes(kRecords)), kRecords);
    producer_ = RingProducer::Attach(ring_.bytes().first(RingBytes(kRecords))).value();
  }

  /// Until it is cut off, or has done enough; the reason, or "it left".
  std::string Live() {
    if (!rng_.OneIn(20)) Begin();
    const std::uint64_t acts = 1 + rng_.Below(kActsMax);
    for (std::uint64_t act = 0; act < acts && reason_.empty(); ++act) {
      Act();
      if (rng_.OneIn(8)) Listen(0);
    }
    if (reason_.empty() && rng_.OneIn(2)) Listen(20);
    return reason_.empty() ? "it left" : reason_;
  }

 private:
  void Begin() {
    Ask(Kind::kHello, EncodeBody(Hello{kRegionBytes, kPageBytes}), {region_.fd(), control_.fd()});
    Ask(Kind::kAddRing, EncodeBody(AddRing{0, ring_.bytes().size(), RingBytes(kRecords)}),
        {ring_.fd()});
    if (!rng_.OneIn(30)) Ask(Kind::kStartRing, EncodeBody(RingNumber{0}));
    const Claim claim{0, 0, OpenMode::kOpenOrCreate, "h" + std::to_string(rng_.Below(kNames))};
    const std::optional<Frame> answer = Ask(Kind::kClaim, EncodeBody(claim));
    if (!answer || answer->kind != Kind::kAnswer) return;
    Result<log::HostedLog> log = DecodeHostedLog(answer->body);
    if (!log.ok()) return;
    log_ = std::move(*log);
    end_ = log_.bounds.end;
    row_ = log_.row_sequence;
    if (log_.created) {
      PushRow(meta::IdentityRow{log_.owner.uid, log_.name, "", log_.owner.cluster_id,
                                log_.incarnation});
    }
  }

  void Act() {
    switch (rng_.Below(16)) {
      case 0:
        return Scribble(region_.bytes());
      case 1:
        return Scribble(ring_.bytes().first(RingBytes(kRecords)));
      case 2:
        return Scribble(ring_.bytes());
      case 3:
        return Scribble(control_.bytes());
      case 4:
        return Punch();
      case 5:
        return SetWord();
      case 6:
        return SendGarbage();
      case 7:
        return SendMutant();
      case 8:
        return Ring();
      case 9:
        return PushRow(meta::VoteRow{1 + rng_.Below(9), "n"});
      case 10:
        return PushMutant();
      default:
        return PushEntry();
    }
  }

  std::uint64_t AnyNumber() {
    const std::uint64_t edge = kEdges[rng_.Below(kEdges.size())];
    return rng_.OneIn(2) ? edge : rng_.Next() >> rng_.Below(64);
  }

  void Scribble(std::span<std::byte> memory) {
    if (!rng_.OneIn(6)) return;  // Else no life would be long.
    for (std::uint64_t i = 1 + rng_.Below(32); i > 0; --i) {
      const std::uint64_t value = AnyNumber();
      const std::size_t at = rng_.OneIn(2) ? rng_.Below(512) : rng_.Below(memory.size() - 8);
      std::memcpy(memory.data() + at, &value, 1 + rng_.Below(8));
    }
  }

  void Punch() const {
    const SealedMemory& memory = rng_.OneIn(2) ? region_ : ring_;
    if (!rng_.OneIn(10)) return;
    const std::uint64_t page = rng_.Below(memory.bytes().size() / kPageBytes);
    (void)::fallocate(memory.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      static_cast<off_t>(page * kPageBytes), kPageBytes);
  }

  void SetWord() {
    if (!rng_.OneIn(10)) return;
    auto* header = reinterpret_cast<RingHeader*>(ring_.bytes().data());
    const std::uint64_t value =
        rng_.OneIn(2) ? AnyNumber() : header->released.load() + rng_.Below(2 * kRecords);
    (rng_.OneIn(2) ? header->committed : header->released).store(value);
  }

  wal::Descriptor Place(Bytes payload, wal::Descriptor record) {
    if (used_ + payload.size() + 16 > kRegionBytes) used_ = 0;
    std::ranges::copy(payload, region_.bytes().begin() + static_cast<std::ptrdiff_t>(used_) + 8);
    const bool row = record.run_kind == wal::RunKind::kRows;
    record.entry_checksum = EntryChecksum(
        {log_.owner.cluster_id, row ? 0 : record.term, row ? 0 : record.index, record.kind},
        payload);
    record.epoch = log_.bounds.epoch;
    record.chunk = 1;
    record.offset = static_cast<std::uint32_t>(used_);
    record.payload_bytes = static_cast<std::uint32_t>(payload.size());
    used_ += RoundUp(payload.size() + 8, 8);
    return record;
  }

  wal::Descriptor NextEntry() {
    const std::vector<std::byte> payload(rng_.Below(600), std::byte{7});
    return Place(payload, {.index = end_,
                           .term = std::max<Term>(1, log_.bounds.last_term),
                           .kind = 200});
  }

  void PushEntry() {
    if (Push(NextEntry())) ++end_;
  }

  void PushRow(const meta::Row& row) {
    std::vector<std::byte> payload;
    ByteWriter writer(payload);
    writer.Put(row_ + 1);
    writer.PutBytes(meta::EncodeRow(row));
    const wal::Descriptor record =
        Place(payload, {.index = row_ + 1,
                        .kind = static_cast<std::uint8_t>(meta::KindOf(row)),
                        .run_kind = wal::RunKind::kRows});
    if (Push(record)) ++row_;
  }

  /// One of its fields is anything.
  void PushMutant() {
    wal::Descriptor record = NextEntry();
    const std::uint64_t value = AnyNumber();
    auto* bytes = reinterpret_cast<std::byte*>(&record);
    const std::size_t at = rng_.Below(sizeof record / 4) * 4;
    std::memcpy(bytes + at, &value, rng_.OneIn(2) ? 1 : 4);
    if (Push(record)) ++end_;
  }

  bool Push(const wal::Descriptor& record) {
    if (producer_.Push(std::as_bytes(std::span(&record, 1)))) return true;
    Ring();
    return false;
  }

  void Ring() const {
    const char bytes[64] = {};
    if (bell_.get() < 0) return;
    (void)::send(bell_.get(), bytes, 1 + rng_.Below(64), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (rng_.OneIn(200)) (void)::shutdown(bell_.get(), SHUT_RDWR);
  }

  void SendGarbage() {
    if (!rng_.OneIn(30)) return;
    std::vector<std::byte> bytes(1 + rng_.Below(300));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng_.Next());
    (void)connection_.Send(bytes);
  }

  /// A request whose body, kind or descriptors are anything.
  void SendMutant() {
    if (!rng_.OneIn(10)) return;
    const std::array<std::vector<std::byte>, 7> bodies = {
        EncodeBody(Hello{kRegionBytes, kPageBytes}),
        EncodeBody(AddRing{1, ring_.bytes().size(), RingBytes(kRecords)}),
        EncodeBody(RingNumber{static_cast<std::uint32_t>(rng_.Below(3))}),
        EncodeBody(Claim{0, static_cast<std::uint32_t>(rng_.Below(4)), OpenMode::kOpenOrCreate,
                         rng_.OneIn(2) ? "a0" : "h0"}),
        EncodeBody(ClaimAgain{0, 1, {.name = "h1", .owner = log_.owner}}),
        EncodeBody(Read{0, {1, 1 + rng_.Below(50)}, AnyNumber()}),
        EncodeBody(LogNumber{static_cast<std::uint32_t>(rng_.Below(3))})};
    Frame frame{.kind = static_cast<Kind>(1 + rng_.Below(14)), .id = ++id_, .body = {}};
    frame.body = bodies[rng_.Below(bodies.size())];
    for (std::uint64_t i = rng_.Below(3); i > 0 && !frame.body.empty(); --i) {
      frame.body[rng_.Below(frame.body.size())] = static_cast<std::byte>(rng_.Next());
    }
    if (rng_.OneIn(8)) frame.body.resize(rng_.Below(2 * frame.body.size() + 1));
    const Descriptor other(::eventfd(0, EFD_CLOEXEC));
    const std::array<int, 4> all = {region_.fd(), ring_.fd(), control_.fd(), other.get()};
    std::vector<int> fds;
    for (std::uint64_t i = rng_.Below(4); i > 0; --i) fds.push_back(all[rng_.Below(all.size())]);
    (void)connection_.Send(Encode(frame), fds);
  }

  /// The next message of the WAL process, within `patience_ms`.
  std::optional<Frame> Listen(int patience_ms) {
    pollfd wait{connection_.fd(), POLLIN, 0};
    if (::poll(&wait, 1, patience_ms) <= 0) return std::nullopt;
    Result<std::optional<Message>> message = connection_.Receive(kDescriptorsMax);
    if (!message.ok()) {
      reason_ = "without a word";
      return std::nullopt;
    }
    if (!*message) return std::nullopt;
    std::vector<Descriptor>& fds = (*message)->descriptors;
    if (fds.size() == 2 && bell_.get() < 0) bell_ = std::move(fds[1]);
    Result<Frame> frame = Decode((*message)->bytes);
    if (!frame.ok()) std::abort();
    if (frame->kind == Kind::kCutOff) reason_ = DecodeRefusal(frame->body).value().error.message;
    return std::move(*frame);
  }

  std::optional<Frame> Ask(Kind kind, std::vector<std::byte> body,
                           const std::vector<int>& fds = {}) {
    if (!reason_.empty()) return std::nullopt;
    const Frame request{.kind = kind, .id = ++id_, .body = std::move(body)};
    if (!connection_.Send(Encode(request), fds).ok()) return std::nullopt;
    return Listen(kAnswerMs);
  }

  Connection connection_;
  Rng& rng_;
  SealedMemory region_;
  SealedMemory control_;
  SealedMemory ring_;
  RingProducer producer_;
  log::HostedLog log_;
  Descriptor bell_;
  Index end_ = 1;
  std::uint64_t row_ = 0;
  std::size_t used_ = 0;
  std::uint32_t id_ = 0;
  std::string reason_;
};

std::string WithoutNumbers(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
      out += c;
    } else if (out.empty() || out.back() != '#') {
      out += '#';
    }
  }
  return out;
}

int Run(const std::string& socket, std::uint64_t seed, double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  Rng rng(seed);
  while (std::chrono::steady_clock::now() < end) {
    Result<Connection> connection = Connection::Connect(socket);
    if (!connection.ok()) {
      if (connection.error().code == ErrorCode::kOverloaded) continue;
      std::printf("error %s\n", connection.error().message.c_str());
      return 1;
    }
    const std::string reason = Scribbler(std::move(*connection), rng).Live();
    std::printf("cut off %s\n", WithoutNumbers(reason).c_str());
  }
  std::printf("bye\n");
  return 0;
}

}  // namespace
}  // namespace duramen::shm::testing

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: duramen_hostile_client SOCKET SEED SECONDS\n");
    return 2;
  }
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return 3;
  return duramen::shm::testing::Run(argv[1], std::strtoull(argv[2], nullptr, 10),
                                    std::strtod(argv[3], nullptr));
}
