#include "shm/session.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/checksum.h"
#include "base/kill_step.h"
#include "base/signals.h"
#include "base/try.h"
#include "shm/take_over.h"
#include "shm/wait.h"

namespace duramen::shm {
namespace {

constexpr auto kFreeMax = std::chrono::seconds(10);  // until a log of one who is gone is free
constexpr std::uint64_t kReadBytesMax = 16u << 20;  // of one answer, unless one entry is larger

Error Breach(const std::string& what) {
  return {ErrorCode::kCorruption, "a request that breaks the rules: " + what, ""};
}

ControlPage& ControlOf(const SealedMemory& memory) {
  return *reinterpret_cast<ControlPage*>(memory.bytes().data());
}

/// An eventfd that nobody else has.
void Count(int fd) noexcept {
  const std::uint64_t one = 1;
  (void)!::write(fd, &one, sizeof one);
}

}  // namespace

Session::Session(Connection connection, const Environment& environment)
    : LogHolder(connection.peer().pid),
      environment_(environment),
      socket_(std::move(connection)) {
  if (Result<Descriptor> process = socket_.PeerProcess(); process.ok()) {
    process_ = std::move(*process);
  }
  kick_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (Result<std::pair<Doorbell, Descriptor>> bell = Doorbell::Make(); bell.ok()) {
    bell_.emplace(std::move(bell->first));
    other_end_ = std::move(bell->second);
  }
}

Session::~Session() {
  Kick();
  if (thread_.joinable()) thread_.join();
  if (kick_fd_ >= 0) ::close(kick_fd_);
}

void Session::Start() {
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { Run(); });
}

void Session::Kick() {
  kicked_.store(true, std::memory_order_release);
  Count(kick_fd_);
}

bool Session::Gone() const {
  if (leaves_.load(std::memory_order_acquire)) return true;
  pollfd waits[] = {{socket_.fd(), POLLRDHUP, 0}, {process_.get(), POLLIN, 0}};
  return ::poll(waits, 2, 0) > 0;
}

bool Session::Intact(const void* argument) {
  const auto* ring = static_cast<const Ring*>(argument);
  return ring->guarded->lost_pages() == 0 && ring->session->guarded_region_->lost_pages() == 0;
}

/// WAL thread. Wakes whoever waits in the client, and this session where it was cut off.
void Session::Notify(void* argument) noexcept {
  auto* ring = static_cast<Ring*>(argument);
  ring->session->TellTotals();
  ControlPage& control = ControlOf(*ring->session->control_);
  control.progress.Ring();
  if (control.listens.load() != 0) ring->session->bell_->Ring();
  Pass(KillStep::kClientWoken);
  if (ring->guard->cut_off()) Count(ring->session->kick_fd_);
}

/// WAL thread, which writes nothing else in that page while it is here.
void Session::TellTotals() const noexcept {
  const wal::WalStats& stats = environment_.store.stats->wal;
  Totals& totals =
      reinterpret_cast<StatusPage*>(environment_.status.bytes().data())->totals;
  totals.batches.Set(stats.batches.value() + 1);  // That which is told now is counted behind it.
  totals.entries.Set(stats.entries.value());
  totals.rows.Set(stats.rows.value());
  totals.bytes.Set(stats.bytes.value());
  totals.syncs.Set(stats.syncs.value());
  totals.rolls.Set(stats.rolls.value());
}

void Session::Run() {
  if (bell_) environment_.watch_bell(environment_.argument, *bell_, true);
  while (Serve()) {
  }
  Pass(KillStep::kClientGone);
  if (bell_) environment_.watch_bell(environment_.argument, *bell_, false);
  End();
  done_.store(true, std::memory_order_release);
  environment_.store.executor->Progress();
}

