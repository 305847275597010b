#include "shm/wait.h"

#include <poll.h>

#include <algorithm>
#include <climits>
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

Result<Message> ReceiveNext(Connection& connection, Deadline deadline, int stop_fd) {
  while (true) {
    std::optional<Message> message = TRY(connection.Receive(kDescriptorsMax));
    if (message) return std::move(*message);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return Error{ErrorCode::kTimeout, "the other side of the socket does not answer",
                   "is that process stopped, or does its disk hang?"};
    }
    pollfd waits[] = {{connection.fd(), POLLIN, 0}, {stop_fd, POLLIN, 0}};
    const auto ms = std::min<std::chrono::milliseconds::rep>(left.count(), INT_MAX);
    const bool news = ::poll(waits, 2, static_cast<int>(ms)) > 0;
    if (news && waits[1].revents != 0) return Error{ErrorCode::kClosed, "it is not waited for", ""};
  }
}

}  // namespace duramen::shm
