// What the statistics page of a WAL process shows of its clients.
#include <gmock/gmock.h>
#include <unistd.h>

#include <thread>

#include "base/stat_memory.h"
#include "base/stat_page.h"
#include "tests/shm/raw_client.h"

namespace duramen::shm::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class ClientsPage : public SharedWal {
 protected:
  StatReading Page() const {
    const Result<StatCopy> copy = ReadStatMemory(dir_ / "data");
    EXPECT_TRUE(copy.ok()) << copy.error().message;
    return StatPageRead(copy->bytes).value();
  }
  std::uint64_t Metric(std::string_view name) const { return Page().ValueOf(name, 0); }
  /// The WAL process hears of it a moment later.
  void AwaitClients(std::size_t count) const {
    while (host_->clients() != count) std::this_thread::yield();
  }
};

TEST_F(ClientsPage, SW1_TL4_WhoIsThereAndWhatTheyHaveAndDid) {
  Quota quota;
  quota.logs = 2;
  StartHost(quota);
  EXPECT_THAT(Page().clients, SizeIs(0));
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "one", OpenMode::kCreate).value();
  Ticket last = 0;
  for (Index index = 1; index <= 10; ++index) last = Put(writer, log, index, "text").value();
  ASSERT_TRUE(writer.Wait(last, Soon()).ok());
  const LogStore other = Client();
  const std::vector<ClientRecord> clients = Page().clients;
  ASSERT_THAT(clients, SizeIs(2));
  const ClientRecord& one = clients[0];
  EXPECT_EQ(one.ordinal, 1u);
  EXPECT_EQ(one.state, ClientState::kAttached);
  EXPECT_EQ(one.pid, static_cast<std::uint64_t>(::getpid()));
  EXPECT_EQ(one.uid, ::geteuid());
  EXPECT_GT(one.attached_ns, 0);
  EXPECT_EQ(one.logs, 1u);
  EXPECT_EQ(one.logs_max, 2u);
  EXPECT_EQ(one.rings, 1u);
  EXPECT_EQ(one.rings_max, quota.rings);
  EXPECT_GE(one.memory_bytes, ClientSettings().memory_budget / 2);
  EXPECT_EQ(one.memory_bytes_max, quota.bytes);
  EXPECT_EQ(one.records, 11u) << "and the name of the log";
  EXPECT_GE(one.bytes, 11 * wal::kRecordHeaderBytes);
  EXPECT_EQ(one.refused, 0u);
  EXPECT_EQ(clients[1].records, 0u) << "each its own";
  EXPECT_EQ(clients[1].logs, 0u);
  // The third log is one too many.
  EXPECT_TRUE(store.OpenLog(writer, "two", OpenMode::kCreate).ok());
  EXPECT_FALSE(store.OpenLog(writer, "three", OpenMode::kCreate).ok());
  EXPECT_EQ(Page().clients[0].logs, 2u);
  EXPECT_EQ(Page().clients[0].refused, 1u);
  EXPECT_EQ(Metric("clients"), 2u);
}

TEST_F(ClientsPage, SW2_TL4_WhoWentAndWhyStaysToBeSeen) {
  StartHost();
  { const LogStore store = Client(); }
  AwaitClients(0);
  {
    RawClient raw(dir_ / "socket");
    ASSERT_EQ(raw.Greet()->kind, Kind::kAnswer);
    (void)raw.Ask(static_cast<Kind>(77), {});
    EXPECT_THAT(raw.CutOff(), HasSubstr("kind 77"));
  }
  AwaitClients(0);
  const std::vector<ClientRecord> clients = Page().clients;
  ASSERT_THAT(clients, SizeIs(2));
  EXPECT_EQ(clients[0].state, ClientState::kLeft);
  EXPECT_EQ(clients[0].reason, "");
  EXPECT_GE(clients[0].gone_ns, clients[0].attached_ns);
  EXPECT_GT(clients[0].memory_bytes, 0u) << "what it had";
  EXPECT_EQ(clients[1].state, ClientState::kCutOff);
  EXPECT_THAT(clients[1].reason, HasSubstr("kind 77"));
  EXPECT_EQ(Metric("clients"), 0u);
  EXPECT_EQ(Metric("clients_attached"), 2u);
  EXPECT_EQ(Metric("clients_cut_off"), 1u);
}

/// It asks and asks, and takes no answer.
TEST_F(ClientsPage, P5_SW2_AClientThatStopsReadingIsCutOffAndItsLogsAreFree) {
  HostOptions options;
  options.socket_path = dir_ / "socket";
  options.patience_ms = 20;
  host_ = Host::Start(HostSettings(), options).value();
  RawClient raw(dir_ / "socket");
  raw.Begin("log");
  ASSERT_FALSE(HasFatalFailure());
  raw.Push(raw.Identity());
  raw.Push(raw.Entry(1, "text"));
  const Frame question{.kind = Kind::kList, .id = 9, .body = {}};
  while (SendFrame(raw.connection, question, {}, 60'000).ok()) {
  }
  AwaitClients(0);
  const std::vector<ClientRecord> clients = Page().clients;
  ASSERT_THAT(clients, SizeIs(1));
  EXPECT_EQ(clients[0].state, ClientState::kCutOff);
  EXPECT_EQ(clients[0].reason, "it does not read what it asked for");
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kOpen).value();
  EXPECT_EQ(TextAt(store, log, 1), "text");
}

TEST_F(ClientsPage, SW2_TL4_WhoReadsIsCounted) {
  StartHost();
  {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    const LogRef log = store.OpenLog(writer, "one", OpenMode::kCreate).value();
    ASSERT_TRUE(writer.Wait(Put(writer, log, 1, "text").value(), Soon()).ok());
  }
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "one", OpenMode::kOpen).value();
  EXPECT_EQ(TextAt(store, log, 1), "text");
  EXPECT_EQ(Page().clients.back().read_entries, 1u);
}

TEST_F(ClientsPage, SW2_TL4_MoreClientsThanRowsAreServedAllTheSame) {
  HostOptions options;
  options.socket_path = dir_ / "socket";
  options.clients_max = ClientTable::kRows + 1;
  host_ = Host::Start(HostSettings(), options).value();
  std::vector<std::unique_ptr<RawClient>> raws;
  for (std::size_t i = 0; i <= ClientTable::kRows; ++i) {
    raws.push_back(std::make_unique<RawClient>(dir_ / "socket"));
    raws.back()->Begin("raw" + std::to_string(i));
    ASSERT_FALSE(HasFatalFailure());
  }
  EXPECT_THAT(Page().clients, SizeIs(ClientTable::kRows));
  EXPECT_EQ(Metric("clients"), ClientTable::kRows + 1);
  RawClient more(dir_ / "socket");
  EXPECT_THAT(more.CutOff(), HasSubstr("has 65 clients"));
  EXPECT_EQ(Metric("clients_refused"), 1u);
}

}  // namespace
}  // namespace duramen::shm::testing
