#include "tools/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"

namespace duramen::tools {
namespace {

using ::testing::HasSubstr;

std::string Print(Format format, PayloadForm payload = PayloadForm::kText) {
  Terminal terminal{Terminal::Captured{}};
  Sheet sheet(terminal, {.format = format, .payload = payload}, "record",
              {{"name", ColumnType::kText},
               {"uid", ColumnType::kText, false},
               {"count", ColumnType::kCount},
               {"size", ColumnType::kSize},
               {"data", ColumnType::kPayload}});
  const Cell first[] = {std::string("a,b\"\x1b"), std::string("u1"), std::uint64_t{1234},
                        std::uint64_t{1258291}, AsBytes("x\ny")};
  const Cell second[] = {std::string("long name"), Cell{}, std::uint64_t{5}, Cell{}, Cell{}};
  sheet.Add(first);
  sheet.Add(second);
  const Field summary[] = {{"rows", ColumnType::kCount, std::uint64_t{2}}};
  sheet.Finish("2 records: clean", summary);
  return terminal.captured_out();
}

TEST(Output, TL9_ATableIsAlignedAndEndsWithTheVerdict) {
  EXPECT_EQ(Print(Format::kTable),
            "NAME       COUNT     SIZE  DATA\n"
            "a,b\"\\x1b   1,234  1.2 MiB  x\\ny\n"
            "long name      5        -  -\n"
            "2 records: clean\n");
}

TEST(Output, TL9_JsonLinesHaveVersionKindAndBase64) {
  EXPECT_EQ(Print(Format::kJsonl),
            R"({"v":1,"kind":"record","name":"a,b\"\u001b","uid":"u1","count":1234,"size":1258291,)"
            R"("data_len":3,"data":"eAp5"})"
            "\n"
            R"({"v":1,"kind":"record","name":"long name","uid":null,"count":5,"size":null,)"
            R"("data_len":null,"data":null})"
            "\n"
            R"({"v":1,"kind":"record_summary","rows":2})"
            "\n");
}

TEST(Output, TL9_JsonIsOneDocument) {
  const std::string text = Print(Format::kJson, PayloadForm::kNone);
  EXPECT_THAT(text, HasSubstr(R"({"v":1,"kind":"records","rows":[)"));
  EXPECT_THAT(text, HasSubstr(R"("data_len":3})"));
  EXPECT_THAT(text, HasSubstr(R"(],"summary":{"v":1,"kind":"record_summary","rows":2}})"));
}

TEST(Output, TL9_CsvQuotesWhatNeedsIt) {
  EXPECT_EQ(Print(Format::kCsv),
            "name,uid,count,size,data\n"
            "\"a,b\"\"\\x1b\",u1,1234,1258291,x\\ny\n"
            "long name,,5,,\n");
}

TEST(Output, TL1_RawIsPayloadsAndNothingElse) { EXPECT_EQ(Print(Format::kRaw), "x\ny\n"); }

TEST(Output, TL9_AnEmptyTableIsItsVerdict) {
  Terminal terminal{Terminal::Captured{}};
  Sheet sheet(terminal, {}, "record", {{"name", ColumnType::kText}});
  sheet.Finish("0 records: clean");
  EXPECT_EQ(terminal.captured_out(), "0 records: clean\n");
}

TEST(Output, TL9_ATableOfManyRowsIsNotHeldBack) {
  Terminal terminal{Terminal::Captured{}};
  Sheet sheet(terminal, {}, "record", {{"count", ColumnType::kCount}});
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const Cell row[] = {i};
    sheet.Add(row);
  }
  EXPECT_THAT(terminal.captured_out(), HasSubstr("\n4,998\n"));
}

}  // namespace
}  // namespace duramen::tools
