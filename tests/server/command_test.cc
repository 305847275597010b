#include "server/command.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"
#include "server/hosted_machine.h"

namespace duramen::server {
namespace {

TEST(Command, CM2_WhatIsEncodedIsDecodedAndNothingElseIs) {
  std::vector<std::byte> command = EncodeCommand({.kind = CommandKind::kInSession,
                                                  .mark = {5, 7, 6},
                                                  .payload = AsBytes("text")});
  StampCommand(command, -3);
  const Result<CommandFrame> frame = DecodeCommand(command);
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(frame->unix_ms, -3);
  EXPECT_EQ(frame->kind, CommandKind::kInSession);
  EXPECT_EQ(frame->mark.client, 5u);
  EXPECT_EQ(frame->mark.sequence, 7u);
  EXPECT_EQ(frame->mark.acknowledged, 6u);
  EXPECT_EQ(AsText(frame->payload), "text");
  for (std::size_t size = 0; size < command.size() - 4; ++size)
    EXPECT_FALSE(DecodeCommand(Bytes(command).first(size)).ok()) << size;
  command[8] = std::byte{5};
  EXPECT_FALSE(DecodeCommand(command).ok());
}

class Echo final : public Machine {
 public:
  void Apply(std::span<const duramen::Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      ++applied;
      effects.Reply(at, std::string(AsText(commands[at].payload)) + std::to_string(applied));
    }
  }
  Status Query(Bytes, std::string&) const override { return {}; }
  std::uint64_t applied = 0;
};

const auto kNobody = std::make_shared<const core::Configuration>();
const ApplyContext kNowhere{.members = kNobody};

/// A number that nobody was given would put the end of what was forgotten above all real ones.
TEST(HostedMachine, CM2_ASessionThatWasNotOpenedIsUnknown) {
  HostedMachine machine(std::make_unique<Echo>(), "here");
  const auto command = EncodeCommand(
      {.kind = CommandKind::kInSession, .mark = {100, 1, 0}, .payload = AsBytes("x")});
  for (const Index index : {Index{99}, Index{100}, Index{101}}) {
    const Committed one{{1, index}, command, true};
    Applied answer;
    machine.Apply(kNowhere, {&one, 1}, {&answer, 1});
    EXPECT_EQ(answer.expired, index <= 100) << index;
  }
}

/// Whatever commands a start finds together, it makes of them what the life before made.
TEST(HostedMachine, CM2_A20_CommandsGiveTheSameHoweverTheyArePutTogether) {
  Rng rng(11);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::vector<std::byte>> commands;
    for (int left = 40; left > 0; --left) {
      const SessionMark mark{1 + rng.Below(3), 1 + rng.Below(12), 0};
      const auto kind = static_cast<CommandKind>(rng.Below(3));
      commands.push_back(EncodeCommand({.kind = kind, .mark = mark, .payload = AsBytes("x")}));
    }
    std::vector<std::vector<std::string>> all;
    for (const std::size_t together : {1u, 7u, 40u}) {
      HostedMachine machine(std::make_unique<Echo>(), "here");
      std::vector<std::string> answers;
      for (std::size_t at = 0; at < commands.size(); at += together) {
        const std::size_t end = std::min(at + together, commands.size());
        std::vector<Committed> committed;
        for (std::size_t one = at; one < end; ++one)
          committed.push_back({{1, one + 1}, commands[one], true});
        std::vector<Applied> applied(committed.size());
        machine.Apply(kNowhere, committed, applied);
        for (const Applied& one : applied) answers.push_back(one.expired ? "expired" : one.answer);
      }
      ASSERT_FALSE(machine.failed());
      all.push_back(std::move(answers));
    }
    ASSERT_EQ(all[0], all[1]);
    ASSERT_EQ(all[0], all[2]);
  }
}

}  // namespace
}  // namespace duramen::server
