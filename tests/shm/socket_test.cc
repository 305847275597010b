// The socket between a WAL process and its clients, and those who misuse it.
#include "shm/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "tests/base/temp_dir.h"
#include "tests/shm/descriptors.h"

namespace duramen::shm {
namespace {

using duramen::testing::TempDir;

std::vector<std::byte> BytesOf(std::string_view text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::string TextOf(const Message& message) {
  return {reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size()};
}

/// A listener with one client let in.
struct Attached {
  TempDir directory;
  std::string path = directory / "wal.sock";
  Listener listener = Listener::Listen(path).value();
  Connection client = Connection::Connect(path).value();
  Connection host = std::move(*listener.Accept().value());
};

/// Sends as a client does that keeps to no rule.
void SendRaw(int fd, std::size_t bytes, const std::vector<int>& descriptors) {
  std::vector<char> text(bytes, 'x');
  iovec part = {text.data(), text.size()};
  std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
  }
  ASSERT_EQ(::sendmsg(fd, &header, 0), static_cast<ssize_t>(bytes));
}

int ExitOf(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// Runs `run` in a child of fork; its exit status is the answer.
template <typename Run>
pid_t Fork(Run run) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(run());
  return child;
}

TEST(Socket, SW1_CarriesMessagesAndDescriptorsBothWays) {
  Attached pair;
  EXPECT_FALSE(pair.listener.Accept().value().has_value());
  EXPECT_FALSE(pair.host.Receive().value().has_value());
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Descriptor read_end(ends[0]);
  Descriptor write_end(ends[1]);
  ASSERT_TRUE(pair.client.Send(BytesOf("one"), std::array{ends[1], ends[0]}).ok());
  ASSERT_TRUE(pair.client.Send(BytesOf("two")).ok());
  ASSERT_TRUE(pair.host.Send(std::vector<std::byte>(kMessageBytesMax, std::byte{7})).ok());
  const Message one = std::move(*pair.host.Receive(2).value());
  EXPECT_EQ(TextOf(one), "one");
  ASSERT_EQ(one.descriptors.size(), 2u);
  EXPECT_NE(::fcntl(one.descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(::write(one.descriptors[0].get(), "x", 1), 1);
  char byte = 0;
  ASSERT_EQ(::read(read_end.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(TextOf(*pair.host.Receive().value()), "two");
  EXPECT_EQ(pair.client.Receive().value()->bytes,
            std::vector<std::byte>(kMessageBytesMax, std::byte{7}));
}

TEST(Socket, SW5_TheKernelSaysWhoTheOtherSideIs) {
  Attached pair;
  for (const Peer& peer : {pair.host.peer(), pair.client.peer()}) {
    EXPECT_EQ(peer.pid, ::getpid());
    EXPECT_EQ(peer.uid, ::geteuid());
    EXPECT_EQ(peer.gid, ::getegid());
  }
}

TEST(Socket, SW2_TheEndOfThePeersProcessIsSeen) {
  TempDir directory;
  Listener listener = Listener::Listen(directory / "s").value();
  const pid_t child = Fork([&] {
    Connection connection = Connection::Connect(directory / "s").value();
    pollfd wait = {connection.fd(), POLLIN, 0};
    ::poll(&wait, 1, 60'000);
    return 0;
  });
  pollfd wait = {listener.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, 60'000), 1);
  Connection host = std::move(*listener.Accept().value());
  EXPECT_EQ(host.peer().pid, child);
  const Descriptor process = host.PeerProcess().value();
  pollfd ended = {process.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 0), 0);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  EXPECT_EQ(::poll(&ended, 1, 60'000), 1);
  ASSERT_EQ(ExitOf(child), -1);
  EXPECT_EQ(host.Receive().error().code, ErrorCode::kClosed);
  EXPECT_EQ(host.Send(BytesOf("x")).error().code, ErrorCode::kClosed);
  // Late: a pidfd of nobody or of one who has ended, never of a stranger who lives.
  const Result<Descriptor> late = host.PeerProcess();
  if (late.ok()) {
    ended = {late->get(), POLLIN, 0};
    EXPECT_EQ(::poll(&ended, 1, 0), 1);
  }
}

TEST(Socket, P5_APeerThatDoesNotReadIsAnErrorAtOnceAndLosesNothing) {
  Attached pair;
  const std::vector<std::byte> large(kMessageBytesMax, std::byte{1});
  int sent = 0;
  Status status;
  while ((status = pair.host.Send(large)).ok()) ASSERT_LT(++sent, 100);
  EXPECT_EQ(status.error().code, ErrorCode::kOverloaded);
  EXPECT_GE(sent, 2);
  for (int i = 0; i < sent; ++i) EXPECT_TRUE(pair.client.Receive().value().has_value());
  EXPECT_FALSE(pair.client.Receive().value().has_value());
  EXPECT_TRUE(pair.host.Send(large).ok());
}

/// The kernel tells first that it went with something unread.
TEST(Socket, P8_WhatAPeerSaidBeforeItWentIsHeard) {
  Attached pair;
  ASSERT_TRUE(pair.client.Send(BytesOf("never read")).ok());
  ASSERT_TRUE(pair.host.Send(BytesOf("why")).ok());
  { const Connection gone = std::move(pair.host); }
  const Result<std::optional<Message>> word = pair.client.Receive();
  ASSERT_TRUE(word.ok()) << word.error().message;
  EXPECT_EQ(TextOf(word->value()), "why");
  EXPECT_EQ(pair.client.Receive().error().code, ErrorCode::kClosed);
}

TEST(Socket, P4_DescriptorsNobodyAskedForAreClosed) {
  Attached pair;
  const Descriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::ptrdiff_t before = testing::OpenDescriptors();
  struct Case {
    std::size_t bytes;
    std::size_t descriptors;
    std::size_t expected;
  };
  for (const Case& one : {Case{10, 1, 0}, Case{10, 3, 2}, Case{10, 8, 7}, Case{10, 9, 8},
                          Case{10, 200, 8}, Case{kMessageBytesMax + 1, 8, 8}}) {
    SendRaw(pair.client.fd(), one.bytes, std::vector<int>(one.descriptors, file.get()));
    const auto received = pair.host.Receive(one.expected);
    ASSERT_FALSE(received.ok());
    EXPECT_EQ(received.error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(received.error().hint.empty());
    EXPECT_EQ(testing::OpenDescriptors(), before) << one.descriptors;
  }
  SendRaw(pair.client.fd(), 10, std::vector<int>(8, file.get()));
  {
    const auto received = pair.host.Receive(8);
    ASSERT_TRUE(received.ok());
    EXPECT_EQ(testing::OpenDescriptors(), before + 8);
  }
  EXPECT_EQ(testing::OpenDescriptors(), before);
}

TEST(Socket, P4_AMessageTooLongOrEmptyEndsIt) {
  Attached pair;
  SendRaw(pair.client.fd(), kMessageBytesMax + 1, {});
  EXPECT_EQ(pair.host.Receive().error().code, ErrorCode::kInvalidArgument);
  const Descriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::ptrdiff_t before = testing::OpenDescriptors();
  SendRaw(pair.client.fd(), 0, {file.get()});
  EXPECT_EQ(pair.host.Receive(8).error().code, ErrorCode::kClosed);
  EXPECT_EQ(testing::OpenDescriptors(), before);
  const std::vector<std::byte> too_long(kMessageBytesMax + 1);
  EXPECT_EQ(pair.client.Send(too_long).error().code, ErrorCode::kTooLarge);
  const std::vector<int> too_many(kDescriptorsMax + 1, file.get());
  EXPECT_EQ(pair.client.Send(BytesOf("x"), too_many).error().code, ErrorCode::kTooLarge);
  EXPECT_FALSE(pair.client.Send(BytesOf("x"), std::array{-1}).ok());
}

TEST(Socket, P4_WithoutRoomForDescriptorsNothingLeaksAndNobodyEnds) {
  Attached pair;
  const Descriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(pair.client.Send(BytesOf("x"), std::vector<int>(8, file.get())).ok());
  const Connection waits = Connection::Connect(pair.path).value();
  const std::ptrdiff_t before = testing::OpenDescriptors();
  rlimit usual = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  // Descriptors are numbered from the lowest that is free: none is, once one over all has a place.
  const Descriptor highest(::dup(file.get()));
  const rlimit few = {static_cast<rlim_t>(highest.get()), usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto received = pair.host.Receive(8);
  const auto accepted = pair.listener.Accept();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_EQ(received.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(accepted.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(testing::OpenDescriptors(), before + 1);
  EXPECT_TRUE(pair.listener.Accept().value().has_value());
}

TEST(Socket, P8_TheFileIsForItsUserOrOneGroupAlone) {
  TempDir directory;
  const std::string path = directory / "s";
  const mode_t former = ::umask(0);
  struct stat status = {};
  {
    const Listener listener = Listener::Listen(path).value();
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777u, 0600u);
  }
  EXPECT_NE(::stat(path.c_str(), &status), 0);  // It goes with its listener.
  ::umask(0077);
  {
    const Listener listener = Listener::Listen(path, {.mode = 0660, .group = ::getegid()}).value();
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777u, 0660u);
    EXPECT_EQ(status.st_gid, ::getegid());
  }
  ::umask(former);
  EXPECT_EQ(Listener::Listen(path, {.mode = 0666}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(::stat(path.c_str(), &status), 0);
}

TEST(Socket, P8_AnotherUserIsRefusedByTheFile) {
  Attached pair;
  ASSERT_EQ(::chmod(pair.directory.path().c_str(), 0755), 0);
  if (::geteuid() != 0) {
    // As nobody but root becomes another user, this one locks itself out.
    ASSERT_EQ(::chmod(pair.path.c_str(), 0), 0);
  }
  const pid_t child = Fork([&] {
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 2;
    const Result<Connection> refused = Connection::Connect(pair.path);
    return !refused.ok() && refused.error().code == ErrorCode::kPermission ? 0 : 1;
  });
  EXPECT_EQ(ExitOf(child), 0);
}

TEST(Socket, P7_ALiveSocketIsRefusedAndADeadOwnersIsReplaced) {
  TempDir directory;
  const std::string path = directory / "s";
  const std::ptrdiff_t before = testing::OpenDescriptors();
  {
    Listener first = Listener::Listen(path).value();
    EXPECT_EQ(Listener::Listen(path).error().code, ErrorCode::kInUse);
    Connection still_there = Connection::Connect(path).value();
    EXPECT_TRUE(first.Accept().value().has_value());
    first.LeaveFile();
  }
  EXPECT_EQ(Connection::Connect(path).error().code, ErrorCode::kNotFound);
  {
    Listener successor = Listener::Listen(path).value();
    EXPECT_TRUE(Connection::Connect(path).ok());
  }
  EXPECT_EQ(Connection::Connect(path).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(testing::OpenDescriptors(), before);
}

TEST(Socket, P7_AListenerRemovesNoFileOfASuccessor) {
  TempDir directory;
  const std::string path = directory / "s";
  auto old = std::make_unique<Listener>(Listener::Listen(path).value());
  ASSERT_EQ(::rename(path.c_str(), (directory / "aside").c_str()), 0);
  const Listener successor = Listener::Listen(path).value();
  old.reset();
  EXPECT_TRUE(Connection::Connect(path).ok());
}

TEST(Socket, SW4_AListenerIsHandedOverWithThoseWhoWait) {
  Attached pair;
  Connection waits = Connection::Connect(pair.path).value();
  ASSERT_TRUE(waits.Send(BytesOf("early")).ok());
  ASSERT_TRUE(pair.host.Send(BytesOf("take over"), std::array{pair.listener.fd()}).ok());
  Message message = std::move(*pair.client.Receive(1).value());
  Listener successor = Listener::Adopt(std::move(message.descriptors[0])).value();
  pair.listener.LeaveFile();
  { const Listener gone = std::move(pair.listener); }
  Connection taken = std::move(*successor.Accept().value());
  EXPECT_EQ(TextOf(*taken.Receive().value()), "early");
  EXPECT_TRUE(Connection::Connect(pair.path).ok());
}

/// Of who connects it is known that it did; of who listens, only who opened the socket.
TEST(Socket, SW4_UnderSocketActivationWhoConnectsSeesTheServiceManager) {
  TempDir directory;
  const std::string path = directory / "s";
  const Descriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const pid_t manager = Fork([&] {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    const bool listens =
        ::bind(fd.get(), generic, sizeof address) == 0 && ::listen(fd.get(), 8) == 0;
    return listens ? 0 : 1;
  });
  int status = -1;
  ASSERT_EQ(::waitpid(manager, &status, 0), manager);
  ASSERT_EQ(status, 0);
  Listener service = Listener::Adopt(Descriptor(::dup(fd.get()))).value();
  const Connection client = Connection::Connect(path).value();
  const Connection host = std::move(*service.Accept().value());
  EXPECT_EQ(client.peer().pid, manager);
  EXPECT_EQ(client.peer().uid, ::geteuid());
  EXPECT_EQ(host.peer().pid, ::getpid());
  EXPECT_TRUE(host.PeerProcess().ok());
  // A watch on it says that it has ended, which says nothing of who accepted.
  const Result<Descriptor> watch = client.PeerProcess();
  pollfd end{watch.ok() ? watch->get() : -1, POLLIN, 0};
  EXPECT_EQ(::poll(&end, 1, 0), watch.ok() ? 1 : 0);
}

TEST(Socket, P7_WhatIsNoSocketIsLeftAlone) {
  TempDir directory;
  const std::string path = directory / "s";
  std::ofstream(path) << "precious";
  EXPECT_EQ(Listener::Listen(path).error().code, ErrorCode::kAlreadyExists);
  EXPECT_FALSE(Connection::Connect(path).ok());
  const std::string link = directory / "link";
  ASSERT_EQ(::symlink("s", link.c_str()), 0);
  EXPECT_EQ(Listener::Listen(link).error().code, ErrorCode::kAlreadyExists);
  std::string kept;
  std::ifstream(path) >> kept;
  EXPECT_EQ(kept, "precious");
  EXPECT_EQ(Listener::Listen(directory.path()).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(Listener::Listen(directory / "none/s").error().code, ErrorCode::kNotFound);
  for (const std::string& bad : {std::string(), std::string(200, 'x'), std::string("a\0b", 3)}) {
    EXPECT_EQ(Listener::Listen(bad).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(Connection::Connect(bad).error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Socket, P7_ASocketOfAnotherKindIsNoneOfOurs) {
  TempDir directory;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = directory / "stream";
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(stream.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(stream.get(), 1), 0);
  EXPECT_EQ(Connection::Connect(path).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Listener::Listen(path).error().code, ErrorCode::kInUse);
  EXPECT_EQ(Listener::Adopt(std::move(stream)).error().code, ErrorCode::kInvalidArgument);
  Attached pair;
  EXPECT_EQ(Listener::Adopt(Descriptor(::dup(pair.client.fd()))).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(Connection::Adopt(Descriptor(::dup(pair.listener.fd()))).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(Connection::Adopt(Descriptor(-1)).error().code, ErrorCode::kInvalidArgument);
}

TEST(Socket, P8_AFullQueueIsToldAndNotWaitedFor) {
  TempDir directory;
  const Listener listener = Listener::Listen(directory / "s").value();
  std::vector<Connection> waiting;
  while (true) {
    Result<Connection> connection = Connection::Connect(directory / "s");
    if (!connection.ok()) {
      EXPECT_EQ(connection.error().code, ErrorCode::kOverloaded);
      break;
    }
    waiting.push_back(std::move(*connection));
    ASSERT_LT(waiting.size(), 1000u);
  }
  EXPECT_GT(waiting.size(), 100u);
}

}  // namespace
}  // namespace duramen::shm
