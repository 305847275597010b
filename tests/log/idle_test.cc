// What a log costs that nobody writes to.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "duramen/log_store.h"
#include "tests/base/temp_dir.h"

namespace duramen {
namespace {

constexpr std::uint64_t kIdleLogs = 10'000;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kBytesPerLogMax = 32 << 10;  // Red zones and shadow memory count as well.
#else
constexpr std::uint64_t kBytesPerLogMax = 4 << 10;
#endif

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(60); }

std::uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size_pages = 0;
  std::uint64_t resident_pages = 0;
  file >> size_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t EntriesOf(const std::string& path) {
  const std::filesystem::directory_iterator directory(path);
  return static_cast<std::uint64_t>(std::distance(begin(directory), end(directory)));
}

/// Waits for what is on its way: a vote of `log` in a new term.
void Drain(Writer& writer, LogRef log, Term term) {
  const Result<Ticket> ticket = writer.PutVote(log, term, "");
  ASSERT_TRUE(ticket.ok()) << ticket.error().message;
  ASSERT_TRUE(writer.Wait(*ticket, Soon()).ok());
}

TEST(Idle, B2_TenThousandLogsWithoutEntriesCostLittleMemoryAndNoDescriptor) {
  const testing::TempDir dir;
  LogStoreOptions options;
  options.data_dir = dir / "data";
  options.wal_max_size_bytes = 16 << 20;
  for (const OpenMode mode : {OpenMode::kCreate, OpenMode::kOpen}) {
    SCOPED_TRACE(mode == OpenMode::kCreate ? "made" : "found by a start");
    const std::uint64_t before_the_start = ResidentBytes();
    Result<LogStore> store = LogStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.error().message;
    {
      Result<Writer> writer = store->NewWriter();
      ASSERT_TRUE(writer.ok());
      const Result<LogRef> first = store->OpenLog(*writer, "first", mode);
      ASSERT_TRUE(first.ok());
      const EntryView entry{.index = 1, .term = 1, .kind = kFirstUserKind, .payload = AsBytes("x")};
      const LogAppend group{*first, {&entry, 1}};
      const bool made = mode == OpenMode::kCreate;
      if (made) {
        ASSERT_TRUE(writer->Append({&group, 1}).ok());
      }
      Term term = store->VoteOf(*first)->term;
      Drain(*writer, *first, ++term);
      const std::uint64_t bytes = made ? ResidentBytes() : before_the_start;
      const std::uint64_t descriptors = EntriesOf("/proc/self/fd");
      for (std::uint64_t i = 0; i < kIdleLogs; ++i) {
        if (made && i % 500 == 499) Drain(*writer, *first, ++term);
        const Result<LogRef> log = store->OpenLog(*writer, "idle-" + std::to_string(i), mode);
        ASSERT_TRUE(log.ok()) << log.error().message;
      }
      Drain(*writer, *first, ++term);
      const std::uint64_t now = ResidentBytes();
      EXPECT_LE(now > bytes ? now - bytes : 0, kIdleLogs * kBytesPerLogMax);
      // A few spare WAL files may have been made ready meanwhile.
      EXPECT_LE(EntriesOf("/proc/self/fd"), descriptors + 8);
      EXPECT_LE(EntriesOf(dir / "data/servers"), 1u) << "of the only log with an entry";
      RecordProperty("bytes_per_log", std::to_string((now - std::min(now, bytes)) / kIdleLogs));
    }
    ASSERT_TRUE(store->Close(Soon()).ok());
  }
}

}  // namespace
}  // namespace duramen
