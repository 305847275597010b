#include "shm/take_over.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/kill_step.h"
#include "base/posix_io.h"
#include "base/try.h"
#include "shm/wait.h"

namespace duramen::shm {
namespace {

constexpr int kPatienceMs = 10'000;  // with a predecessor that does not read, or answer
constexpr int kEndMs = 70'000;       // more than it gives its flush, its clients and its end

/// It says how its WAL ended when its directory is free, or hangs up. Who has that name is believed
/// if it could write to the directory anyway.
std::optional<wal::WalEnd> AwaitEnd(Connection& connection) {
  const Result<Message> packet = ReceiveNext(connection, In(kEndMs));
  const uid_t user = connection.peer().uid;
  if (!packet.ok() || (user != ::geteuid() && user != 0)) return std::nullopt;
  const Result<Frame> told = Decode(packet->bytes);
  if (!told.ok() || told->kind != Kind::kAnswer) return std::nullopt;
  Result<wal::WalEnd> end = DecodeWalEnd(told->body);
  if (!end.ok()) return std::nullopt;
  return std::move(*end);
}

}  // namespace

Result<Takeover> TakeoverOf(const std::string& data_dir) {
  struct stat facts = {};
  if (::stat(data_dir.c_str(), &facts) != 0) return PosixError("take over", data_dir, errno);
  return Takeover{facts.st_dev, facts.st_ino};
}

Result<HandedOver> TakeOver(const std::string& socket_path, const std::string& data_dir) {
  const Takeover directory = TRY(TakeoverOf(data_dir));
  Connection connection = TRY(Connection::Connect(socket_path));
  const Frame request{.kind = Kind::kTakeOver, .id = 1, .body = EncodeBody(directory)};
  TRY(SendFrame(connection, request, {}, kPatienceMs));
  Pass(KillStep::kSuccessorAsked);
  Message packet = TRY(ReceiveNext(connection, In(kPatienceMs)));
  const Frame answer = TRY(Decode(packet.bytes));
  if (answer.kind == Kind::kRefusal || answer.kind == Kind::kCutOff) {
    return TRY(DecodeRefusal(answer.body)).error;
  }
  if (answer.kind != Kind::kAnswer || packet.descriptors.size() != 1) {
    return Error{ErrorCode::kCorruption,
                 "the WAL process at '" + socket_path + "' hands over no socket",
                 "stop it with SIGTERM, and start the new one without --takeover"};
  }
  const HandedSocket handed = TRY(DecodeHandedSocket(answer.body));
  Pass(KillStep::kSuccessorHasSocket);
  HandedOver over{.socket = std::move(packet.descriptors.front()),
                  .owns_file = handed.owns_file,
                  .wal_end = AwaitEnd(connection)};
  Pass(KillStep::kSuccessorsTurn);
  return over;
}

}  // namespace duramen::shm
