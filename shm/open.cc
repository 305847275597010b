// LogStore::Open: a directory of its own, or the WAL process of another.
#include "base/clock.h"
#include "base/posix_io.h"
#include "base/settings.h"
#include "base/try.h"
#include "duramen/log_store.h"
#include "log/storage.h"
#include "log/store.h"
#include "shm/remote.h"

namespace duramen {
inline namespace v1 {
namespace {

/// Of memory_budget; pieces of all sizes find room beside each other.
constexpr std::uint64_t kRegionShare = 2;

Result<LogStore> OpenShared(const LogStoreOptions& options) {
  TRY(ValidateOptions(options));
  std::unique_ptr<shm::RemoteWal> wal = TRY(shm::RemoteWal::Attach(
      std::string(WalProcessSocket(options)), options.memory_budget * kRegionShare));
  shm::RemoteWal& remote = *wal;
  auto impl =
      std::make_unique<LogStore::Impl>(options, log::StorageTuning{}, Rng::FromSystem());
  impl->own_file_system = std::make_unique<PosixFileSystem>();
  impl->own_clock = std::make_unique<SystemClock>();
  LogStore::Impl& store = *impl;
  TRY(store.OpenShared({*impl->own_file_system, *impl->own_clock, remote.executor(), impl->rng},
                       std::move(wal)));
  remote.Serve(store);
  return LogStore(std::move(impl));
}

}  // namespace

Result<LogStore> LogStore::Open(const LogStoreOptions& options) {
  return options.wal_process.empty() ? log::OpenEmbedded(options) : OpenShared(options);
}

}  // namespace v1
}  // namespace duramen
