#include "shm/wait.h"

#include <poll.h>

#include <optional>

#include "base/try.h"

namespace duramen::shm {

Status SendFrame(Connection& connection, const Frame& frame, const std::vector<int>& fds,
                 int patience_ms) {
  const std::vector<std::byte> bytes = Encode(frame);
  Status sent = connection.Send(bytes, fds);
  if (sent.ok() || sent.error().code != ErrorCode::kOverloaded) return sent;
  pollfd wait{connection.fd(), POLLOUT, 0};
  if (::poll(&wait, 1, patience_ms) <= 0) return sent;
  return connection.Send(bytes, fds);
}

Result<Message> ReceiveNext(Connection& connection) {
  while (true) {
    std::optional<Message> message = TRY(connection.Receive(kDescriptorsMax));
    if (message) return std::move(*message);
    pollfd wait{connection.fd(), POLLIN, 0};
    (void)::poll(&wait, 1, -1);
  }
}

}  // namespace duramen::shm
