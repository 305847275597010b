// What a client does when its WAL process is gone, and when the next one is there; see
// shm/remote.h.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/kill_step.h"
#include "base/try.h"
#include "shm/remote.h"
#include "shm/wait.h"

namespace duramen::shm {
namespace {

constexpr int kPatienceMsMin = 5;
constexpr int kPatienceMsMax = 1000;

}  // namespace

void RemoteWal::Listen() {
  while (WaitForNews()) {
  }
}

/// Wakes those who look at a Writer's descriptor or have a callback; false: the store closes.
bool RemoteWal::WaitForNews() {
  // The connection is this thread's to replace, so what is read here stays.
  pollfd waits[] = {{stop_.get(), POLLIN, 0},
                    {connection_->hears ? connection_->bell->fd() : -1, POLLIN, 0},
                    {connection_->socket.fd(), POLLRDHUP, 0}};
  if (::poll(waits, 3, -1) < 0) return true;
  if (waits[0].revents != 0) return false;
  if (waits[1].revents != 0) {
    connection_->hears = connection_->bell->Hear();
    NotifyWriters();
  }
  if (waits[2].revents == 0) return true;
  if (leaving_.load()) return false;  // It was asked to let go.
  OnGone();
  return !cut_off_.load() && ComeBack();
}

void RemoteWal::NotifyWriters() const {
  const std::lock_guard lock(rings_mutex_);
  for (const std::unique_ptr<Ring>& ring : rings_) {
    if (ring->writer != nullptr) ring->writer->Notify();
  }
}

void RemoteWal::OnGone() {
  Pass(KillStep::kGoneSeen);
  status_.store(Moves() ? &moving_ : &gone_, std::memory_order_release);
  page_.store(nullptr, std::memory_order_release);
  {
    const std::lock_guard lock(request_mutex_);
    (void)LastWord(*connection_);
    // Somebody may be about to ring.
    old_bells_.push_back(std::move(connection_->bell));
    connection_.reset();
  }
  control().progress.Ring();
  TellLink();
  NotifyWriters();
  Pass(KillStep::kGoneTold);
}

/// From here on it is gone as any other.
void RemoteWal::StopMoving() {
  status_.store(&gone_, std::memory_order_release);
  control().progress.Ring();
  TellLink();
  NotifyWriters();
}

/// False: the store closes, or this process is cut off.
bool RemoteWal::ComeBack() {
  int patience_ms = 0;  // A successor may have the socket already.
  const Deadline moves_until = In(moving_ms_);
  while (!cut_off_.load()) {
    pollfd stop{stop_.get(), POLLIN, 0};
    if (::poll(&stop, 1, patience_ms) > 0) return false;
    patience_ms = std::clamp(2 * patience_ms, kPatienceMsMin, kPatienceMsMax);
    Result<Link> connection = Connect();
    if (connection.ok()) Pass(KillStep::kBackConnected);
    const Status attached =
        connection.ok() ? AttachAgain(*connection) : Status(connection.error());
    {
      const std::lock_guard lock(rings_mutex_);
      not_back_ = attached.ok() ? "" : attached.error().message;
    }
    if (!attached.ok() && Moves() && In(0) > moves_until) StopMoving();
    if (!attached.ok()) continue;
    Use(std::move(*connection));
    Pass(KillStep::kBackInUse);
    NotifyWriters();
    return true;
  }
  control().progress.Ring();
  return false;
}

/// No log is opened meanwhile: one that is half claimed would be known to neither.
Status RemoteWal::AttachAgain(Link& connection) {
  const std::lock_guard open_lock(store_->open_mutex_);
  std::vector<const Ring*> rings;
  {
    const std::lock_guard lock(rings_mutex_);
    for (const std::unique_ptr<Ring>& ring : rings_) {
      if (ring->writer != nullptr) rings.push_back(ring.get());
    }
  }
  for (const Ring* ring : rings) {
    TRY(SendRing(connection, *ring));
    Pass(KillStep::kBackRingShown);
  }
  TRY(ClaimAgainAll(connection));
  Pass(KillStep::kBackClaimed);
  for (const Ring* ring : rings) {
    const Frame start{.kind = Kind::kStartRing, .id = 0,
                        .body = EncodeBody(RingNumber{ring->number})};
    (void)TRY(AskOn(connection, start, {}));
    Pass(KillStep::kBackStarted);
  }
  return {};
}

Status RemoteWal::ClaimAgainAll(Link& connection) {
  for (const LogStore::Impl::ClaimedLog& log : store_->ClaimedLogs()) {
    const std::uint32_t ring =
        log.writer == nullptr ? kNoRing : RingOf(*log.writer).number;
    const Frame claim{.kind = Kind::kClaimAgain, .id = 0,
                        .body = EncodeBody(ClaimAgain{ring, log.number, log.reclaim})};
    const Result<std::vector<std::byte>> body = AskOn(connection, claim, {});
    if (body.ok()) Pass(KillStep::kBackLogClaimed);
    // Not free yet, where what this process had before is still on its way.
    const bool later = !body.ok() && (body.error().code == ErrorCode::kWalDown ||
                                      body.error().code == ErrorCode::kTimeout);
    if (later) return body.error();
    if (!body.ok()) {
      store_->OnReclaimed(log.number, body.error());
      continue;
    }
    store_->OnReclaimed(log.number, DecodeHostedLog(*body));
  }
  return {};
}

}  // namespace duramen::shm
