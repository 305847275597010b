// Real processes, killed at seeded moments under load: what was acknowledged is there, and nothing
// is there twice.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "base/bytes.h"
#include "base/rng.h"
#include "duramen/log_store.h"
#include "shm/socket.h"
#include "tests/base/temp_dir.h"
#include "tests/shm/process.h"
#include "tools/line_entry.h"

namespace duramen::shm::testing {
namespace {

constexpr std::uint64_t kServers = 6;
constexpr int kKills = 20;

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(60); }

class Processes : public ::testing::Test {
 protected:
  void WriteInput(std::uint64_t lines) {
    std::ofstream file(dir_ / "input");
    for (std::uint64_t line = 1; line <= lines; ++line) file << TextOf(line) << '\n';
    lines_ = lines;
  }
  static std::string TextOf(std::uint64_t line) {
    return "line " + std::to_string(line) + std::string(line % 113, 'x');
  }
  std::string Socket() const { return dir_ / "socket"; }
  std::unique_ptr<Process> StartWal(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command = {DURAMEN_BINARY, "wal", "--data-dir", dir_ / "data",
                                        "--socket", Socket(), "--wal-max-size-bytes", "256KiB",
                                        "--flush-delay", "0"};
    command.insert(command.end(), more.begin(), more.end());
    auto wal = std::make_unique<Process>(command, dir_ / "wal.err");
    const std::optional<std::string> ready = wal->Line();
    EXPECT_TRUE(ready && ready->starts_with("ready ")) << Errors("wal.err");
    return wal;
  }
  std::unique_ptr<Process> StartLoad(const std::string& prefix) const {
    return std::make_unique<Process>(
        std::vector<std::string>{DURAMEN_BINARY, "load", "unix:" + Socket(), dir_ / "input",
                                 "--servers", std::to_string(kServers), "--log-prefix", prefix,
                                 "--acks", "--resume", "--in-flight", "64"},
        dir_ / (prefix + ".err"));
  }
  std::string Errors(const std::string& name) const {
    std::ifstream file(dir_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// Reads acknowledgements up to `count` of them; how many came.
  std::uint64_t ReadAcks(Process& load, std::uint64_t count,
                         std::map<std::uint64_t, std::uint64_t>& acked) const {
    std::uint64_t came = 0;
    while (came < count) {
      const std::optional<std::string> line = load.Line();
      if (!line) break;
      if (!line->starts_with("ack ")) continue;
      const std::uint64_t number = std::stoull(line->substr(4));
      ++acked[tools::ServerOfLine(number, kServers)];
      ++came;
    }
    return came;
  }
  /// Each log has at least what was acknowledged, each line of it once and in order.
  void Compare(LogStore& store, const std::string& prefix, bool all,
               const std::map<std::uint64_t, std::uint64_t>& acked) const {
    Writer writer = store.NewWriter().value();
    std::vector<std::vector<std::uint64_t>> due(kServers);
    for (std::uint64_t line = 1; line <= lines_; ++line) {
      due[tools::ServerOfLine(line, kServers)].push_back(line);
    }
    for (std::uint64_t server = 0; server < kServers; ++server) {
      const std::string name = prefix + tools::ServerName(server);
      const Result<LogRef> log = store.OpenLog(writer, name, OpenMode::kOpenOrCreate);
      ASSERT_TRUE(log.ok()) << log.error().message;
      const Index end = store.BoundsOf(*log)->end;
      const auto known = acked.find(server);
      const std::uint64_t least = known == acked.end() ? 0 : known->second;
      EXPECT_GE(end - 1, all ? due[server].size() : least) << name;
      ASSERT_LE(end - 1, due[server].size()) << name;
      for (Index index = 1; index < end;) {
        const Result<Pin> pin = store.Read(*log, index, end, 1 << 20);
        ASSERT_TRUE(pin.ok()) << pin.error().message;
        for (const EntryView& entry : pin->entries()) {
          std::string expected;
          const std::uint64_t line = due[server][entry.index - 1];
          tools::EncodeLine(line, TextOf(line), expected);
          ASSERT_EQ(AsText(entry.payload), expected) << name << " " << entry.index;
        }
        index = pin->entries().back().index + 1;
      }
    }
    EXPECT_TRUE(writer.Wait(0, Soon()).ok());
  }
  LogStoreOptions Client() const {
    LogStoreOptions options;
    options.wal_process = "unix:" + Socket();
    return options;
  }

  duramen::testing::TempDir dir_;
  std::uint64_t lines_ = 0;
};

TEST_F(Processes, P1_SW2_TwentyKilledClientsLoseNothingAndDisturbNobody) {
  WriteInput(20000);
  const std::unique_ptr<Process> wal = StartWal();
  const std::unique_ptr<Process> other = StartLoad("b-");
  std::map<std::uint64_t, std::uint64_t> others_acks;
  std::thread reading([&] { (void)ReadAcks(*other, UINT64_MAX, others_acks); });
  std::map<std::uint64_t, std::uint64_t> acked;
  Rng rng(7);
  int kills = 0;
  while (kills < kKills) {
    const std::unique_ptr<Process> load = StartLoad("a-");
    const std::uint64_t wanted = 1 + rng.Next() % 600;
    const std::uint64_t came = ReadAcks(*load, wanted, acked);
    if (came < wanted) break;  // It is through: the input is too short.
    EXPECT_EQ(load->End(SIGKILL), 128 + SIGKILL) << Errors("a-.err");
    ++kills;
    if (kills % 5 != 0) continue;
    LogStore store = LogStore::Open(Client()).value();
    Compare(store, "a-", false, acked);
  }
  EXPECT_EQ(kills, kKills) << Errors("a-.err");
  const std::unique_ptr<Process> last = StartLoad("a-");
  (void)ReadAcks(*last, UINT64_MAX, acked);
  EXPECT_EQ(last->Wait(), 0) << Errors("a-.err");
  reading.join();
  EXPECT_EQ(other->Wait(), 0) << Errors("b-.err");
  EXPECT_EQ(wal->End(SIGTERM), 0) << Errors("wal.err");
  LogStoreOptions options;
  options.data_dir = dir_ / "data";
  LogStore store = LogStore::Open(options).value();
  Compare(store, "a-", true, acked);
  Compare(store, "b-", true, others_acks);
}

TEST_F(Processes, P2_SW3_W1_TwentyKilledWalProcessesLoseAndDoubleNothing) {
  WriteInput(30000);
  std::unique_ptr<Process> wal = StartWal();
  const std::unique_ptr<Process> first = StartLoad("a-");
  const std::unique_ptr<Process> second = StartLoad("b-");
  std::map<std::uint64_t, std::uint64_t> acks_of_first;
  std::map<std::uint64_t, std::uint64_t> acks_of_second;
  // A service that begins while there is no WAL process is refused.
  ASSERT_EQ(ReadAcks(*second, 1, acks_of_second), 1u) << Errors("b-.err");
  std::thread reading([&] { (void)ReadAcks(*second, UINT64_MAX, acks_of_second); });
  Rng rng(11);
  int kills = 0;
  while (kills < kKills) {
    const std::uint64_t wanted = 1 + rng.Next() % 900;
    if (ReadAcks(*first, wanted, acks_of_first) < wanted) break;
    EXPECT_EQ(wal->End(SIGKILL), 128 + SIGKILL) << Errors("wal.err");
    ++kills;
    wal = StartWal();
  }
  EXPECT_EQ(kills, kKills) << Errors("a-.err") << Errors("wal.err");
  (void)ReadAcks(*first, UINT64_MAX, acks_of_first);
  EXPECT_EQ(first->Wait(), 0) << Errors("a-.err");
  reading.join();
  EXPECT_EQ(second->Wait(), 0) << Errors("b-.err");
  std::uint64_t lines = 0;
  for (const auto& [server, count] : acks_of_first) lines += count;
  EXPECT_EQ(lines, lines_) << "each line is acknowledged, once";
  EXPECT_EQ(wal->End(SIGTERM), 0) << Errors("wal.err");
  LogStoreOptions options;
  options.data_dir = dir_ / "data";
  LogStore store = LogStore::Open(options).value();
  Compare(store, "a-", true, acks_of_first);
  Compare(store, "b-", true, acks_of_second);
}

TEST_F(Processes, SW4_ASuccessorTakesOverUnderLoad) {
  WriteInput(30000);
  std::unique_ptr<Process> wal = StartWal();
  const std::unique_ptr<Process> load = StartLoad("a-");
  std::map<std::uint64_t, std::uint64_t> acked;
  for (int i = 0; i < 3; ++i) {
    EXPECT_GT(ReadAcks(*load, 2000, acked), 0u) << Errors("a-.err");
    std::unique_ptr<Process> successor = StartWal({"--takeover"});
    EXPECT_EQ(wal->Wait(), 0) << Errors("wal.err");
    wal = std::move(successor);
  }
  (void)ReadAcks(*load, UINT64_MAX, acked);
  EXPECT_EQ(load->Wait(), 0) << Errors("a-.err");
  {
    LogStore store = LogStore::Open(Client()).value();
    Compare(store, "a-", true, acked);
    EXPECT_TRUE(store.Close(Soon()).ok());
  }
  EXPECT_EQ(wal->End(SIGTERM), 0) << Errors("wal.err");
}

TEST_F(Processes, SW4_NobodyTakesOverWithAnotherDirectory) {
  const std::unique_ptr<Process> wal = StartWal();
  ASSERT_EQ(::mkdir((dir_ / "other").c_str(), 0700), 0);
  for (const char* other : {"other", "missing"}) {
    Process stranger({DURAMEN_BINARY, "wal", "--data-dir", dir_ / other, "--socket", Socket(),
                      "--takeover"},
                     dir_ / "stranger.err");
    EXPECT_NE(stranger.Wait(), 0);
  }
  EXPECT_NE(Errors("stranger.err").find("another data directory"), std::string::npos);
  EXPECT_TRUE(LogStore::Open(Client()).ok()) << "it has let nobody go";
  EXPECT_EQ(wal->End(SIGTERM), 0) << Errors("wal.err");
}

TEST_F(Processes, SW4_ASocketOfTheServiceManagerOutlivesTheWalProcess) {
  const Listener listener = Listener::Listen(Socket()).value();
  // LISTEN_PID is that of the process itself, which only a shell in its place knows.
  const std::vector<std::string> command = {
      "/bin/sh", "-c",
      "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" wal --data-dir \"$1\" --socket \"$2\"",
      DURAMEN_BINARY, dir_ / "data", Socket()};
  const auto start = [&] {
    return std::make_unique<Process>(command, dir_ / "wal.err",
                                     Process::More{.third = listener.fd(), .environment = ""});
  };
  // A client that comes before the WAL process waits in the queue.
  std::optional<LogStore> store;
  std::thread early([&] {
    Result<LogStore> opened = LogStore::Open(Client());
    if (opened.ok()) store.emplace(std::move(*opened));
  });
  std::unique_ptr<Process> wal = start();
  early.join();
  ASSERT_TRUE(store.has_value()) << Errors("wal.err");
  {
    Writer writer = store->NewWriter().value();
    const LogRef log = store->OpenLog(writer, "a", OpenMode::kCreate).value();
    Index index = 0;
    const auto append = [&] {
      const EntryView entry{.index = ++index, .term = 1, .kind = 200, .payload = {}};
      const LogAppend group{log, {&entry, 1}};
      const Ticket ticket = writer.Append({&group, 1}).value();
      return writer.Wait(ticket, Soon());
    };
    EXPECT_TRUE(append().ok());
    EXPECT_EQ(wal->End(SIGTERM), 0) << Errors("wal.err");
    wal = start();
    // It may still be on its way to the new one.
    EXPECT_TRUE(writer.WaitForRoom(log, 1, 0, Soon()).ok());
    EXPECT_TRUE(append().ok());
  }
  EXPECT_TRUE(store->Close(Soon()).ok());
  EXPECT_EQ(wal->End(SIGTERM), 0) << Errors("wal.err");
}

/// By batch, how many entries of logs with that first letter stand in the WAL.
std::map<char, std::map<std::uint64_t, std::uint64_t>> EntriesByBatch(const std::string& table) {
  std::map<char, std::map<std::uint64_t, std::uint64_t>> entries;
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);
  EXPECT_TRUE(line.starts_with("file,offset,batch,standing,server,")) << line;
  while (std::getline(file, line)) {
    std::istringstream cells(line);
    std::string cell[5];
    for (std::string& one : cell) std::getline(cells, one, ',');
    ++entries[cell[4].front()][std::stoull(cell[2])];
  }
  return entries;
}

/// All rings are full when the WAL process looks into them, as it was stopped meanwhile.
TEST_F(Processes, SW1_B7_AClientWithManyWritersHasOneTurnAsOthers) {
  constexpr Index kEach = 3000;
  constexpr int kWriters = 4;
  Process wal({DURAMEN_BINARY, "wal", "--data-dir", dir_ / "data", "--socket", Socket()},
              dir_ / "wal.err");
  ASSERT_TRUE(wal.Line().has_value()) << Errors("wal.err");
  LogStore greedy = LogStore::Open(Client()).value();
  LogStore modest = LogStore::Open(Client()).value();
  std::vector<Writer> writers;
  std::vector<LogRef> logs;
  for (int i = 0; i < kWriters; ++i) {
    writers.push_back(greedy.NewWriter().value());
    logs.push_back(
        greedy.OpenLog(writers.back(), "g" + std::to_string(i), OpenMode::kCreate).value());
  }
  writers.push_back(modest.NewWriter().value());
  logs.push_back(modest.OpenLog(writers.back(), "m", OpenMode::kCreate).value());
  const std::string text(1000, 'x');
  std::vector<Ticket> last(writers.size());
  const auto append = [&](std::size_t to, Index begin, Index end) {
    for (Index index = begin; index < end; ++index) {
      const EntryView entry{.index = index, .term = 1, .kind = 200, .payload = AsBytes(text)};
      const LogAppend group{logs[to], {&entry, 1}};
      last[to] = writers[to].Append({&group, 1}).value();
    }
  };
  for (std::size_t i = 0; i < writers.size(); ++i) {
    append(i, 1, 2);
    ASSERT_TRUE(writers[i].Wait(last[i], Soon()).ok());
  }
  wal.Stop();
  for (std::size_t i = 0; i < writers.size(); ++i) append(i, 2, kEach + 1);
  wal.Signal(SIGCONT);
  for (std::size_t i = 0; i < writers.size(); ++i) {
    ASSERT_TRUE(writers[i].Wait(last[i], Soon()).ok());
  }
  Process dump({DURAMEN_BINARY, "dump", dir_ / "data", "--kind", "entry", "--payload", "none",
                "--format", "csv", "-o", dir_ / "table"},
               dir_ / "dump.err");
  EXPECT_EQ(dump.Wait(), 0) << Errors("dump.err");
  auto entries = EntriesByBatch(dir_ / "table");
  ASSERT_EQ(entries['m'].empty(), false);
  const std::uint64_t through = entries['m'].rbegin()->first;
  // What of the last one the modest client leaves is anybody's.
  const auto before = [&](char letter) {
    std::uint64_t all = 0;
    for (const auto& [batch, count] : entries[letter]) all += batch < through ? count : 0;
    return all;
  };
  std::string told;
  for (const auto& [letter, batches] : entries) {
    for (const auto& [batch, count] : batches) {
      told += std::string(" ") + letter + std::to_string(batch) + ":" + std::to_string(count);
    }
  }
  EXPECT_LT(before('g'), 2 * before('m') + 100) << told;
  writers.clear();
  EXPECT_TRUE(greedy.Close(Soon()).ok());
  EXPECT_TRUE(modest.Close(Soon()).ok());
  EXPECT_EQ(wal.End(SIGTERM), 0) << Errors("wal.err");
}

}  // namespace
}  // namespace duramen::shm::testing
