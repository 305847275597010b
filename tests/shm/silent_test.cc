// A WAL process that is stopped, or hangs: it takes connections, and does not answer.
#include <poll.h>

#include <new>
#include <thread>

#include "shm/doorbell.h"
#include "shm/layout.h"
#include "shm/open.h"
#include "shm/wait.h"
#include "tests/shm/shared.h"

namespace duramen::shm::testing {
namespace {

constexpr int kPatienceMs = 50;

class Silent : public SharedWal {
 protected:
  Silent()
      : listener_(std::make_unique<Listener>(Listener::Listen(dir_ / "socket").value())),
        page_(SealedMemory::Create("page", kPageBytes, WrittenBy::kMaker).value()),
        bell_(Doorbell::Make().value()) {
    new (page_.bytes().data()) StatusPage;
  }

  /// Says hello to who comes next, and nothing else.
  Connection Greet() {
    pollfd someone{listener_->fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&someone, 1, 60'000), 1);
    Connection peer = listener_->Accept().value().value();
    const Frame hello = Decode(ReceiveNext(peer, Soon()).value().bytes).value();
    const Welcome welcome{.boot = 1,
                          .payload_bytes_max = 1 << 20,
                          .row_bytes_max = 1 << 20,
                          .status_bytes = kPageBytes};
    const Frame answer{.kind = Kind::kAnswer, .id = hello.id, .body = EncodeBody(welcome)};
    (void)SendFrame(peer, answer, {page_.fd(), bell_.second.get()}, 1000);
    return peer;
  }
  static RemoteOptions Impatient() { return {.answer_ms = kPatienceMs}; }
  /// However long the hello takes here.
  LogStore Attach(const RemoteOptions& options) {
    while (true) {
      std::thread greeting([&] { peer_.emplace(Greet()); });
      Result<LogStore> store = OpenShared(ClientSettings(), options);
      greeting.join();
      if (store.ok()) return std::move(store).value();
      EXPECT_EQ(store.error().code, ErrorCode::kTimeout) << store.error().message;
    }
  }

  std::unique_ptr<Listener> listener_;
  SealedMemory page_;
  std::pair<Doorbell, Descriptor> bell_;
  std::optional<Connection> peer_;
};

TEST_F(Silent, SW3_AttachingToIsAnErrorInTime) {
  const Result<LogStore> store = OpenShared(ClientSettings(), Impatient());
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code, ErrorCode::kTimeout);
  EXPECT_NE(store.error().message.find("has not answered"), std::string::npos);
  EXPECT_FALSE(store.error().hint.empty());
}

TEST_F(Silent, SW3_RequestsEndInTimeAndTheNextWalProcessIsLookedFor) {
  LogStore store = Attach(Impatient());
  const Result<Writer> writer = store.NewWriter();
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().code, ErrorCode::kTimeout);
  EXPECT_NE(writer.error().message.find("has not answered"), std::string::npos);
  EXPECT_FALSE(writer.error().hint.empty());
  // The request, and the end of this client, which undoes what it may still do.
  pollfd end{peer_->fd(), POLLRDHUP, 0};
  EXPECT_EQ(::poll(&end, 1, 60'000), 1);
  // Another one is not waited for either, and then it is gone as any other.
  listener_.reset();
  StartHost();
  while (!store.NewWriter().ok()) std::this_thread::yield();
}

/// Both versions are named, on the side of the client.
TEST_F(Silent, SW5_AWalProcessOfAnotherVersionIsNoneToAttachTo) {
  std::thread answering([&] {
    pollfd someone{listener_->fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&someone, 1, 60'000), 1);
    Connection peer = listener_->Accept().value().value();
    const Frame hello = Decode(ReceiveNext(peer, Soon()).value().bytes).value();
    std::vector<std::byte> bytes =
        Encode({.kind = Kind::kAnswer, .id = hello.id, .body = std::vector<std::byte>(40)});
    bytes[4] = std::byte{kVersion + 1};
    EXPECT_TRUE(peer.Send(bytes).ok());
    peer_.emplace(std::move(peer));
  });
  const Result<LogStore> store = OpenShared(ClientSettings(), {});
  answering.join();
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code, ErrorCode::kUnknownVersion);
  EXPECT_NE(store.error().message.find("version " + std::to_string(kVersion + 1)),
            std::string::npos)
      << store.error().message;
  EXPECT_FALSE(store.error().hint.empty());
}

TEST_F(Silent, SW3_AClientEndsWhileItLooksForAnother) {
  std::optional<LogStore> store(Attach({}));
  peer_.reset();
  // It has come again, and nobody will answer it.
  pollfd someone{listener_->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&someone, 1, 60'000), 1);
  EXPECT_TRUE(store->Close(Soon()).ok());
  store.reset();
}

}  // namespace
}  // namespace duramen::shm::testing
