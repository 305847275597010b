// `duramen_hostile SECONDS [SEED]`: tests/shm/hostile_run.h for so long, and what it came to.
// `./run hostile` builds it under the address sanitizer.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/shm/process.h"
#include "tests/shm/hostile_run.h"

int main(int argc, char** argv) {
  using namespace duramen::shm::testing;
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: duramen_hostile SECONDS [SEED]\n");
    return 2;
  }
  const std::string directory = RunDirectory();
  const HostileRun run =
      RunHostile({.host = DURAMEN_HOSTILE_HOST,
                  .honest = DURAMEN_KILL_CLIENT,
                  .hostile = DURAMEN_HOSTILE_CLIENT,
                  .directory = directory + "/run",
                  .seed = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 1,
                  .seconds = std::strtod(argv[1], nullptr)});
  ::rmdir(directory.c_str());
  unsigned long lives = 0;
  for (const auto& [reason, count] : run.cut_off) {
    lives += count;
    std::printf("%8llu  %s\n", static_cast<unsigned long long>(count), reason.c_str());
  }
  std::printf("lives %lu\nacknowledged to the others %llu\nverdict %s\n", lives,
              static_cast<unsigned long long>(run.acknowledged),
              run.wrong.empty() ? "the WAL process stands, and nobody else noticed anything"
                                : run.wrong.c_str());
  return run.wrong.empty() ? 0 : 1;
}
