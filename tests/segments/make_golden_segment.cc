// Writes tests/testdata/segments_v1 and segments_v2: run once when each format was fixed, kept to
// show how.
//   make_golden_segment 1|2 FILE
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/segments/golden.h"

int main(int argc, char** argv) {
  if (argc != 3 || std::filesystem::exists(argv[2])) {
    std::fputs("usage: make_golden_segment 1|2 FILE (that does not exist)\n", stderr);
    return 2;
  }
  using namespace duramen::segments::testing;  // NOLINT
  Server server = argv[1][0] == '2' ? GoldenCompressedServer() : GoldenServer();
  std::ofstream(argv[2], std::ios::binary) << duramen::AsText(server.Bytes(1));
  return 0;
}
