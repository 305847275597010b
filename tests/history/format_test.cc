// The format of histories: what is written is read, and what is no history is refused by line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "history/event_line.h"
#include "history/json.h"
#include "tests/history/reference.h"

namespace duramen::history {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const char kHeader[] = R"({"v":1,"kind":"history","model":"register"})";

TEST(HistoryFormat, CT4_ALineSaysWhatHappened) {
  EXPECT_EQ(LineOf({.process = 3,
                    .function = Function::kCas,
                    .key = "a",
                    .value = Value{std::int64_t{5}},
                    .expected = Value{"four"},
                    .time_ns = 12}),
            R"({"v":1,"kind":"invoke","process":3,"f":"cas","key":"a","expected":"four","value":5,)"
            R"("time_ns":12})");
  EXPECT_EQ(LineOf({.kind = EventKind::kOk,
                    .function = Function::kRead,
                    .key = "\"\n\x01",
                    .elements = {{Value{true}, Value{std::int64_t{-2}}}}}),
            R"({"v":1,"kind":"ok","process":0,"f":"read","key":"\"\n\u0001","result":[true,-2]})");
}

TEST(HistoryFormat, CT4_WhatIsWrittenIsRead) {
  Rng rng(5);
  for (int i = 0; i < 300; ++i) {
    const testing::Workload workload{.model = static_cast<ModelKind>(i % 3),
                                     .fault = static_cast<testing::Fault>(i % testing::kFaults),
                                     .operations = 40,
                                     .clients = 5,
                                     .keys = 3};
    const History history = testing::MakeHistory(workload, rng);
    // Events again, in their order.
    std::map<std::uint64_t, Event> events;
    for (const Operation& one : history.operations) {
      events[one.call] = {.process = one.process,
                          .function = one.function,
                          .key = one.key,
                          .value = one.value,
                          .expected = one.expected};
      if (one.completion == kNever) continue;
      const EventKind kind = one.outcome == Outcome::kOk ? EventKind::kOk : EventKind::kFail;
      events[one.completion] = {.kind = kind,
                                .process = one.process,
                                .function = one.function,
                                .key = one.key,
                                .result = one.result,
                                .elements = one.elements};
    }
    HistoryWriter writer(history.model, {{"seed", Value{std::int64_t{i}}}});
    for (const auto& [position, event] : events) {
      ASSERT_TRUE(writer.Add(event).ok());
      const Result<Event> read = ParseEvent(LineOf(event));
      ASSERT_TRUE(read.ok());
      EXPECT_EQ(*read, event);
    }
    HistoryReader reader(std::nullopt);
    std::istringstream lines(writer.TakeText());
    for (std::string line; std::getline(lines, line);) ASSERT_TRUE(reader.Add(line).ok()) << line;
    const Result<History> again = reader.Take();
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->events, events.size());
    EXPECT_EQ(writer.Take().operations.size(), again->operations.size());
    EXPECT_EQ(testing::IsLinearizable({.model = again->model}), true);
  }
}

TEST(HistoryFormat, CT4_TextsSurviveWhateverTheyHold) {
  const std::string texts[] = {
      "",           "\\\"/\b\f\n\r\t", std::string("\0\x1f\x7f", 3), "\u00e9\u0085",
      "\U0001F600", "}{\",[]:"};
  for (const std::string& text : texts) {
    const Event event{.function = Function::kWrite, .key = text, .value = Value{text}};
    const Result<Event> read = ParseEvent(LineOf(event));
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(*read, event);
  }
  const Result<std::vector<Member>> escaped = ParseObject(R"({"\u0061\ud83d\ude00":"\/"})");
  ASSERT_TRUE(escaped.ok());
  EXPECT_EQ(escaped->front().name, "a\U0001F600");
  EXPECT_EQ(escaped->front().value, Value{"/"});
}

