#include "shm/remote.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/kill_step.h"
#include "base/signals.h"
#include "base/try.h"
#include "shm/wait.h"

namespace duramen::shm {
namespace {

constexpr int kTries = 3;
constexpr int kPatienceMs = 10'000;  // with a WAL process that does not read

const std::byte* Memory(const Writer::Impl& writer) { return writer.ring_memory.bytes().data(); }

}  // namespace

RemoteWal::RemoteWal(Private /*only*/, const RemoteOptions& options, SealedMemory region,
                     SealedMemory control)
    : SharedWal(gone_),
      socket_path_(options.socket_path),
      answer_ms_(options.answer_ms),
      moving_ms_(options.moving_ms),
      region_(std::move(region)),
      control_(std::move(control)),
      chunks_(region_.bytes(), region_.fd()),
      executor_(this->control().progress),
      stop_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  gone_.state.store(wal::WalState::kDown);
  gone_.entries_admitted.store(false);
}

RemoteWal::~RemoteWal() { Leave(false); }

ControlPage& RemoteWal::control() const {
  return *reinterpret_cast<ControlPage*>(control_.bytes().data());
}

Result<std::unique_ptr<RemoteWal>> RemoteWal::Attach(const RemoteOptions& options) {
  SealedMemory region = TRY(SealedMemory::Create("duramen-chunks", options.region_bytes));
  SealedMemory control = TRY(SealedMemory::Create("duramen-control", kPageBytes));
  Pass(KillStep::kMemoryMade);
  auto wal =
      std::make_unique<RemoteWal>(Private(), options, std::move(region), std::move(control));
  Result<Link> connection = wal->Connect();
  // One that hands over to its successor has let go of who had just come.
  for (int i = 1; i < kTries && !connection.ok() && connection.error().code == ErrorCode::kClosed;
       ++i) {
    connection = wal->Connect();
  }
  if (!connection.ok()) return std::move(connection).error();
  wal->Use(std::move(*connection));
  Pass(KillStep::kAttached);
  return wal;
}

void RemoteWal::Serve(LogStore::Impl& store) {
  store_ = &store;
  const SignalsBlocked blocked;
  listener_ = std::thread([this] { Listen(); });
}

/// Shows the memory of this process, and gets what there is to know.
Result<RemoteWal::Link> RemoteWal::Connect() {
  Connection socket = TRY(Connection::Connect(socket_path_));
  Pass(KillStep::kConnected);
  Link connection{.socket = std::move(socket),
                        .bell = nullptr,
                        .page = std::nullopt};
  const Frame hello{.kind = Kind::kHello,
                      .id = ++connection.last_id,
                      .body = EncodeBody(Hello{region_.bytes().size(), kPageBytes})};
  const Status sent =
      SendFrame(connection.socket, hello, {region_.fd(), control_.fd()}, kPatienceMs);
  if (!sent.ok()) {
    Error word = LastWord(connection);
    return cut_off_.load() ? std::move(word) : sent.error();
  }
  Pass(KillStep::kHelloSent);
  Result<Message> received = ReceiveNext(connection.socket, In(answer_ms_), stop_.get());
  if (!received.ok() && received.error().code == ErrorCode::kTimeout) return Silent();
  Message packet = TRY(std::move(received));
  Pass(KillStep::kWelcomed);
  Frame answer = TRY(Decode(packet.bytes));
  std::vector<Descriptor> fds = std::move(packet.descriptors);
  packet.descriptors.clear();
  const std::vector<std::byte> body = TRY(BodyOf(std::move(answer), packet));
  const Welcome welcome = TRY(DecodeWelcome(body));
  if (fds.size() != 2 || welcome.status_bytes != kPageBytes) {
    return Error{ErrorCode::kCorruption, "the WAL process answers without its status page", ""};
  }
  connection.page = TRY(SealedMemory::Adopt(
      std::move(fds[0]), {.bytes_min = kPageBytes, .bytes_max = kPageBytes,
                          .access = Access::kReadOnly}));
  connection.bell = std::make_unique<Doorbell>(TRY(Doorbell::Adopt(std::move(fds[1]))));
  const auto* page = reinterpret_cast<const StatusPage*>(connection.page->bytes().data());
  if (page->magic != kStatusMagic) {
    return Error{ErrorCode::kCorruption, "the WAL process shows no status page", ""};
  }
  Pass(KillStep::kStatusMapped);
  limits_ = {welcome.boot, welcome.payload_bytes_max, welcome.row_bytes_max};
  return connection;
}

