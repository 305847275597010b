// The service manager's side of a start, played by the test.
#include "shm/service.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "shm/socket.h"
#include "tests/base/temp_dir.h"

namespace duramen::shm {
namespace {

using duramen::testing::TempDir;

/// The manager's end of NOTIFY_SOCKET.
class Manager {
 public:
  explicit Manager(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(::setenv("NOTIFY_SOCKET", name.c_str(), 1), 0);
  }
  ~Manager() { ::unsetenv("NOTIFY_SOCKET"); }
  /// The next message; empty when there is none.
  std::string Heard() {
    char text[256];
    const ssize_t got = ::recv(fd_.get(), text, sizeof text, MSG_DONTWAIT);
    return got < 0 ? "" : std::string(text, static_cast<std::size_t>(got));
  }

 private:
  Descriptor fd_;
};

void ExpectNotices(const std::string& name) {
  Manager manager(name);
  const ServiceNotifier notifier = ServiceNotifier::FromEnvironment().value();
  EXPECT_EQ(::getenv("NOTIFY_SOCKET"), nullptr);
  ASSERT_TRUE(notifier.Ready().ok());
  EXPECT_EQ(manager.Heard(), "READY=1");
  ASSERT_TRUE(notifier.Tell("4 clients\nREADY=0").ok());
  EXPECT_EQ(manager.Heard(), "STATUS=4 clients READY=0");
  ASSERT_TRUE(notifier.Stopping().ok());
  EXPECT_EQ(manager.Heard(), "STOPPING=1");
  EXPECT_EQ(manager.Heard(), "");
}

TEST(Service, SW4_TellsWhenItIsReadyAndWhenItStops) {
  TempDir directory;
  ExpectNotices(directory / "notify");
  ExpectNotices("@duramen-test-" + std::to_string(::getpid()));
}

TEST(Service, SW4_WithoutAManagerNothingIsTold) {
  ::unsetenv("NOTIFY_SOCKET");
  const ServiceNotifier notifier = ServiceNotifier::FromEnvironment().value();
  EXPECT_TRUE(notifier.Ready().ok());
  EXPECT_TRUE(notifier.Tell("x").ok());
  EXPECT_TRUE(notifier.Stopping().ok());
}

TEST(Service, SW4_AManagerThatIsNotThereIsAnError) {
  for (const std::string& bad :
       {std::string("relative"), std::string("/"), "/" + std::string(200, 'x')}) {
    ASSERT_EQ(::setenv("NOTIFY_SOCKET", bad.c_str(), 1), 0);
    EXPECT_EQ(ServiceNotifier::FromEnvironment().error().code, ErrorCode::kConfiguration) << bad;
  }
  TempDir directory;
  ASSERT_EQ(::setenv("NOTIFY_SOCKET", (directory / "none").c_str(), 1), 0);
  EXPECT_FALSE(ServiceNotifier::FromEnvironment().value().Ready().ok());
}

struct Activation {
  std::vector<int> fds;  // become 3, 4, ... in the child
  std::string count;
  std::string names;
  std::string pid;  // empty: the child's own
};

/// Runs `judge` on what a child is given by a manager; its answer is the child's exit status.
template <typename Judge>
int InActivatedChild(const Activation& activation, Judge judge) {
  const pid_t child = ::fork();
  if (child == 0) {
    // Out of the way first, so that none is overwritten before it is copied.
    std::vector<int> aside;
    for (const int fd : activation.fds) aside.push_back(::fcntl(fd, F_DUPFD, 100));
    for (int fd = 3; fd < 100; ++fd) ::close(fd);
    for (std::size_t i = 0; i < aside.size(); ++i) ::dup2(aside[i], 3 + static_cast<int>(i));
    const std::string pid = activation.pid.empty() ? std::to_string(::getpid()) : activation.pid;
    ::setenv("LISTEN_PID", pid.c_str(), 1);
    ::setenv("LISTEN_FDS", activation.count.c_str(), 1);
    if (!activation.names.empty()) ::setenv("LISTEN_FDNAMES", activation.names.c_str(), 1);
    auto sockets = TakeActivatedSockets();
    const bool removed = ::getenv("LISTEN_PID") == nullptr && ::getenv("LISTEN_FDS") == nullptr &&
                         ::getenv("LISTEN_FDNAMES") == nullptr;
    ::_exit(removed && judge(sockets) ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

using Sockets = Result<std::vector<ActivatedSocket>>;

TEST(Service, SW4_TakesTheSocketsThatWereOpenedForIt) {
  TempDir directory;
  const std::string path = directory / "wal.sock";
  Listener listener = Listener::Listen(path).value();
  const Descriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Activation two{.fds = {listener.fd(), null.get()}, .count = "2", .names = "wal:other"};
  EXPECT_EQ(InActivatedChild(two,
                             [&](Sockets& sockets) {
                               if (!sockets.ok() || sockets->size() != 2) return false;
                               if ((*sockets)[0].name != "wal") return false;
                               if ((*sockets)[1].name != "other") return false;
                               if ((::fcntl(3, F_GETFD) & FD_CLOEXEC) == 0) return false;
                               auto taken = Listener::Adopt(std::move((*sockets)[0].fd));
                               if (!taken.ok()) return false;
                               auto other = Listener::Adopt(std::move((*sockets)[1].fd));
                               if (other.ok()) return false;
                               auto client = Connection::Connect(path);
                               return client.ok() && taken->Accept().value().has_value();
                             }),
            0);
  const Activation nameless{.fds = {listener.fd()}, .count = "1"};
  EXPECT_EQ(InActivatedChild(nameless,
                             [](Sockets& sockets) {
                               return sockets.ok() && sockets->size() == 1 &&
                                      (*sockets)[0].name == "unknown";
                             }),
            0);
}

TEST(Service, SW4_TakesNothingThatIsNotItsOwn) {
  const auto none = [](Sockets& sockets) { return sockets.ok() && sockets->empty(); };
  const auto refused = [](Sockets& sockets) {
    return !sockets.ok() && sockets.error().code == ErrorCode::kConfiguration &&
           !sockets.error().hint.empty();
  };
  const Descriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(InActivatedChild({.fds = {null.get()}, .count = "1", .pid = "1"}, none), 0);
  EXPECT_EQ(InActivatedChild({.count = "0"}, none), 0);
  EXPECT_EQ(InActivatedChild({.fds = {null.get()}, .count = "1", .pid = "me"}, refused), 0);
  for (const char* const count : {"2", "-1", "x", "1x", "", "65", "99999999999999999999"}) {
    EXPECT_EQ(InActivatedChild({.fds = {null.get()}, .count = count}, refused), 0) << count;
  }
  ::unsetenv("LISTEN_PID");
  ::unsetenv("LISTEN_FDS");
  EXPECT_TRUE(TakeActivatedSockets().value().empty());
}

}  // namespace
}  // namespace duramen::shm
