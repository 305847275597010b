// A bell between a WAL process and a client that does with its end what it likes.
#include "shm/doorbell.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "tests/shm/descriptors.h"

namespace duramen::shm {
namespace {

bool Readable(const Doorbell& bell) {
  pollfd wait = {bell.fd(), POLLIN, 0};
  return ::poll(&wait, 1, 0) == 1;
}

struct Pair {
  std::pair<Doorbell, Descriptor> ends = Doorbell::Make().value();
  Doorbell host = std::move(ends.first);
  Doorbell client = Doorbell::Adopt(std::move(ends.second)).value();
};

TEST(Doorbell, SW1_IsHeardAtTheOtherEndBothWays) {
  const Pair pair;
  EXPECT_FALSE(Readable(pair.host));
  EXPECT_TRUE(pair.host.Hear());
  pair.client.Ring();
  pair.client.Ring();
  EXPECT_TRUE(Readable(pair.host));
  EXPECT_TRUE(pair.host.Hear());
  EXPECT_FALSE(Readable(pair.host));
  pair.host.Ring();
  EXPECT_TRUE(Readable(pair.client));
  EXPECT_TRUE(pair.client.Hear());
}

TEST(Doorbell, P4_P5_AClientCannotHoldUpWhoRingsOrHears) {
  const Pair pair;
  // It takes the flag away that an eventfd would share, hears nothing, and rings without end.
  ASSERT_EQ(::fcntl(pair.client.fd(), F_SETFL, 0), 0);
  for (int i = 0; i < 100'000; ++i) pair.host.Ring();
  for (int i = 0; i < 100'000; ++i) pair.client.Ring();
  EXPECT_TRUE(Readable(pair.client));
  EXPECT_TRUE(Readable(pair.host));
  int heard = 0;
  while (Readable(pair.host)) {
    ASSERT_TRUE(pair.host.Hear());
    ASSERT_LT(++heard, 10'000);
  }
  EXPECT_TRUE(pair.host.Hear());
  while (Readable(pair.client)) ASSERT_TRUE(pair.client.Hear());
  EXPECT_TRUE(pair.client.Hear());  // Nor can it forget that it must not wait.
}

TEST(Doorbell, P4_ABellThatTheClientEndsSaysSoAndNobodyEndsWithIt) {
  for (const bool closes : {true, false}) {
    Pair pair;
    pair.client.Ring();
    if (closes) {
      { const Doorbell gone = std::move(pair.client); }
    } else {
      ASSERT_EQ(::shutdown(pair.client.fd(), SHUT_RDWR), 0);
    }
    pair.host.Ring();
    EXPECT_TRUE(pair.host.Hear());  // What was rung before.
    EXPECT_FALSE(pair.host.Hear());
    EXPECT_FALSE(pair.host.Hear());
  }
}

TEST(Doorbell, P4_AnythingElseIsNoBell) {
  const std::ptrdiff_t before = testing::OpenDescriptors();
  EXPECT_EQ(Doorbell::Adopt(Descriptor(::eventfd(0, EFD_CLOEXEC))).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE(Doorbell::Adopt(Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC))).ok());
  EXPECT_FALSE(Doorbell::Adopt(Descriptor(::socket(AF_UNIX, SOCK_DGRAM, 0))).ok());
  EXPECT_FALSE(Doorbell::Adopt(Descriptor(-1)).ok());
  EXPECT_EQ(testing::OpenDescriptors(), before);
}

}  // namespace
}  // namespace duramen::shm