/// False: the client is gone, or has to go.
bool Session::Serve() {
  pollfd waits[] = {{socket_.fd(), POLLIN | POLLRDHUP, 0},
                    {kick_fd_, POLLIN, 0},
                    {process_.get(), POLLIN, 0}};
  if (::poll(waits, 3, -1) < 0) return true;
  if (waits[1].revents != 0) {
    for (const auto& [number, ring] : rings_) {
      if (ring->guard->cut_off()) why_ = ring->guard->reason();
    }
    return false;
  }
  if (waits[2].revents != 0) return false;
  Result<std::optional<Message>> received = socket_.Receive(kDescriptorsMax);
  if (!received.ok()) {
    if (received.error().code != ErrorCode::kClosed) why_ = received.error().message;
    return false;
  }
  if (!*received) return true;
  Message& packet = **received;
  const Result<Frame> request = Decode(packet.bytes);
  if (!request.ok()) {
    (void)Reply(0, request.error());
    why_ = request.error().message;
    return false;
  }
  if (request->kind == Kind::kTakeOver) return OnTakeOver(*request);
  const Result<Answer> answer = Handle(*request, packet);
  if (row_ != nullptr) {
    row_->requests.Add(1);
    if (!answer.ok()) row_->refused.Add(1);
    if (request->kind != Kind::kLeave) ShowUse();  // What it had stays to be looked at.
  }
  if (!answer.ok() && answer.error().code == ErrorCode::kCorruption &&
      request->kind != Kind::kClaimAgain && request->kind != Kind::kRead) {
    why_ = answer.error().message;
  }
  return Reply(request->id, answer) && request->kind != Kind::kLeave && why_.empty();
}

bool Session::Reply(std::uint32_t id, const Result<Answer>& answer) {
  Frame message{.kind = Kind::kAnswer, .id = id, .body = {}};
  std::vector<int> fds;
  std::optional<SealedMemory> large;
  if (!answer.ok()) {
    message.kind = Kind::kRefusal;
    message.body = EncodeBody(Refusal{answer.error()});
  } else {
    message.body = answer->body;
    fds = answer->fds;
  }
  if (message.body.size() + 64 > kMessageBytesMax) {
    Result<SealedMemory> memory = SealedMemory::Create("duramen-answer", message.body.size());
    if (!memory.ok()) return Reply(id, memory.error());
    std::ranges::copy(message.body, memory->bytes().begin());
    large.emplace(std::move(*memory));
    message.kind = Kind::kAnswerInMemory;
    const LargeAnswer size{message.body.size()};
    message.body = EncodeBody(size);
    fds = {large->fd()};
  }
  if (SendFrame(socket_, message, fds, environment_.patience_ms).ok()) {
    Pass(KillStep::kAnswered);
    return true;
  }
  if (why_.empty()) why_ = "it does not read what it asked for";
  return false;
}

Result<Session::Answer> Session::Handle(const Frame& request, Message& packet) {
  if (request.kind == Kind::kHello) return OnHello(request, packet);
  if (!region_) return Breach("no hello before it");
  switch (request.kind) {
    case Kind::kAddRing:
      return OnAddRing(request, packet);
    case Kind::kStartRing:
      return OnStartRing(request);
    case Kind::kRemoveRing:
      return OnRemoveRing(request);
    case Kind::kClaim:
      return OnClaim(request);
    case Kind::kClaimAgain:
      return OnClaimAgain(request);
    case Kind::kAssign:
      return OnAssign(request);
    case Kind::kDrop:
      return OnDrop(request);
    case Kind::kRead:
      return OnRead(request);
    case Kind::kList:
      return OnList();
    case Kind::kReason:
      return OnReason();
    case Kind::kLeave:
      EndRings(false);
      GiveBackAll();
      return Answer{};
    default:
      return Breach("kind " + std::to_string(static_cast<int>(request.kind)));
  }
}

