// `duramen check-history`, on the histories of tests/testdata.
#include "tools/check_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/answer.h"
#include "tests/tools/files.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::TempDir;
using testing::WriteAll;

const std::string kHistories = DURAMEN_SOURCE_DIR "/tests/testdata/histories/";

Answer Check(const CheckHistoryOptions& options) {
  return Ask([&](Terminal& terminal) { return RunCheckHistory(options, terminal); });
}

TEST(CheckHistory, CT4_ARightHistoryIsClean) {
  const Answer answer = Check({.path = kHistories + "two-keys-ok.jsonl"});
  EXPECT_EQ(answer.exit, ExitCode::kClean);
  EXPECT_EQ(answer.out,
            "KEY  OPERATIONS  UNKNOWN  FAILED  STEPS  FROM LINE  VERDICT\n"
            "x             2        0       0      2          -  linearizable\n"
            "y             2        0       0      2          -  linearizable\n"
            "4 operations on 2 keys, 0 of unknown outcome: linearizable\n");
  EXPECT_EQ(answer.err, "");
}

TEST(CheckHistory, CT4_AWrongOneIsAFailedCheckAndSaysWhy) {
  const Answer answer = Check({.path = kHistories + "register-stale.jsonl"});
  EXPECT_EQ(answer.exit, ExitCode::kDamage);
  EXPECT_THAT(answer.out, HasSubstr("up to line 7 there is an order"));
  EXPECT_THAT(answer.out,
              HasSubstr("process 2, lines 7 to 8, 0.009000 s to 0.010500 s: read: 1\n"));
  EXPECT_THAT(answer.out,
              EndsWith("4 operations on 1 key, 0 of unknown outcome: not linearizable\n"));
}

TEST(CheckHistory, CT4_ProgramsGetOneObjectPerKey) {
  const Answer answer =
      Check({.path = kHistories + "set-lost-add.jsonl", .output = {.format = Format::kJsonl}});
  EXPECT_EQ(answer.exit, ExitCode::kDamage);
  EXPECT_THAT(answer.out, HasSubstr(R"({"v":1,"kind":"history_key","key":"s","operations":3,)"));
  EXPECT_THAT(answer.out,
              HasSubstr(R"("from_line":7,"verdict":"not linearizable","explanation":")"));
  EXPECT_THAT(answer.out, HasSubstr(R"(it lacks what was added before it:)"));
  EXPECT_THAT(answer.out, HasSubstr(R"({"v":1,"kind":"history_key_summary","model":"set",)"));
}

TEST(CheckHistory, CT4_UndecidedIsNoPass) {
  const Answer answer = Check({.path = kHistories + "register-ok.jsonl", .steps_max = 3});
  EXPECT_EQ(answer.exit, ExitCode::kDamage);
  EXPECT_THAT(answer.out, EndsWith(": undecided\n"));
  EXPECT_THAT(answer.err, HasSubstr("hint: more --max-memory"));
}

TEST(CheckHistory, CT4_WhatIsNoHistoryIsUnreadable) {
  const TempDir dir;
  const std::string path = dir / "history.jsonl";
  const std::string header = "{\"v\":1,\"kind\":\"history\",\"model\":\"register\"}\n";
  WriteAll(path, header + "{\"v\":1,\"kind\":\"invoke\",\"process\":0,\"f\":\"read\"");
  const Answer torn = Check({.path = path});
  EXPECT_EQ(torn.exit, ExitCode::kUnreadable);
  EXPECT_THAT(torn.err, HasSubstr("history.jsonl, line 2: expected } (byte "));
  EXPECT_THAT(torn.err, HasSubstr("hint: "));
  EXPECT_EQ(torn.out, "");
  WriteAll(path, "");
  EXPECT_EQ(Check({.path = path}).exit, ExitCode::kUnreadable);
  WriteAll(path, "{\"v\":2,\"kind\":\"history\"}\n");
  EXPECT_EQ(Check({.path = path}).exit, ExitCode::kUnknownVersion);
  WriteAll(path, "{\"v\":1,\"kind\":\"history\"}\n");
  EXPECT_EQ(Check({.path = path}).exit, ExitCode::kUsage);
  EXPECT_EQ(Check({.path = path, .model = "kv"}).exit, ExitCode::kClean);
  WriteAll(path, header);
  EXPECT_EQ(Check({.path = path, .model = "kv"}).exit, ExitCode::kUsage);
  EXPECT_EQ(Check({.path = dir / "nothing"}).exit, ExitCode::kUnreadable);
  EXPECT_EQ(Check({.path = dir.path()}).exit, ExitCode::kUsage);
}

TEST(CheckHistory, CT4_NothingInAHistorySteersATerminal) {
  const TempDir dir;
  const std::string path = dir / "history.jsonl";
  WriteAll(path,
           "{\"v\":1,\"kind\":\"history\",\"model\":\"register\"}\n"
           "{\"v\":1,\"kind\":\"invoke\",\"process\":0,\"f\":\"read\",\"key\":\"\\u001b[2J\"}\n"
           "{\"v\":1,\"kind\":\"ok\",\"process\":0,\"f\":\"read\",\"key\":\"\\u001b[2J\","
           "\"result\":\"\\u009b2J\"}\n");
  const Answer answer = Check({.path = path});
  EXPECT_EQ(answer.exit, ExitCode::kDamage);
  EXPECT_EQ(answer.text().find('\x1b'), std::string::npos);
  EXPECT_EQ(answer.text().find("\u009b"), std::string::npos);
}

}  // namespace
}  // namespace duramen::tools
