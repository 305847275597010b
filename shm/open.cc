// LogStore::Open: a directory of its own, or the WAL process of another.
#include "shm/open.h"

#include "base/clock.h"
#include "base/posix_io.h"
#include "base/settings.h"
#include "base/try.h"
#include "duramen/log_store.h"
#include "log/storage.h"
#include "log/store.h"

namespace duramen {
namespace shm {
namespace {

/// Of memory_budget; pieces of all sizes find room beside each other.
constexpr std::uint64_t kRegionShare = 2;

}  // namespace

Result<LogStore> OpenShared(const LogStoreOptions& options, RemoteOptions remote) {
  TRY(ValidateOptions(options));
  remote.socket_path = WalProcessSocket(options);
  remote.region_bytes = options.memory_budget * kRegionShare;
  std::unique_ptr<RemoteWal> wal = TRY(RemoteWal::Attach(remote));
  RemoteWal& attached = *wal;
  auto impl =
      std::make_unique<LogStore::Impl>(options, log::StorageTuning{}, Rng::FromSystem());
  impl->own_file_system = std::make_unique<PosixFileSystem>();
  impl->own_clock = std::make_unique<SystemClock>();
  LogStore::Impl& store = *impl;
  TRY(store.OpenShared({*impl->own_file_system, *impl->own_clock, attached.executor(), impl->rng},
                       std::move(wal)));
  attached.Serve(store);
  return LogStore(std::move(impl));
}

}  // namespace shm

inline namespace v1 {

Result<LogStore> LogStore::Open(const LogStoreOptions& options) {
  return options.wal_process.empty() ? log::OpenEmbedded(options) : shm::OpenShared(options);
}

}  // namespace v1
}  // namespace duramen