Result<Session::Answer> Session::OnHello(const Frame& request, Message& packet) {
  const Hello hello = TRY(DecodeHello(request.body));
  if (region_) return Breach("a second hello");
  if (!bell_) {
    return Error{ErrorCode::kIo, "the WAL process has no descriptors left for another client",
                 "raise its limit of open files"};
  }
  if (packet.descriptors.size() != 2) return Breach("a hello without its memory");
  const Quota& quota = environment_.quota;
  if (hello.region_bytes > quota.bytes) {
    return Error{ErrorCode::kOverloaded,
                 std::to_string(hello.region_bytes) + " bytes of memory; a client may have " +
                     std::to_string(quota.bytes),
                 "lower memory_budget of the client, or raise --client-bytes of the WAL process"};
  }
  if (hello.control_bytes != kPageBytes) return Breach("a control page of another size");
  SealedMemory region = TRY(SealedMemory::Adopt(
      std::move(packet.descriptors[0]),
      {.bytes_min = hello.region_bytes, .bytes_max = hello.region_bytes}));
  SealedMemory control = TRY(SealedMemory::Adopt(
      std::move(packet.descriptors[1]), {.bytes_min = kPageBytes, .bytes_max = kPageBytes}));
  Pass(KillStep::kRegionMapped);
  GuardedRegion guarded_region = TRY(GuardedRegion::Over(region.bytes()));
  GuardedRegion guarded_control = TRY(GuardedRegion::Over(control.bytes()));
  // All or nothing: what is asked after a hello that was refused is refused too.
  region_ = std::move(region);
  control_ = std::move(control);
  guarded_region_.emplace(std::move(guarded_region));
  guarded_control_.emplace(std::move(guarded_control));
  Pass(KillStep::kHelloJudged);
  bytes_ = hello.region_bytes;
  ShowRow();
  const Welcome welcome{.boot = environment_.store.report.boot,
                        .payload_bytes_max = environment_.store.payload_bytes_max,
                        .row_bytes_max = environment_.store.row_bytes_max,
                        .status_bytes = kPageBytes};
  return Answer{EncodeBody(welcome), {environment_.status.fd(), other_end_.get()}};
}

/// In the statistics page, from its hello on.
void Session::ShowRow() {
  LogStore::Impl& store = environment_.store;
  row_ = store.stats->clients.Take({.pid = static_cast<std::uint64_t>(socket_.peer().pid),
                                    .uid = socket_.peer().uid,
                                    .attached_ns = store.clock->NowNs()});
  if (row_ == nullptr) row_ = &unseen_;
  row_->logs_max.Set(environment_.quota.logs);
  row_->rings_max.Set(environment_.quota.rings);
  row_->memory_bytes_max.Set(environment_.quota.bytes);
  store.stats->state.clients.AddShared(1);
  store.stats->state.clients_attached.AddShared(1);
}

void Session::ShowUse() noexcept {
  row_->logs.Set(logs_.size());
  row_->rings.Set(rings_.size());
  row_->memory_bytes.Set(bytes_);
}

/// What it had when it went stays to be looked at.
void Session::LeaveRow() {
  log::StoreState& told = environment_.store.stats->state;
  if (!why_.empty()) told.clients_cut_off.AddShared(1);
  if (row_ == nullptr) return;
  told.clients.SubShared(1);
  row_->SetReason(why_);
  row_->GiveBack(why_.empty() ? ClientState::kLeft : ClientState::kCutOff,
                 environment_.store.clock->NowNs());
  row_ = nullptr;
}

Result<Session::Answer> Session::OnAddRing(const Frame& request, Message& packet) {
  const AddRing add = TRY(DecodeAddRing(request.body));
  const Quota& quota = environment_.quota;
  if (packet.descriptors.size() != 1) return Breach("a ring without its memory");
  if (rings_.contains(add.ring)) return Breach("a ring that is there");
  if (rings_.size() >= quota.rings || bytes_ + add.memory_bytes > quota.bytes ||
      add.memory_bytes > quota.bytes) {
    return Error{ErrorCode::kOverloaded, "the client has as many Writers, or as much memory, as "
                 "the WAL process allows to one", "use fewer Writers"};
  }
  if (add.ring_bytes > add.memory_bytes || RingMemoryBytes(add.ring_bytes) > add.memory_bytes) {
    return Breach("a ring of another size than its memory");
  }
  auto ring = std::make_unique<Ring>();
  ring->session = this;
  const Expected expected{.bytes_min = add.memory_bytes, .bytes_max = add.memory_bytes};
  ring->memory = TRY(SealedMemory::Adopt(std::move(packet.descriptors[0]), expected));
  const std::span<std::byte> bytes = ring->memory->bytes();
  ring->guarded.emplace(TRY(GuardedRegion::Over(bytes)));
  ring->consumer = TRY(RingConsumer::Attach(bytes.first(add.ring_bytes)));
  auto* notices =
      reinterpret_cast<wal::NoticeMemory*>(bytes.data() + NoticesAt(add.ring_bytes));
  ring->guard = std::make_unique<wal::RingGuard>(wal::RingGuard::Environment{
      .region = region_->bytes(),
      .intact = &Session::Intact,
      .argument = ring.get(),
      .payload_bytes_max = environment_.store.payload_bytes_max,
      .judge = environment_.hosting,
      .notices = *notices});
  ring->port.ring = &ring->consumer;
  ring->port.guard = ring->guard.get();
  ring->port.argument = ring.get();
  ring->port.owner = this;
  ring->port.records = &row_->records;
  ring->port.bytes = &row_->bytes;
  ring->port.notify = &Session::Notify;
  ring->port.resolve = [](void* argument, const wal::Descriptor& descriptor) {
    return static_cast<const Ring*>(argument)->guard->Resolve(descriptor);
  };
  Pass(KillStep::kRingMapped);
  bytes_ += add.memory_bytes;
  rings_[add.ring] = std::move(ring);
  return Answer{};
}

