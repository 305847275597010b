// The bytes of a segment, version 1, as they were when the format was fixed.
#include "tests/segments/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "segments/scan.h"

namespace duramen::segments::testing {
namespace {

std::string GoldenPath() {
  return std::string(DURAMEN_SOURCE_DIR) + "/tests/testdata/segments_v1/00000001.seg";
}

TEST(Segments, PW6_ASegmentHasTheSameBytesAsEver) {
  std::ifstream in(GoldenPath(), std::ios::binary);
  const std::string golden{std::istreambuf_iterator<char>(in), {}};
  Server server = GoldenServer();
  EXPECT_EQ(std::string(AsText(server.Bytes(1))), golden);
}

TEST(Segments, PW6_ASegmentOfVersionOneReadsAsEver) {
  std::ifstream in(GoldenPath(), std::ios::binary);
  const std::string golden{std::istreambuf_iterator<char>(in), {}};
  Server server = GoldenServer();
  server.Bytes(1).assign(AsBytes(golden).begin(), AsBytes(golden).end());
  const ScanRequest request{
      .directory = server.directory, .identity = Identity(), .authority = server.flushed};
  const ScanResult scan = ScanServer(request).value();
  EXPECT_THAT(scan.findings, ::testing::IsEmpty());
  EXPECT_EQ(scan.list.Range(), (IndexRange{9, 12}));
  EXPECT_EQ(scan.list.last()->epoch, 4u);
  EXPECT_THAT(scan.list.FindSparse(5), ::testing::ElementsAre(1u));
  const VerifyResult verified = VerifyServer(request, scan.list).value();
  EXPECT_THAT(verified.findings, ::testing::IsEmpty());
  EXPECT_EQ(verified.entries, 6u);
}

}  // namespace
}  // namespace duramen::segments::testing
