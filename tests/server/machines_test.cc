#include "duramen/machines.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "server/hosted_machine.h"

namespace duramen::server {
namespace {

const auto kNobody = std::make_shared<const core::Configuration>();

class Bundled : public ::testing::Test {
 protected:
  void Use(const MachineType& type) { machine_ = HostedMachine::Make(type, "here").value(); }
  std::string Do(const std::string& command) {
    const auto framed = EncodeCommand({.payload = AsBytes(command)});
    const Committed one{{1, ++index_}, framed, true};
    Applied answer;
    machine_->Apply({.members = kNobody}, {&one, 1}, {&answer, 1});
    EXPECT_FALSE(machine_->failed().has_value());
    return answer.answer;
  }
  std::string Ask(const std::string& query) {
    const Result<std::string> answer = machine_->Query(AsBytes(query));
    return answer.ok() ? *answer : answer.error().message;
  }
  bool Takes(const std::string& command) { return machine_->Validate(AsBytes(command)).ok(); }

 private:
  std::unique_ptr<HostedMachine> machine_;
  Index index_ = 0;
};

TEST_F(Bundled, SM11_ACounterAdds) {
  Use(CounterMachine());
  EXPECT_EQ(Do(""), "1");
  EXPECT_EQ(Do("41"), "42");
  EXPECT_EQ(Do("-50"), "-8");
  EXPECT_EQ(Ask(""), "-8");
  EXPECT_EQ(Do("9223372036854775807"), "9223372036854775799");
  EXPECT_EQ(Do("9"), "-9223372036854775808");
  EXPECT_TRUE(Takes("7"));
  for (const char* bad : {"x", "1 ", " 1", "1.5", "9223372036854775808", "--1"})
    EXPECT_FALSE(Takes(bad)) << bad;
}

TEST_F(Bundled, SM11_ARegisterHoldsOneValue) {
  Use(RegisterMachine());
  EXPECT_EQ(Do(Register::Set("a b")), "");
  EXPECT_EQ(Do(Register::Set("")), "a b");
  EXPECT_EQ(Do(Register::CompareAndSet("", "x")), "ok");
  EXPECT_EQ(Do(Register::CompareAndSet("y", "z")), "no x");
  EXPECT_EQ(Ask(""), "x");
  EXPECT_TRUE(Takes(Register::Set(std::string(1000, '\0'))));
  for (const char* bad : {"", "set", "set 1", "set 5 abc", "set 1 ab", "set 1 a 1 b", "cas 1 a",
                          "set 99999999999999999999 a", "set -1 a", "get 1 a"}) {
    EXPECT_FALSE(Takes(bad)) << bad;
  }
}

TEST_F(Bundled, SM11_AKvMapsKeysToValues) {
  Use(KvMachine());
  EXPECT_EQ(Ask(Kv::Get("a")), "none");
  EXPECT_EQ(Do(Kv::Put("a", "1")), "ok");
  EXPECT_EQ(Do(Kv::Put("a 2", "two words")), "ok");
  EXPECT_EQ(Do(Kv::Put("b", "")), "ok");
  EXPECT_EQ(Ask(Kv::Get("a 2")), "ok two words");
  EXPECT_EQ(Ask(Kv::Get("b")), "ok ");
  EXPECT_EQ(Ask(Kv::Keys("a")), "1 a3 a 2");
  EXPECT_EQ(Ask(Kv::Size()), "3");
  EXPECT_EQ(Do(Kv::Delete("b")), "ok");
  EXPECT_EQ(Do(Kv::Delete("b")), "none");
  EXPECT_EQ(Do(Kv::CompareAndPut("b", "", "new")), "ok");
  EXPECT_EQ(Do(Kv::CompareAndPut("b", "", "newer")), "no new");
  EXPECT_EQ(Do(Kv::CompareAndPut("b", "new", "newer")), "ok");
  EXPECT_EQ(Do(Kv::CompareAndPut("c", "old", "x")), "no ");
  EXPECT_EQ(Ask(Kv::Get("b")), "ok newer");
  EXPECT_EQ(Ask("get"), "no command or query of a kv: 'get'");
  EXPECT_FALSE(Takes(Kv::Get("a")));
  EXPECT_TRUE(Takes(Kv::Delete("")));
}

}  // namespace
}  // namespace duramen::server
