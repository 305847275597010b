// A data directory whose WAL has several files because nothing was flushed: lines as `load` keeps
// them, in a store whose flusher never runs.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/posix_io.h"
#include "base/thread_executor.h"
#include "log/storage.h"
#include "tests/tools/files.h"
#include "tools/line_entry.h"

namespace duramen::tools::testing {

/// Runs every actor but the flusher.
class NoFlushExecutor final : public ActorExecutor {
 public:
  void Start(Actor& actor) override {
    if (Runs(actor)) threads_.Start(actor);
  }
  void Wake(Actor& actor) override {
    if (Runs(actor)) threads_.Wake(actor);
  }
  void Stop(Actor& actor) override {
    if (Runs(actor)) threads_.Stop(actor);
  }
  bool Await(bool (*done)(void*), void* argument, Deadline deadline) override {
    return threads_.Await(done, argument, deadline);
  }
  void Progress() override { threads_.Progress(); }

 private:
  static bool Runs(const Actor& actor) { return std::string_view(actor.name()) != "flusher"; }
  ThreadExecutor threads_;
};

struct UnflushedOptions {
  std::string dir;
  std::uint64_t lines = 700;
  std::uint64_t first_line = 1;  // the ones before it are in the store already
  std::uint64_t servers = 6;
  std::uint64_t lines_in_flight = 24;
  std::uint64_t file_size_bytes = 32 << 10;
};

inline Deadline InTenSeconds() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(10);
}

inline void WriteUnflushed(const UnflushedOptions& wanted) {
  PosixFileSystem file_system;
  SystemClock clock;
  NoFlushExecutor executor;
  LogStoreOptions options;
  options.data_dir = wanted.dir;
  options.wal_max_size_bytes = wanted.file_size_bytes;
  options.wal_max_files = 64;
  Result<LogStore> store = log::OpenLogStore(
      options, {file_system, clock, executor, Rng::FromSystem()}, log::StorageTuning{});
  ASSERT_TRUE(store.ok()) << store.error().message;
  Result<Writer> writer = store->NewWriter();
  ASSERT_TRUE(writer.ok());
  std::vector<LogRef> logs;
  std::vector<Index> ends;
  for (std::uint64_t server = 0; server < wanted.servers; ++server) {
    const auto log = store->OpenLog(*writer, ServerName(server), OpenMode::kOpenOrCreate);
    ASSERT_TRUE(log.ok());
    logs.push_back(*log);
    const auto bounds = store->BoundsOf(*log);
    ASSERT_TRUE(bounds.ok());
    ends.push_back(bounds->end);
  }
  const std::string text = NumberedLines(wanted.lines);
  std::string payload;
  std::size_t begin = 0;
  for (std::uint64_t line = 1; line <= wanted.lines; ++line) {
    const std::size_t end = text.find('\n', begin);
    EncodeLine(line, std::string_view(text).substr(begin, end - begin), payload);
    begin = end + 1;
    if (line < wanted.first_line) continue;
    const std::uint64_t server = ServerOfLine(line, wanted.servers);
    const EntryView entry{.index = ends[server]++,
                          .term = 1,
                          .kind = kLineKind,
                          .payload = std::as_bytes(std::span(payload))};
    const LogAppend group{logs[server], std::span(&entry, 1)};
    const Result<Ticket> ticket = writer->Append(std::span(&group, 1));
    ASSERT_TRUE(ticket.ok()) << ticket.error().message;
    if (line % wanted.lines_in_flight != 0 && line != wanted.lines) continue;
    ASSERT_TRUE(writer->Wait(*ticket, InTenSeconds()).ok());
  }
  ASSERT_TRUE(store->Close(InTenSeconds()).ok());
}

}  // namespace duramen::tools::testing
