#include "tools/text.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/rng.h"

namespace duramen::tools {
namespace {

TEST(Text, T5_ControlCharactersNeverReachATerminal) {
  EXPECT_EQ(EscapeText("plain ünï"), "plain ünï");
  EXPECT_EQ(EscapeText("a\nb\tc\\d"), "a\\nb\\tc\\\\d");
  EXPECT_EQ(EscapeText("\x1b[31mred"), "\\x1b[31mred");
  EXPECT_EQ(EscapeText(std::string_view("\0x", 2)), "\\x00x");
  EXPECT_EQ(EscapeText("\xff\xc0\xaf"), "\\xff\\xc0\\xaf");
  EXPECT_EQ(EscapeText("\xc2\x9b" "31m"), "\\xc2\\x9b31m") << "a C1 control steers terminals too";
  EXPECT_EQ(EscapeText("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(EscapeText("cut \xe2\x82"), "cut \\xe2\\x82");
}

TEST(Text, T5_JsonStringsAreValidWhateverTheBytes) {
  EXPECT_EQ(JsonString("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
  EXPECT_EQ(JsonString("\xff" "ok"), "\"\\ufffdok\"");
}

TEST(Text, TL1_Base64RoundTripsEveryLength) {
  Rng rng(1);
  for (std::size_t size = 0; size < 200; ++size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(rng.Below(256));
    const std::string text = Base64(AsBytes(bytes));
    EXPECT_EQ(text.size(), (size + 2) / 3 * 4);
    EXPECT_EQ(FromBase64(text), bytes);
  }
  EXPECT_EQ(Base64(AsBytes("foobar")), "Zm9vYmFy");
  EXPECT_EQ(Base64(AsBytes("foob")), "Zm9vYg==");
  EXPECT_FALSE(FromBase64("Zm9"));
  EXPECT_FALSE(FromBase64("Zm9*"));
}

TEST(Text, TL9_NumbersForPeople) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1234567), "1,234,567");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1.0 KiB");
  EXPECT_EQ(HumanBytes(1258291), "1.2 MiB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "16384.0 PiB");
  EXPECT_EQ(Plural(1, "batch"), "1 batch");
  EXPECT_EQ(Plural(2, "batch"), "2 batches");
  EXPECT_EQ(Plural(2, "entry"), "2 entries");
  EXPECT_EQ(Plural(2, "key"), "2 keys");
  EXPECT_EQ(CutToWidth("abcdef", 4), "abc…");
  EXPECT_EQ(CutToWidth("ünïç", 4), "ünïç");
}

}  // namespace
}  // namespace duramen::tools
