// Sending and receiving over a connection where the caller has time: threads that serve one client,
// and requests of a client.
#pragma once

#include <vector>

#include "shm/protocol.h"
#include "shm/socket.h"

namespace duramen::shm {

/// Waits up to `patience_ms` for a side that does not read. Errors: as Connection::Send.
Status SendFrame(Connection& connection, const Frame& frame, const std::vector<int>& fds,
                 int patience_ms);
/// Waits for the next message. Errors: as Connection::Receive.
Result<Message> ReceiveNext(Connection& connection);

}  // namespace duramen::shm
