// Sending and receiving over a connection where the caller has time: threads that serve one client,
// and requests of a client. No call waits for ever: the other side may be stopped, or hang.
#pragma once

#include <chrono>
#include <vector>

#include "duramen/log_store.h"
#include "shm/protocol.h"
#include "shm/socket.h"

namespace duramen::shm {

inline Deadline In(int milliseconds) {
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
}

/// Waits up to `patience_ms` for a side that does not read. Errors: as Connection::Send.
Status SendFrame(Connection& connection, const Frame& frame, const std::vector<int>& fds,
                 int patience_ms);
/// Waits for the next message. Errors: as Connection::Receive; kTimeout; kClosed where `stop_fd` is
/// readable, -1: there is none.
Result<Message> ReceiveNext(Connection& connection, Deadline deadline, int stop_fd = -1);

}  // namespace duramen::shm
