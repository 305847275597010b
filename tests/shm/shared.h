// A WAL process in this one, on a directory of the test's own, and its clients: stores as any
// service opens them.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "duramen/log_store.h"
#include "shm/guarded_copy.h"
#include "shm/host.h"
#include "tests/base/temp_dir.h"

namespace duramen::shm::testing {

inline Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(60); }

class SharedWal : public ::testing::Test {
 protected:
  LogStoreOptions HostSettings() const {
    LogStoreOptions options;
    options.data_dir = dir_ / "data";
    options.wal_max_size_bytes = 4 << 20;
    options.memory_budget = 64 << 20;
    options.flush_delay = 0;
    return options;
  }
  LogStoreOptions ClientSettings() const {
    LogStoreOptions options;
    options.wal_process = "unix:" + (dir_ / "socket");
    options.memory_budget = 32 << 20;
    return options;
  }
  void StartHost(const Quota& quota = {}) {
    HostOptions options;
    options.socket_path = dir_ / "socket";
    options.quota = quota;
    Result<std::unique_ptr<Host>> host = Host::Start(HostSettings(), options);
    ASSERT_TRUE(host.ok()) << host.error().message;
    host_ = std::move(*host);
  }
  void StopHost() {
    const Status closed = host_->Close(Soon());
    EXPECT_TRUE(closed.ok()) << closed.error().message;
    host_.reset();
  }
  LogStore Client() const {
    Result<LogStore> store = LogStore::Open(ClientSettings());
    if (!store.ok()) ADD_FAILURE() << store.error().message;
    return std::move(store).value();
  }

  duramen::testing::TempDir dir_;
  BusGuard bus_guard_;
  std::unique_ptr<Host> host_;
};

/// Appends one entry with that text; its ticket.
inline Result<Ticket> Put(Writer& writer, LogRef log, EntryView entry, const std::string& text) {
  entry.kind = 200;
  entry.payload = AsBytes(text);
  const LogAppend group{log, {&entry, 1}};
  return writer.Append({&group, 1});
}
inline Result<Ticket> Put(Writer& writer, LogRef log, Index index, const std::string& text) {
  return Put(writer, log, EntryView{.index = index, .term = 1, .payload = {}}, text);
}

inline std::string TextAt(const LogStore& store, LogRef log, Index index) {
  const Result<Pin> pin = store.Read(log, index, index + 1, SIZE_MAX);
  if (!pin.ok()) return "error: " + pin.error().message;
  return std::string(AsText(pin->entries().front().payload));
}

}  // namespace duramen::shm::testing
