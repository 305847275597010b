// Result, CHECK, uids, random numbers, the log sink, planted bugs, bytes.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/rng.h"
#include "base/try.h"
#include "base/types.h"
#include "duramen/result.h"

namespace duramen {
namespace {

Result<int> Half(int number) {
  if (number % 2 != 0) return Error{ErrorCode::kInvalidArgument, "odd", "give an even one"};
  return number / 2;
}
Result<int> Quarter(int number) {
  const int half = TRY(Half(number));
  return Half(half);
}
Status Even(int number) {
  TRY(Half(number));
  return {};
}

TEST(Result, ErrorsTravelWithMessageAndHint) {
  EXPECT_EQ(*Quarter(12), 3);
  const Result<int> failed = Quarter(6);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(failed.error().message, "odd");
  EXPECT_EQ(failed.error().hint, "give an even one");
  EXPECT_TRUE(Even(2).ok());
  EXPECT_FALSE(Even(3).ok());
}

TEST(Result, MoveOnlyValuesPassThroughTry) {
  const auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  const auto pass = [&]() -> Result<int> {
    std::unique_ptr<int> value = TRY(make());
    return *value;
  };
  EXPECT_EQ(*pass(), 7);
}

TEST(ResultDeathTest, AskingForWhatIsNotThereAborts) {
  EXPECT_DEATH((void)Half(1).value(), "");
  EXPECT_DEATH((void)Half(2).error(), "");
}

TEST(Result, EveryCodeHasAStableNameOfItsOwn) {
  std::set<std::string> names;
  for (int number = 1; number <= 27; ++number) {
    const std::string name = ErrorCodeName(static_cast<ErrorCode>(number));
    EXPECT_NE(name, "unknown") << number;
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos) << name;
  }
  EXPECT_STREQ(ErrorCodeName(static_cast<ErrorCode>(28)), "unknown");
  EXPECT_STREQ(ErrorCodeName(ErrorCode::kDiskFull), "disk_full");
}

TEST(CheckDeathTest, SaysWhereAndWhat) {
  EXPECT_DEATH(CHECK(1 + 1 == 3), "base_test.cc:.*1 \\+ 1 == 3");
}

TEST(Uid, TextRoundTrip) {
  Rng rng(1);
  for (int round = 0; round < 10'000; ++round) {
    const Uid128 uid = rng.NextUid();
    const std::string text = uid.ToString();
    ASSERT_EQ(text.size(), 26u);
    const Result<Uid128> parsed = Uid128::Parse(text);
    ASSERT_TRUE(parsed.ok()) << text;
    ASSERT_EQ(*parsed, uid);
  }
}

TEST(Uid, KnownTexts) {
  Uid128 uid;
  EXPECT_TRUE(uid.is_nil());
  EXPECT_EQ(uid.ToString(), "00000000000000000000000000");
  uid.bytes.fill(0xFF);
  EXPECT_EQ(uid.ToString(), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
  uid = {};
  uid.bytes[15] = 33;
  EXPECT_EQ(uid.ToString(), "00000000000000000000000011");
  EXPECT_EQ(*Uid128::Parse("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
            *Uid128::Parse("7zzzzzzzzzzzzzzzzzzzzzzzzz"));
}

TEST(Uid, T4_OtherTextsAreRefused) {
  const std::string good(26, '0');
  for (const std::string& bad :
       {std::string(), std::string(25, '0'), std::string(27, '0'), std::string(26, 'u'),
        std::string(26, 'i'), "8" + std::string(25, '0'), std::string(25, '0') + "/",
        std::string(25, '0') + '\0', std::string(10'000, 'z')}) {
    const Result<Uid128> parsed = Uid128::Parse(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(parsed.error().hint.empty());
    EXPECT_LT(parsed.error().message.size(), 200u);
  }
  EXPECT_TRUE(Uid128::Parse(good).ok());
}

TEST(Rng, SameSeedSameNumbers) {
  Rng one(42);
  Rng other(42);
  Rng different(43);
  int same = 0;
  for (int round = 0; round < 100; ++round) {
    const std::uint64_t number = one.Next();
    EXPECT_EQ(number, other.Next());
    same += number == different.Next() ? 1 : 0;
  }
  EXPECT_EQ(same, 0);
  EXPECT_NE(Rng::FromSystem().Next(), Rng::FromSystem().Next());
}

TEST(Rng, BelowStaysBelowAndReachesAll) {
  Rng rng(7);
  for (const std::uint64_t bound : {1ULL, 2ULL, 3ULL, 7ULL, 64ULL}) {
    std::set<std::uint64_t> seen;
    for (int round = 0; round < 2000; ++round) {
      const std::uint64_t drawn = rng.Below(bound);
      ASSERT_LT(drawn, bound);
      seen.insert(drawn);
    }
    EXPECT_EQ(seen.size(), bound);
  }
  EXPECT_LT(rng.Below(UINT64_MAX), UINT64_MAX);
}

struct Seen {
  std::string text;
  int events = 0;
  static void Write(void* argument, const LogEvent& event) noexcept {
    auto& seen = *static_cast<Seen*>(argument);
    ++seen.events;
    seen.text = std::string(event.code) + "|" + std::string(event.sentence);
    for (const LogField& field : event.fields) {
      seen.text += "|" + std::string(field.key) + "=" + std::string(field.value);
    }
  }
};

TEST(Log, PassesSentenceAndFieldsToTheSink) {
  Log().Write(LogLevel::kInfo, "nobody", "listens", {{"a", "b"}});
  Seen seen;
  const Log log(LogSink{.write = &Seen::Write, .argument = &seen});
  log.Write(LogLevel::kWarning, "wal.rolled", "Rolled.", {{"file", "7"}, {"bytes", "4096"}});
  EXPECT_EQ(seen.text, "wal.rolled|Rolled.|file=7|bytes=4096");
  log.Write(LogLevel::kInfo, "x", "No fields.");
  EXPECT_EQ(seen.text, "x|No fields.");
  EXPECT_EQ(seen.events, 2);
}

TEST(Counter, AddsAndSets) {
  Counter counter;
  counter.Add(3);
  counter.Add(4);
  EXPECT_EQ(counter.value(), 7u);
  counter.Set(1);
  EXPECT_EQ(counter.value(), 1u);
}

#if defined(DURAMEN_PLANTED_BUGS)
TEST(Planted, OneAtATime) {
  EXPECT_FALSE(Planted(PlantedBug::kLifeIgnored));
  Plant(PlantedBug::kLifeIgnored);
  EXPECT_TRUE(Planted(PlantedBug::kLifeIgnored));
  Plant(PlantedBug::kNoSyncBeforeAck);
  EXPECT_FALSE(Planted(PlantedBug::kLifeIgnored));
  Plant(PlantedBug::kNone);
  EXPECT_FALSE(Planted(PlantedBug::kNoSyncBeforeAck));
}
#endif

TEST(Bytes, T6_AReaderOfHostileBytesStopsForGood) {
  std::vector<std::byte> buffer;
  ByteWriter writer(buffer);
  writer.Put<std::uint64_t>(5);
  writer.PutString("name");
  ByteReader reader(buffer);
  EXPECT_EQ(reader.Get<std::uint64_t>(), 5u);
  EXPECT_EQ(reader.GetString(), "name");
  EXPECT_TRUE(reader.AtEnd());
  EXPECT_EQ(reader.Get<std::uint8_t>(), 0);
  EXPECT_FALSE(reader.ok());

  buffer.clear();
  writer.Put<std::uint32_t>(0xFFFFFFFF);  // A length with nothing behind it.
  ByteReader hostile(buffer);
  EXPECT_EQ(hostile.GetString(), "");
  EXPECT_FALSE(hostile.ok());
  EXPECT_FALSE(hostile.AtEnd());
}

}  // namespace
}  // namespace duramen