/// From here on Writers see that WAL process.
void RemoteWal::Use(Link connection) {
  pages_.push_back(std::move(*connection.page));
  const auto* page = reinterpret_cast<const StatusPage*>(pages_.back().bytes().data());
  {
    const std::lock_guard lock(request_mutex_);
    bell_.store(connection.bell.get(), std::memory_order_release);
    connection_.emplace(std::move(connection));
    ++links_;
  }
  {
    const std::lock_guard lock(rings_mutex_);
    past_ = CountedSoFar();
    counted_ = page;
    base_ = TotalsOf(*page);
  }
  page_.store(page, std::memory_order_release);
  files_.store(&page->wal, std::memory_order_release);
  status_.store(&page->wal, std::memory_order_release);
  Wake();  // Who has put something into a ring since that was attached saw no bell.
  control().progress.Ring();
  TellLink();
}

log::WalTotals RemoteWal::TotalsOf(const StatusPage& page) {
  const Totals& totals = page.totals;
  return {.batches = totals.batches.value(),
          .entries = totals.entries.value(),
          .rows = totals.rows.value(),
          .bytes = totals.bytes.value(),
          .syncs = totals.syncs.value(),
          .rolls = totals.rolls.value()};
}

/// Requires: rings_mutex_.
log::WalTotals RemoteWal::CountedSoFar() const {
  if (counted_ == nullptr) return past_;
  const log::WalTotals now = TotalsOf(*counted_);
  return {.batches = past_.batches + now.batches - base_.batches,
          .entries = past_.entries + now.entries - base_.entries,
          .rows = past_.rows + now.rows - base_.rows,
          .bytes = past_.bytes + now.bytes - base_.bytes,
          .syncs = past_.syncs + now.syncs - base_.syncs,
          .rolls = past_.rolls + now.rolls - base_.rolls};
}

/// The page of a WAL process that is gone stays mapped, as it was last.
log::WalTotals RemoteWal::totals() const {
  const std::lock_guard lock(rings_mutex_);
  return CountedSoFar();
}

/// The WAL process lets go of its clients, or has done so, for a successor.
bool RemoteWal::Moves() const {
  if (cut_off_.load(std::memory_order_acquire) || leaving_.load()) return false;
  const StatusPage* last = page();
  if (last != nullptr) return last->hands_over.load(std::memory_order_acquire) != 0;
  return status_.load(std::memory_order_acquire) == &moving_;
}

void RemoteWal::TellLink() const {
  {
    const std::lock_guard lock(request_mutex_);  // Nobody is between a look and a sleep.
  }
  link_changed_.notify_all();
}

std::uint64_t RemoteWal::link() const {
  const std::lock_guard lock(request_mutex_);
  return links_;
}

bool RemoteWal::AwaitNext(std::uint64_t link) const {
  std::unique_lock lock(request_mutex_);
  link_changed_.wait(lock, [&] { return links_ != link || !Moves(); });
  return links_ != link;
}

Error RemoteWal::Silent() const {
  return {ErrorCode::kTimeout,
          "the WAL process of '" + socket_path_ + "' has not answered in " +
              std::to_string(answer_ms_) + " ms",
          "is it stopped, or does its disk hang? It is left, and looked for again"};
}

Error RemoteWal::Gone() const {
  if (cut_off_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(rings_mutex_);
    return cut_off_by_;
  }
  return {ErrorCode::kWalDown, "the WAL process of '" + socket_path_ + "' is gone",
          "it is looked for; try again"};
}

Error RemoteWal::CutOff(const Error& reason) const {
  const std::lock_guard lock(rings_mutex_);
  if (!cut_off_.exchange(true)) {
    link_changed_.notify_all();  // Under request_mutex_, wherever it is heard.
    cut_off_by_ = {reason.code, "the WAL process has cut this process off: " + reason.message,
                   reason.hint};
  }
  return cut_off_by_;
}

