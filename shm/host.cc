#include "shm/host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "base/check.h"
#include "base/directories.h"
#include "base/kill_step.h"
#include "base/settings.h"
#include "base/signals.h"
#include "base/stat_memory.h"
#include "base/try.h"
#include "log/shards.h"
#include "shm/take_over.h"
#include "shm/wait.h"

namespace duramen::shm {
namespace {

constexpr int kBellsAtOnce = 64;
constexpr int kRestMs = 100;

}  // namespace

Host::Host(const HostOptions& options)
    : options_(options),
      file_system_(std::make_unique<PosixFileSystem>()),
      clock_(std::make_unique<SystemClock>()),
      executor_(std::make_unique<ThreadExecutor>()),
      stop_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      handed_over_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      bells_(::epoll_create1(EPOLL_CLOEXEC)) {}

Host::~Host() { (void)Close(Deadline::max()); }

Result<std::unique_ptr<Host>> Host::Start(const LogStoreOptions& store_options,
                                          const HostOptions& options) {
  if (store_options.wal_shards != 1) {
    return Error{ErrorCode::kConfiguration,
                 "a WAL process has one WAL shard, and wal_shards is " +
                     std::to_string(store_options.wal_shards),
                 "set wal_shards to 1, or start a WAL process for each of several directories"};
  }
  TRY(ValidateOptions(store_options));
  TRY(CheckDirectories(WithRealPaths(store_options)));
  auto host = std::unique_ptr<Host>(new Host(options));
  TRY(host->OpenStore(store_options));
  TRY(host->Listen());
  return host;
}

Status Host::OpenStore(const LogStoreOptions& store_options) {
  status_ = TRY(SealedMemory::Create("duramen-status", kPageBytes, WrittenBy::kMaker));
  auto* page = new (status_->bytes().data()) StatusPage;
  store_ = std::make_unique<LogStore::Impl>(store_options, log::StorageTuning{}, Rng::FromSystem());
  store_->wal_status = &page->wal;
  store_->wal_asleep = &page->asleep;
  hosting_ = std::make_unique<log::Hosting>(*store_);
  store_->wal_before = options_.wal_end;
  TRY(store_->Open({*file_system_, *clock_, *executor_, store_->rng, &StatMemory::Shared}));
  report_ = store_->report;
  Pass(KillStep::kStoreOpened);
  return {};
}

Status Host::Listen() {
  if (options_.listening_fd < 0) {
    SocketOptions socket;
    if (options_.group) socket = {.mode = 0660, .group = options_.group};
    listening_.emplace(TRY(Listener::Listen(options_.socket_path, socket)));
  } else {
    const int copy = ::fcntl(options_.listening_fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return PosixError("take over", options_.socket_path, errno);
    listening_.emplace(TRY(Listener::Adopt(Descriptor(copy))));
    if (options_.owns_socket_file) listening_->OwnFile(options_.socket_path);
  }
  epoll_event stop{.events = EPOLLIN, .data = {.fd = stop_.get()}};
  CHECK(::epoll_ctl(bells_.get(), EPOLL_CTL_ADD, stop_.get(), &stop) == 0);
  const SignalsBlocked blocked;
  hearing_ = std::thread([this] { HearBells(); });
  accepting_ = std::thread([this] { Accept(); });
  Pass(KillStep::kListening);
  return {};
}

void Host::Accept() {
  while (!stopping_.load(std::memory_order_acquire)) {
    pollfd waits[] = {{listening_->fd(), POLLIN, 0},
                      {stop_.get(), POLLIN, 0},
                      {handed_over_.get(), POLLIN, 0}};
    if (::poll(waits, 3, -1) < 0) continue;
    if (waits[1].revents != 0 || waits[2].revents != 0) return;  // The rest waits in the queue.
    Result<std::optional<Connection>> accepted = listening_->Accept();
    if (accepted.ok() && *accepted) Pass(KillStep::kAccepted);
    Reap(false);
    if (accepted.ok() && *accepted) Admit(std::move(**accepted));
    if (!accepted.ok()) (void)::poll(&waits[1], 1, kRestMs);  // Until descriptors are free again.
  }
}

Status Host::CheckPeer(const Peer& peer) const {
  const bool allowed = peer.uid == ::geteuid() ||
                       std::ranges::find(options_.users, peer.uid) != options_.users.end();
  if (allowed) return {};
  return Error{ErrorCode::kPermission,
               "user " + std::to_string(peer.uid) + " may not attach to this WAL process",
               "name the user with --user when the WAL process is started"};
}

void Host::Admit(Connection connection) {
  Status allowed = CheckPeer(connection.peer());
  Pass(KillStep::kAdmitted);
  const std::lock_guard lock(mutex_);
  if (allowed.ok() && sessions_.size() >= options_.clients_max) {
    allowed = Error{ErrorCode::kOverloaded,
                    "the WAL process has " + std::to_string(sessions_.size()) + " clients",
                    "raise --clients, or stop one of them"};
  }
  if (!allowed.ok()) {
    store_->stats->state.clients_refused.AddShared(1);
    store_->log_.Write(LogLevel::kWarning, "shm.refused", allowed.error().message,
                       {{"pid", std::to_string(connection.peer().pid)}});
    const Frame refusal{
        .kind = Kind::kCutOff, .id = 0, .body = EncodeBody(Refusal{allowed.error()})};
    (void)SendFrame(connection, refusal, {}, 0);
    return;
  }
  sessions_.push_back(std::make_unique<Session>(
      std::move(connection), Session::Environment{.store = *store_,
                                              .hosting = *hosting_,
                                              .status = *status_,
                                              .quota = options_.quota,
                                              .patience_ms = options_.patience_ms,
                                              .watch_bell = &Host::WatchBell,
                                              .hand_over = &Host::HandOver,
                                              .argument = this}));
  sessions_.back()->Start();
  Pass(KillStep::kSessionStarted);
}

/// Any thread of a session. Who connects from here on waits for the successor.
void Host::HandOver(void* argument, Connection successor, std::uint32_t request) {
  auto* host = static_cast<Host*>(argument);
  const std::lock_guard lock(host->successor_mutex_);
  if (!host->listening_ || host->successor_) {
    const Error taken{ErrorCode::kInUse, "another process takes over from this WAL process",
                      "let that one be the successor"};
    const Frame refusal{
        .kind = Kind::kRefusal, .id = request, .body = EncodeBody(Refusal{taken})};
    return (void)SendFrame(successor, refusal, {}, 0);
  }
  const HandedSocket handed{host->listening_->owns_file()};
  const Frame answer{.kind = Kind::kAnswer, .id = request, .body = EncodeBody(handed)};
  // One that is gone already takes nothing over.
  if (!SendFrame(successor, answer, {host->listening_->fd()}, 0).ok()) return;
  Pass(KillStep::kSocketGiven);
  host->successor_.emplace(std::move(successor));
  reinterpret_cast<StatusPage*>(host->status_->bytes().data())->hands_over.store(1);
  host->successors_request_ = request;
  const std::uint64_t one = 1;
  (void)!::write(host->handed_over_.get(), &one, sizeof one);
}

void Host::FlushForSuccessor(Deadline deadline) {
  store_->flush_now.store(true, std::memory_order_relaxed);
  const Counter& written = store_->stats->wal.bytes;
  FlushRounds rounds;
  std::uint64_t before = 0;
  do {
    before = written.value();
  } while (FlushAll(deadline) && rounds.Again(written.value() - before));
  Pass(KillStep::kSuccessorFlushed);
}

/// Of what is in the WAL now. False: it takes too long, or cannot be done.
bool Host::FlushAll(Deadline deadline) {
  struct Waiting {
    const LogStore::Impl& store;
    std::uint64_t file;
    bool flushed = false;
  } waiting{*store_, store_->port->current_file()};
  store_->wal->ForceRoll();
  const auto flushed = [](void* argument) {
    auto* self = static_cast<Waiting*>(argument);
    self->flushed = self->store.port->flushed_upto() >= self->file;
    return self->flushed || self->store.wal->stuck();
  };
  (void)executor_->Await(flushed, &waiting, deadline);
  return waiting.flushed;
}

/// Its clients wait, so it need not find out by itself that the directory is free.
void Host::TellSuccessor() {
  const std::optional<wal::WalEnd> end = store_->wal_end;
  hosting_.reset();
  store_.reset();  // With the lock of the directory.
  if (end) {
    const Frame told{
        .kind = Kind::kAnswer, .id = successors_request_, .body = EncodeBody(*end)};
    (void)SendFrame(*successor_, told, {}, 0);
  }
  successor_.reset();
  Pass(KillStep::kSuccessorTold);
}

/// Any thread of a session.
void Host::WatchBell(void* argument, const Doorbell& bell, bool begin) {
  auto* host = static_cast<Host*>(argument);
  const std::lock_guard lock(host->bells_mutex_);
  epoll_event event{.events = EPOLLIN, .data = {.fd = bell.fd()}};
  (void)::epoll_ctl(host->bells_.get(), begin ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, bell.fd(), &event);
  if (begin) host->heard_[bell.fd()] = &bell;
  if (!begin) host->heard_.erase(bell.fd());
}

/// One whose other side has ended it would be readable for ever.
void Host::HearBell(int fd) {
  const std::lock_guard lock(bells_mutex_);
  const auto bell = heard_.find(fd);
  if (bell == heard_.end() || bell->second->Hear()) return;
  epoll_event event{};
  (void)::epoll_ctl(bells_.get(), EPOLL_CTL_DEL, fd, &event);
}

void Host::HearBells() {
  while (true) {
    epoll_event events[kBellsAtOnce];
    const int count = ::epoll_wait(bells_.get(), events, kBellsAtOnce, -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == stop_.get()) return;
      HearBell(events[i].data.fd);
    }
    if (count > 0) executor_->Wake(*store_->wal);
  }
}

/// Sessions that are over; `all`: all of them, when they are.
void Host::Reap(bool all) {
  std::vector<std::unique_ptr<Session>> over;
  {
    const std::lock_guard lock(mutex_);
    for (std::unique_ptr<Session>& session : sessions_) {
      if (all || session->done()) over.push_back(std::move(session));
    }
    std::erase(sessions_, nullptr);
  }
  for (const std::unique_ptr<Session>& session : over) session->Kick();
}

std::size_t Host::clients() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count_if(
      sessions_, [](const std::unique_ptr<Session>& session) { return !session->done(); }));
}

Status Host::Close(Deadline deadline) {
  if (std::exchange(closed_, true)) return {};
  stopping_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);
  if (accepting_.joinable()) accepting_.join();
  {
    const std::lock_guard lock(successor_mutex_);
    if (successor_) listening_->LeaveFile();
    listening_.reset();
  }
  Reap(true);  // The bells are heard until all that is committed is durable.
  if (hearing_.joinable()) hearing_.join();
  Pass(KillStep::kClientsReleased);
  if (store_ == nullptr || !store_->started) return {};
  const Status closed = store_->shards->Close(deadline);
  Pass(KillStep::kDirectoryClosed);
  if (successor_) TellSuccessor();
  return closed;
}

}  // namespace duramen::shm
