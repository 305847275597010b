// The WAL process of a hostile run: `duramen_hostile_host DIR SOCKET`, until SIGTERM. It is no
// `duramen wal` so that little has to be built under a sanitizer.
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>

#include "shm/guarded_copy.h"
#include "shm/host.h"

namespace duramen::shm::testing {
namespace {

constexpr int kLookMs = 100;

std::atomic<bool> ended{false};

int Fail(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

int Run(const char* directory, const char* socket) {
  std::signal(SIGTERM, [](int) { ended.store(true); });
  LogStoreOptions settings;
  settings.data_dir = directory;
  settings.wal_max_size_bytes = 4 << 20;
  settings.memory_budget = 256 << 20;
  settings.flush_delay = 0;
  settings.wal_sync_method = SyncMethod::kNone;
  HostOptions options;
  options.socket_path = socket;
  options.quota.bytes = 256 << 20;
  const BusGuard bus_guard;
  Result<std::unique_ptr<Host>> host = Host::Start(settings, options);
  if (!host.ok()) return Fail(host.error());
  std::printf("ready %s\n", socket);
  std::fflush(stdout);
  while (!ended.load()) (void)::poll(nullptr, 0, kLookMs);
  const Status closed = (*host)->Close(std::chrono::steady_clock::now() + std::chrono::minutes(1));
  return closed.ok() ? 0 : Fail(closed.error());
}

}  // namespace
}  // namespace duramen::shm::testing

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: duramen_hostile_host DIR SOCKET\n");
    return 2;
  }
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return 3;
  return duramen::shm::testing::Run(argv[1], argv[2]);
}