/// The last that it said may be why it is gone.
Error RemoteWal::LastWord(Link& link) const {
  while (true) {
    Result<std::optional<Message>> packet = link.socket.Receive(kDescriptorsMax);
    if (!packet.ok() || !*packet) return Gone();
    const Result<Frame> message = Decode((*packet)->bytes);
    if (message.ok() && message->kind == Kind::kCutOff) (void)BodyOf(*message, **packet);
  }
}

std::string RemoteWal::state_reason() const {
  if (cut_off_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(rings_mutex_);
    return cut_off_by_.message;
  }
  if (page() == nullptr) {
    const std::lock_guard lock(rings_mutex_);
    return "the WAL process of '" + socket_path_ + "' is gone" +
           (not_back_.empty() ? "" : ": " + not_back_);
  }
  const Result<std::vector<std::byte>> body = Ask(Kind::kReason, {});
  if (!body.ok()) return "the WAL process of '" + socket_path_ + "' does not answer";
  const Result<Reason> reason = DecodeReason(*body);
  return reason.ok() ? reason->state : reason.error().message;
}

std::uint64_t RemoteWal::free_bytes() const {
  const Result<std::vector<std::byte>> body = Ask(Kind::kReason, {});
  if (!body.ok()) return UINT64_MAX;
  const Result<Reason> reason = DecodeReason(*body);
  return reason.ok() ? reason->free_bytes : UINT64_MAX;
}

/// The bell is rung only where the WAL's thread sleeps: who is awake looks into the rings.
void RemoteWal::Wake() {
  const auto sign = [this]() -> const SleepSign* {
    const StatusPage* status = page();
    return status == nullptr ? nullptr : &status->asleep;
  };
  if (SleepSign::MustRing(control().posted, sign)) {
    bell_.load(std::memory_order_acquire)->Ring();
    Pass(KillStep::kBellRung);
  }
}

bool RemoteWal::ended() const {
  if (cut_off_.load(std::memory_order_acquire)) return true;
  const StatusPage* status = page();
  return status != nullptr &&
         status->wal.state.load(std::memory_order_acquire) == wal::WalState::kDown;
}

void RemoteWal::Listens() { control().listens.store(1); }

/// Slots are the WAL process's own.
void RemoteWal::OpenSlot(std::uint32_t /*slot*/, const wal::RecordOwner& /*owner*/) {}
void RemoteWal::CloseSlot(std::uint32_t /*slot*/) {}

Result<std::vector<std::byte>> RemoteWal::Ask(Kind kind, std::vector<std::byte> body) const {
  const std::lock_guard lock(request_mutex_);
  if (!connection_) return Gone();
  return AskOn(*connection_, {.kind = kind, .id = 0, .body = std::move(body)}, {});
}

Result<std::vector<std::byte>> RemoteWal::AskPatiently(Kind kind,
                                                       const std::vector<std::byte>& body) const {
  while (true) {
    const std::uint64_t asked = link();
    Result<std::vector<std::byte>> answer = Ask(kind, body);
    const bool gone = !answer.ok() && answer.error().code == ErrorCode::kWalDown;
    if (!gone || !AwaitNext(asked)) return answer;
  }
}

Result<std::vector<std::byte>> RemoteWal::AskOn(Link& connection, Frame request,
                                                const std::vector<int>& fds) const {
  request.id = ++connection.last_id;
  if (!SendFrame(connection.socket, request, fds, kPatienceMs).ok()) return LastWord(connection);
  Pass(KillStep::kRequestSent);
  const Deadline deadline = In(answer_ms_);
  while (true) {
    Result<Message> packet = ReceiveNext(connection.socket, deadline, stop_.get());
    if (!packet.ok() && packet.error().code == ErrorCode::kTimeout) {
      // What it may still do is undone when it finds that this process has gone.
      (void)::shutdown(connection.socket.fd(), SHUT_RDWR);
      return Silent();
    }
    if (!packet.ok()) return Gone();
    Frame answer = TRY(Decode(packet->bytes));
    if (answer.kind == Kind::kCutOff || answer.id == request.id) {
      return BodyOf(std::move(answer), *packet);
    }
  }
}

