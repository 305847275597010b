#include "shm/take_over.h"

#include <poll.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/posix_io.h"
#include "base/try.h"
#include "shm/wait.h"

namespace duramen::shm {
namespace {

constexpr int kPatienceMs = 10'000;  // with a predecessor that does not read

}  // namespace

Result<Takeover> TakeoverOf(const std::string& data_dir) {
  struct stat facts = {};
  if (::stat(data_dir.c_str(), &facts) != 0) return PosixError("take over", data_dir, errno);
  return Takeover{facts.st_dev, facts.st_ino};
}

Result<Descriptor> TakeOver(const std::string& socket_path, const std::string& data_dir) {
  const Takeover directory = TRY(TakeoverOf(data_dir));
  Connection connection = TRY(Connection::Connect(socket_path));
  const Frame request{.kind = Kind::kTakeOver, .id = 1, .body = EncodeBody(directory)};
  TRY(SendFrame(connection, request, {}, kPatienceMs));
  Message packet = TRY(ReceiveNext(connection));
  const Frame answer = TRY(Decode(packet.bytes));
  if (answer.kind == Kind::kRefusal || answer.kind == Kind::kCutOff) {
    return TRY(DecodeRefusal(answer.body)).error;
  }
  if (answer.kind != Kind::kAnswer || packet.descriptors.size() != 1) {
    return Error{ErrorCode::kCorruption,
                 "the WAL process at '" + socket_path + "' hands over no socket",
                 "stop it with SIGTERM, and start the new one without --takeover"};
  }
  // It hangs up when what its clients had committed is durable.
  pollfd end{connection.fd(), POLLRDHUP, 0};
  while (::poll(&end, 1, -1) < 0) {
  }
  return std::move(packet.descriptors.front());
}

}  // namespace duramen::shm