TEST(HistoryFormat, CT4_WhatIsNotJsonIsRefused) {
  const char* const kWrong[] = {"",
                                "{",
                                "}",
                                "[]",
                                "1",
                                R"({"a")",
                                R"({"a":})",
                                R"({"a":1)",
                                R"({"a":1}})",
                                R"({"a":1,})",
                                R"({"a":1 "b":2})",
                                R"({"a":1,"a":1})",
                                R"({"a":1.0})",
                                R"({"a":1e3})",
                                R"({"a":01})",
                                R"({"a":-0})",
                                R"({"a":+1})",
                                R"({"a":9223372036854775808})",
                                R"({"a":nul})",
                                R"({"a":{}})",
                                R"({"a":[[]]})",
                                R"({"a":[1,]})",
                                R"({"a":[1})",
                                R"({"a":"x})",
                                R"({"a":"\x"})",
                                R"({"a":"\u12"})",
                                R"({"a":"\u12g4"})",
                                R"({"a":"\ud800"})",
                                R"({"a":"\udc00"})",
                                R"({"a":"\ud800\u0041"})",
                                "{\"a\":\"\xff\"}",
                                "{\"a\":\"\n\"}",
                                "{\"a\":\"\xed\xa0\x80\"}",
                                R"({a:1})",
                                R"({"a":'b'})",
                                "{\"a\":\"\\"};
  for (const char* line : kWrong) {
    const Result<std::vector<Member>> parsed = ParseObject(line);
    ASSERT_FALSE(parsed.ok()) << line;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(parsed.error().message, HasSubstr("(byte ")) << line;
  }
}

/// What a reader says of `lines`; empty when it takes all.
std::string Refusal(const std::vector<std::string>& lines,
                    std::optional<ModelKind> model = std::nullopt) {
  HistoryReader reader(model);
  for (const std::string& line : lines) {
    const Status added = reader.Add(line);
    if (!added.ok()) return added.error().message;
  }
  const Result<History> history = reader.Take();
  return history.ok() ? "" : history.error().message;
}

TEST(HistoryFormat, CT4_TheHeaderSaysOfWhatItIs) {
  EXPECT_EQ(Refusal({kHeader}), "");
  EXPECT_EQ(Refusal({kHeader}, ModelKind::kRegister), "");
  EXPECT_EQ(Refusal({R"({"v":1,"kind":"history"})"}, ModelKind::kSet), "");
  EXPECT_EQ(Refusal({R"({"v":1,"kind":"history","model":"kv","seed":7,"commit":"abc"})"}), "");
  EXPECT_THAT(Refusal({}), HasSubstr("line 1: there is none"));
  EXPECT_THAT(Refusal({kHeader}, ModelKind::kKv), HasSubstr("of a register"));
  EXPECT_THAT(Refusal({R"({"v":1,"kind":"history"})"}), HasSubstr("does not say"));
  EXPECT_THAT(Refusal({R"({"v":1,"kind":"history","model":"queue"})"}), HasSubstr("\"queue\""));
  EXPECT_THAT(Refusal({R"({"v":1,"kind":"invoke"})"}), HasSubstr("line 1: the first line"));
  HistoryReader reader(std::nullopt);
  const Status newer = reader.Add(R"({"v":2,"kind":"history"})");
  ASSERT_FALSE(newer.ok());
  EXPECT_EQ(newer.error().code, ErrorCode::kUnknownVersion);
  EXPECT_THAT(newer.error().message, HasSubstr("version 2"));
}

