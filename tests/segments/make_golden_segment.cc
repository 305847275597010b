// Writes tests/testdata/segments_v1: run once when the format was fixed, kept to show how.
//   make_golden_segment FILE
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/segments/golden.h"

int main(int argc, char** argv) {
  if (argc != 2 || std::filesystem::exists(argv[1])) {
    std::fputs("usage: make_golden_segment FILE (that does not exist)\n", stderr);
    return 2;
  }
  duramen::segments::testing::Server server = duramen::segments::testing::GoldenServer();
  std::ofstream(argv[1], std::ios::binary) << duramen::AsText(server.Bytes(1));
  return 0;
}