Result<std::vector<std::byte>> RemoteWal::BodyOf(Frame message, shm::Message& packet) const {
  if (message.kind == Kind::kAnswer) return std::move(message.body);
  if (message.kind == Kind::kAnswerInMemory) {
    const LargeAnswer size = TRY(DecodeLargeAnswer(message.body));
    if (packet.descriptors.size() != 1) {
      return Error{ErrorCode::kCorruption, "an answer is missing", ""};
    }
    const SealedMemory memory = TRY(SealedMemory::Adopt(
        std::move(packet.descriptors[0]), {.bytes_min = size.bytes, .bytes_max = kAnswerBytesMax}));
    const Bytes body = memory.bytes().first(size.bytes);
    return std::vector<std::byte>(body.begin(), body.end());
  }
  const Refusal refusal = TRY(DecodeRefusal(message.body));
  if (message.kind == Kind::kCutOff) return CutOff(refusal.error);
  return refusal.error;
}

RemoteWal::Ring& RemoteWal::RingOf(const Writer::Impl& writer) {
  CHECK(writer.port_state != nullptr);
  return *static_cast<Ring*>(writer.port_state);
}

Result<SharedMemory> RemoteWal::RingMemory(std::size_t size_bytes) {
  SealedMemory memory = TRY(SealedMemory::Create("duramen-ring", RingMemoryBytes(size_bytes)));
  SharedMemory mapped = TRY(SharedMemory::Map(memory.fd(), size_bytes));
  auto ring = std::make_unique<Ring>(
      Ring{.memory = std::move(memory), .ring_bytes = size_bytes, .notices = nullptr});
  ring->mapped = mapped.bytes().data();
  auto* notices = reinterpret_cast<wal::NoticeMemory*>(ring->memory.bytes().data() +
                                                       NoticesAt(size_bytes));
  ring->notices = std::make_unique<wal::NoticeSink>(*notices);
  const std::lock_guard lock(rings_mutex_);
  Pass(KillStep::kRingMade);
  ring->number = ring_count_++;
  rings_.push_back(std::move(ring));
  return mapped;
}

Status RemoteWal::AddRing(Writer::Impl& writer) {
  while (true) {
    const std::uint64_t asked = link();
    const Status added = TryAddRing(writer);
    const bool gone = !added.ok() && added.error().code == ErrorCode::kWalDown;
    if (gone && AwaitNext(asked)) continue;
    const std::lock_guard lock(rings_mutex_);
    const auto is_it = [&](const auto& one) { return one->mapped == Memory(writer); };
    if (!added.ok()) std::erase_if(rings_, is_it);
    return added;
  }
}

Status RemoteWal::TryAddRing(Writer::Impl& writer) {
  const std::lock_guard open_lock(store_->open_mutex_);
  Ring* ring = nullptr;
  {
    const std::lock_guard lock(rings_mutex_);
    const auto found = std::ranges::find(rings_, Memory(writer),
                                         [](const auto& one) { return one->mapped; });
    CHECK(found != rings_.end());
    ring = found->get();
  }
  writer.port_state = ring;
  const auto send = [&]() -> Status {
    const std::lock_guard lock(request_mutex_);
    if (!connection_) return Gone();
    TRY(SendRing(*connection_, *ring));
    Pass(KillStep::kRingShown);
    const Frame start{.kind = Kind::kStartRing, .body = EncodeBody(RingNumber{ring->number})};
    (void)TRY(AskOn(*connection_, start, {}));
    Pass(KillStep::kRingStarted);
    return {};
  };
  TRY(send());
  const std::lock_guard lock(rings_mutex_);
  ring->writer = &writer;
  return {};
}

Status RemoteWal::SendRing(Link& connection, const Ring& ring) const {
  const shm::AddRing body{ring.number, ring.memory.bytes().size(), ring.ring_bytes};
  (void)TRY(AskOn(connection, {.kind = Kind::kAddRing, .body = EncodeBody(body)},
                  {ring.memory.fd()}));
  return {};
}