TEST(HistoryFormat, CT4_WhatNoHistoryCanHoldIsRefusedByItsLine) {
  const std::string write =
      R"({"v":1,"kind":"invoke","process":0,"f":"write","key":"x","value":1})";
  const std::string wrote = R"({"v":1,"kind":"ok","process":0,"f":"write","key":"x"})";
  EXPECT_EQ(Refusal({kHeader, write, wrote}), "");
  const auto refused = [&](const std::string& line, const std::string& why) {
    const std::string said = Refusal({kHeader, write, line});
    EXPECT_THAT(said, StartsWith("line 3: ")) << line;
    EXPECT_THAT(said, HasSubstr(why)) << line;
  };
  refused("", "expected {");
  refused(write, "has not completed that of line 2");
  refused(R"({"v":1,"kind":"ok","process":1,"f":"write","key":"x"})", "has nothing to complete");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"write","key":"y"})",
          "is at the write of key \"x\"");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"read","key":"x"})", "is at the write");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"write","key":"x","result":1})", "answers nothing");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"write","key":"x","value":1})", "with a value");
  refused(R"({"v":1,"kind":"info","process":0,"f":"write","key":"x","result":1})",
          "answers nothing");
  refused(R"({"v":1,"kind":"done","process":0,"f":"write","key":"x"})", "unknown kind \"done\"");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"push","key":"x"})", "unknown f \"push\"");
  refused(R"({"v":1,"kind":"ok","process":-1,"f":"write","key":"x"})", "\"process\" is no count");
  refused(R"({"v":1,"kind":"ok","f":"write","key":"x"})", "\"process\" is missing");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"write"})", "\"key\" is missing");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"write","key":7})", "\"key\" is missing");
  refused(R"({"kind":"ok","process":0,"f":"write","key":"x"})", "\"v\" is missing");
  refused(R"({"v":2,"kind":"ok","process":0,"f":"write","key":"x"})", "version 2");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"write","key":"x","why":""})", "member \"why\"");
  refused(R"({"v":1,"kind":"ok","process":0,"f":"write","key":"x","":1})", "member \"\"");
  refused(R"({"v":1,"kind":"invoke","process":1,"f":"put","key":"x","value":"y"})", "has no put");
  refused(R"({"v":1,"kind":"invoke","process":1,"f":"read","key":"x","value":1})", "no value");
  refused(R"({"v":1,"kind":"invoke","process":1,"f":"write","key":"x","expected":1})", "expects");
  refused(R"({"v":1,"kind":"invoke","process":1,"f":"write","key":"x","result":1})", "a result");
  refused(std::string(kHistoryLineBytesMax + 1, ' '), "more than 1 MiB");
}

TEST(HistoryFormat, CT4_AnswersAreOfTheirKind) {
  struct Case {
    const char* model;
    const char* call;
    const char* right;
    const char* wrong;
  };
  const Case kCases[] = {
      {"register", R"("f":"read","key":"x")", R"(,"result":1)", R"(,"result":[1])"},
      {"register", R"("f":"cas","key":"x")", R"(,"result":true)", ""},
      {"kv", R"("f":"get","key":"x")", R"(,"result":"a")", R"(,"result":1)"},
      {"set", R"("f":"read","key":"x")", R"(,"result":[])", ""},
      {"set", R"("f":"read","key":"x")", R"(,"result":[1,1])", R"(,"result":[null])"},
  };
  for (const Case& one : kCases) {
    const std::string header =
        std::string(R"({"v":1,"kind":"history","model":")") + one.model + "\"}";
    const std::string call = std::string(R"({"v":1,"kind":"invoke","process":0,)") + one.call + "}";
    const std::string ok = std::string(R"({"v":1,"kind":"ok","process":0,)") + one.call;
    EXPECT_EQ(Refusal({header, call, ok + one.right + "}"}), "") << ok << one.right;
    EXPECT_THAT(Refusal({header, call, ok + one.wrong + "}"}), HasSubstr("answers"))
        << ok << one.wrong;
  }
}

TEST(HistoryFormat, CT4_TimeDoesNotGoBack) {
  const std::string begin = R"({"v":1,"kind":"invoke","f":"read","key":"x","process":)";
  EXPECT_EQ(Refusal({kHeader, begin + R"(0,"time_ns":5})", begin + R"(1,"time_ns":5})"}), "");
  EXPECT_THAT(Refusal({kHeader, begin + R"(0,"time_ns":5})", begin + R"(1,"time_ns":4})"}),
              HasSubstr("line 3: time goes back"));
}

TEST(HistoryFormat, CT4_AWriterRefusesWhatAReaderWould) {
  HistoryWriter writer(ModelKind::kRegister);
  EXPECT_FALSE(writer.Add({.function = Function::kPut, .key = "x"}).ok());
  EXPECT_FALSE(writer.Add({.function = Function::kRead, .key = "\xff"}).ok());
  EXPECT_FALSE(writer.Add({.process = UINT64_MAX, .function = Function::kRead}).ok());
  const std::string long_text(kHistoryLineBytesMax, 'x');
  const Status too_long = writer.Add({.function = Function::kWrite, .value = Value{long_text}});
  ASSERT_FALSE(too_long.ok());
  EXPECT_EQ(too_long.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(writer.TakeText(), std::string(kHeader) + "\n");
  EXPECT_EQ(writer.TakeText(), "");
  EXPECT_EQ(writer.Take().events, 0U);
}

}  // namespace
}  // namespace duramen::history