/// What is durable of the ring already is not taken again.
Result<Session::Answer> Session::OnStartRing(const Frame& request) {
  const RingNumber start = TRY(DecodeRingNumber(request.body));
  Ring* ring = TRY(FindRing(start.ring));
  if (ring->started) return Breach("a ring that is started");
  std::unordered_map<std::uint32_t, wal::RingResume::Known> known;
  std::vector<wal::Notice> notices;
  for (const auto& [number, log] : logs_) {
    if (log.ring != start.ring) continue;
    const log::HostedLog& hosted = log.hosted;
    known[number] = {hosted.bounds, hosted.row_sequence, hosted.gone};
    notices.push_back({.slot = number,
                       .epoch = hosted.bounds.epoch,
                       .end = hosted.bounds.end,
                       .row_sequence = hosted.row_sequence});
  }
  const std::uint64_t committed = TRY(ring->consumer.Committed());
  const std::uint64_t done = wal::RingResume(known).DoneUpto(ring->consumer, committed);
  if (committed != 0) ring->guard->Publish(notices);
  Pass(KillStep::kRingTold);
  ring->consumer.Release(done);
  Pass(KillStep::kRingPassedOver);
  ring->started = true;
  environment_.store.wal->AddRing(&ring->port);
  Pass(KillStep::kRingAdded);
  environment_.store.executor->Wake(*environment_.store.wal);
  ControlOf(*control_).progress.Ring();
  return Answer{};
}

Result<Session::Answer> Session::OnRemoveRing(const Frame& request) {
  const RingNumber remove = TRY(DecodeRingNumber(request.body));
  Ring* ring = TRY(FindRing(remove.ring));
  EndRing(*ring, false);
  for (auto& [number, log] : logs_) {
    if (log.ring == remove.ring) log.ring = kNoRing;
  }
  bytes_ -= ring->memory->bytes().size();
  rings_.erase(remove.ring);
  return Answer{};
}

Result<Session::Ring*> Session::FindRing(std::uint32_t number) {
  const auto found = rings_.find(number);
  if (found == rings_.end()) return Breach("ring " + std::to_string(number) + " is not there");
  return found->second.get();
}

Status Session::CheckNumber(std::uint32_t number) const {
  if (number >= wal::kNoticeCells) return Breach("a log's number that is too large");
  if (logs_.contains(number)) return Breach("a log's number that is taken");
  if (logs_.size() < environment_.quota.logs) return {};
  return Error{ErrorCode::kOverloaded,
               "a client may have " + std::to_string(environment_.quota.logs) + " logs open",
               "raise --client-logs of the WAL process, or use more clients"};
}

void Session::Keep(std::uint32_t number, const log::HostedLog& hosted, std::uint32_t ring) {
  Log& log = logs_[number];
  log = {hosted, ring};
  log.hosted.terms.clear();
  log.hosted.values.clear();
  if (!hosted.gone && std::ranges::find(held_, hosted.slot) == held_.end()) {
    held_.push_back(hosted.slot);
  }
}

void Session::GrantTo(Ring& ring, std::uint32_t number,
                      const log::HostedLog& hosted) const {
  ring.guard->Grant(number, {.slot = hosted.slot,
                             .owner = hosted.owner,
                             .row_sequence = hosted.row_sequence,
                             .skip = hosted.gone});
}

/// Whose owner is gone is free as soon as its last records are durable.
template <typename Try>
Result<log::HostedLog> Session::WhenFree(Try attempt) const {
  struct Waiting {
    Try& attempt;
    Result<log::HostedLog> log;
  } waiting{attempt, attempt()};
  const auto free = [](void* argument) {
    auto* self = static_cast<Waiting*>(argument);
    if (self->log.ok() || self->log.error().code != ErrorCode::kTimeout) return true;
    self->log = self->attempt();
    return self->log.ok() || self->log.error().code != ErrorCode::kTimeout;
  };
  const Deadline until = std::chrono::steady_clock::now() + kFreeMax;
  (void)environment_.store.executor->Await(free, &waiting, until);
  return std::move(waiting.log);
}