void RemoteWal::RemoveRing(Writer::Impl& writer) {
  const std::lock_guard open_lock(store_->open_mutex_);
  Ring& ring = RingOf(writer);
  (void)Ask(Kind::kRemoveRing, EncodeBody(RingNumber{ring.number}));
  Pass(KillStep::kRingGivenBack);
  const std::lock_guard lock(rings_mutex_);
  std::erase_if(rings_, [&](const auto& one) { return one.get() == &ring; });
  writer.port_state = nullptr;
}

bool RemoteWal::HasNotices(const Writer::Impl& writer) const {
  return writer.port_state != nullptr && !RingOf(writer).notices->empty();
}

void RemoteWal::TakeNotices(Writer::Impl& writer, std::vector<wal::Notice>& out) {
  out.clear();
  if (writer.port_state != nullptr) RingOf(writer).notices->Take(out);
  if (!out.empty()) Pass(KillStep::kNoticesTaken);
}

Result<log::HostedLog> RemoteWal::Claim(Writer::Impl& writer, std::uint32_t number,
                                        std::string_view name, OpenMode mode) {
  if (WasNotDropped(number)) Drop(number);
  const shm::Claim claim{RingOf(writer).number, number, mode, std::string(name)};
  const std::vector<std::byte> body = TRY(Ask(Kind::kClaim, EncodeBody(claim)));
  Pass(KillStep::kClaimAnswered);
  return DecodeHostedLog(body);
}

Status RemoteWal::Assign(Writer::Impl& writer, std::uint32_t number) {
  (void)TRY(Ask(Kind::kAssign, EncodeBody(shm::Assign{RingOf(writer).number, number})));
  return {};
}

/// Said between the death of a WAL process and the use of the next one, it reaches neither, and the
/// next one may have been told of the log before: so it is said again before the number's next use.
void RemoteWal::Drop(std::uint32_t number) {
  if (Ask(Kind::kDrop, EncodeBody(LogNumber{number})).ok()) return;
  const std::lock_guard lock(rings_mutex_);
  not_dropped_.insert(number);
}

bool RemoteWal::WasNotDropped(std::uint32_t number) {
  const std::lock_guard lock(rings_mutex_);
  return not_dropped_.erase(number) > 0;
}

Status RemoteWal::Read(const log::ServerLog& log, IndexRange range, std::size_t max_bytes,
                       Pin::Impl& pin) {
  const shm::Read read{log.slot, range, max_bytes};
  std::vector<std::byte> body = TRY(AskPatiently(Kind::kRead, EncodeBody(read)));
  Pass(KillStep::kReadAnswered);
  TRY(store_->ReserveBuffer(body.size(), pin));
  pin.buffers.push_back(std::move(body));
  for (const ReadEntry& one : TRY(DecodeEntries(pin.buffers.back()))) {
    const EntryView& entry = one.entry;
    const EntryIdentity identity{log.owner.cluster_id, entry.term, entry.index, entry.kind};
    const bool due = entry.index == (pin.entries.empty() ? range.begin
                                                         : pin.entries.back().index + 1);
    if (!due || EntryChecksum(identity, entry.payload) != one.checksum) {
      return Error{ErrorCode::kCorruption,
                   "entry " + std::to_string(entry.index) + " changed on its way", ""};
    }
    ++pin.wal_entries;
    pin.entries.push_back(entry);
  }
  return {};
}

Result<std::vector<LogInfo>> RemoteWal::List() {
  const std::vector<std::byte> body = TRY(AskPatiently(Kind::kList, {}));
  return DecodeList(body);
}

/// Else the WAL process finds out by the end of the connection, and waits for what is on its way.
void RemoteWal::Leave(bool drained) {
  if (leaving_.exchange(true)) return;
  if (drained) (void)Ask(Kind::kLeave, {});
  Pass(KillStep::kLeaveAnswered);
  const std::uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);
  if (listener_.joinable()) listener_.join();
  TellLink();
  const std::lock_guard lock(request_mutex_);
  connection_.reset();
  Pass(KillStep::kLeft);
}

}  // namespace duramen::shm