Result<Session::Answer> Session::OnClaim(const Frame& request) {
  const Claim claim = TRY(DecodeClaim(request.body));
  Ring* ring = TRY(FindRing(claim.ring));
  TRY(CheckNumber(claim.number));
  const log::HostedLog hosted = TRY(
      WhenFree([&] { return environment_.hosting.Claim(*this, claim.name, claim.mode); }));
  Pass(KillStep::kLogClaimed);
  Keep(claim.number, hosted, claim.ring);
  GrantTo(*ring, claim.number, hosted);
  Pass(KillStep::kLogGranted);
  return Answer{EncodeBody(hosted), {}};
}

/// A log that contradicts is refused for good: what its ring still has of it is passed over.
Result<Session::Answer> Session::OnClaimAgain(const Frame& request) {
  const ClaimAgain claim = TRY(DecodeClaimAgain(request.body));
  Ring* ring = claim.ring == kNoRing ? nullptr : TRY(FindRing(claim.ring));
  TRY(CheckNumber(claim.number));
  const Result<log::HostedLog> hosted =
      WhenFree([&] { return environment_.hosting.ClaimAgain(*this, claim.log); });
  if (!hosted.ok()) {
    log::HostedLog refused{.owner = claim.log.owner, .name = claim.log.name};
    refused.gone = true;
    Keep(claim.number, refused, claim.ring);
    if (ring != nullptr) GrantTo(*ring, claim.number, refused);
    return hosted.error();
  }
  Pass(KillStep::kLogClaimedAgain);
  Keep(claim.number, *hosted, claim.ring);
  if (ring != nullptr) GrantTo(*ring, claim.number, *hosted);
  Pass(KillStep::kLogGrantedAgain);
  return Answer{EncodeBody(*hosted), {}};
}

Result<Session::Answer> Session::OnAssign(const Frame& request) {
  const Assign assign = TRY(DecodeAssign(request.body));
  Ring* ring = TRY(FindRing(assign.ring));
  const auto found = logs_.find(assign.number);
  if (found == logs_.end()) return Breach("a log that is not claimed");
  if (found->second.ring != kNoRing) return Breach("a log that is another Writer's");
  found->second.ring = assign.ring;
  GrantTo(*ring, assign.number, found->second.hosted);
  return Answer{};
}

/// What is not deleted stays with the client until it goes.
Result<Session::Answer> Session::OnDrop(const Frame& request) {
  const LogNumber drop = TRY(DecodeLogNumber(request.body));
  const auto found = logs_.find(drop.number);
  if (found == logs_.end()) return Answer{};
  const auto ring = rings_.find(found->second.ring);
  if (ring != rings_.end()) ring->second->guard->Revoke(drop.number);
  if (!found->second.hosted.gone && environment_.hosting.DropDeleted(*this, found->second.hosted)) {
    std::erase(held_, found->second.hosted.slot);
  }
  logs_.erase(found);
  return Answer{};
}

Result<Session::Answer> Session::OnRead(const Frame& request) {
  const Read read = TRY(DecodeRead(request.body));
  const auto found = logs_.find(read.number);
  if (found == logs_.end() || found->second.hosted.gone) {
    return Breach("a log that is not claimed");
  }
  const log::HostedLog& hosted = found->second.hosted;
  if (read.range.empty()) return Breach("an empty range");
  Pin::Impl pin(environment_.store);
  TRY(environment_.hosting.Read(hosted.slot, read.range, std::min(read.bytes_max, kReadBytesMax),
                                pin));
  std::vector<ReadEntry> entries;
  for (const EntryView& entry : pin.entries) {
    const EntryIdentity identity{hosted.owner.cluster_id, entry.term, entry.index, entry.kind};
    entries.push_back({entry, EntryChecksum(identity, entry.payload)});
  }
  row_->read_entries.Add(entries.size());
  Pass(KillStep::kReadServed);
  return Answer{EncodeBody(entries), {}};
}

Result<Session::Answer> Session::OnList() const {
  std::vector<LogInfo> logs;
  environment_.store.AddLogsTo(logs);
  return Answer{EncodeBody(logs), {}};
}

Result<Session::Answer> Session::OnReason() const {
  const log::WalPort& port = *environment_.store.port;
  return Answer{EncodeBody(Reason{port.state_reason(), port.free_bytes()}), {}};
}

/// False: the connection is the host's from here on.
bool Session::OnTakeOver(const Frame& request) {
  const Status allowed = CheckTakeOver(request);
  if (!allowed.ok()) return Reply(request.id, allowed.error());
  environment_.hand_over(environment_.argument, std::move(socket_), request.id);
  return false;
}

Status Session::CheckTakeOver(const Frame& request) const {
  const Takeover wanted = TRY(DecodeTakeover(request.body));
  if (region_) return Breach("a client that would take over");
  if (socket_.peer().uid != ::geteuid()) {
    return Error{ErrorCode::kPermission,
                 "a WAL process of user " + std::to_string(socket_.peer().uid) +
                     " may not take over from one of user " + std::to_string(::geteuid()),
                 "start it as the same user"};
  }
  const std::string& data_dir = environment_.store.options.data_dir;
  // Clients would come to a store that knows nothing of what was acknowledged to them.
  if (wanted != TRY(TakeoverOf(data_dir))) {
    return Error{ErrorCode::kConfiguration,
                 "the WAL process that has this socket has another data directory, " + data_dir,
                 "give that one as --data-dir, or another --socket"};
  }
  Pass(KillStep::kSocketAsked);
  return {};
}

/// Waits until what was committed is durable; nobody touches the ring's memory any more then.
void Session::EndRing(Ring& ring, bool patient) {
  if (!ring.started) return;
  ring.started = false;
  LogStore::Impl& store = environment_.store;
  store.wal->EndRing(&ring.port);
  struct Waiting {
    const Session* session;
    const Ring* ring;
    bool patient;
  } waiting{this, &ring, patient};
  const auto drained = [](void* argument) {
    const auto* self = static_cast<const Waiting*>(argument);
    const bool gives_up =
        !self->patient || self->session->kicked_.load(std::memory_order_acquire);
    return self->ring->guard->drained() ||
           (gives_up && self->session->environment_.store.wal->stuck());
  };
  (void)store.executor->Await(drained, &waiting, Deadline::max());
  Pass(KillStep::kRingDrained);
  store.wal->RemoveRing(&ring.port);
  Pass(KillStep::kRingRemoved);
}

void Session::EndRings(bool patient) {
  for (const auto& [number, ring] : rings_) {
    if (ring->started) environment_.store.wal->EndRing(&ring->port);
  }
  for (const auto& [number, ring] : rings_) EndRing(*ring, patient);
}

void Session::GiveBackAll() {
  for (const std::uint32_t slot : held_) {
    environment_.hosting.GiveBack(*this, slot);
    Pass(KillStep::kLogGivenBack);
  }
  held_.clear();
  logs_.clear();
  environment_.store.executor->Progress();
}

void Session::End() {
  leaves_.store(true, std::memory_order_release);
  if (!why_.empty()) {
    const Frame cut{.kind = Kind::kCutOff,
                      .id = 0,
                      .body = EncodeBody(Refusal{{ErrorCode::kRefused, why_, ""}})};
    (void)SendFrame(socket_, cut, {}, environment_.patience_ms);
  }
  EndRings(true);
  const std::size_t logs = logs_.size();
  GiveBackAll();
  Pass(KillStep::kLogsGivenBack);
  environment_.store.log_.Write(
      why_.empty() ? LogLevel::kInfo : LogLevel::kError, "shm.client_left",
      why_.empty() ? "a client of the WAL process has left" : "a client was cut off",
      {{"pid", std::to_string(pid)},
       {"reason", why_},
       {"rings", std::to_string(rings_.size())},
       {"logs", std::to_string(logs)},
       {"logs_max", std::to_string(environment_.quota.logs)},
       {"bytes", std::to_string(bytes_)},
       {"bytes_max", std::to_string(environment_.quota.bytes)}});
  (void)::shutdown(socket_.fd(), SHUT_RDWR);
  rings_.clear();
  LeaveRow();
  Pass(KillStep::kClientUnmapped);
}

}  // namespace duramen::shm
