// The end of a cluster whose last member hears of it while another's WAL takes nothing.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/loop_executor.h"
#include "duramen/machines.h"
#include "server/system_impl.h"
#include "sim/sim_file_system.h"

namespace duramen::simulator {
namespace {

class SystemsDeletion : public testing::Test {
 protected:
  struct Home {
    explicit Home(std::string name_of_it, sim::SiteTable& sites)
        : name(std::move(name_of_it)), machine(sim::DiskState(), sites) {}
    std::string name;
    sim::SimFileSystem machine;
    std::optional<System> system;
  };

  Deadline In(std::int64_t seconds) const {
    return Deadline(std::chrono::nanoseconds(clock_.NowNs() + seconds * 1'000'000'000));
  }
  void Wait(std::int64_t seconds) {
    (void)executor_.Await([](void*) { return false; }, nullptr, In(seconds));
  }
  void Open(Home& home) {
    SystemOptions options;
    options.storage.data_dir = "/data";
    options.storage.wal_max_size_bytes = 64u << 10;
    options.storage.memory_budget = 8u << 20;
    options.node = home.name;
    options.network = network_;
    options.machines = {KvMachine()};
    options.workers = 1;
    log::StorageTuning tuning;
    tuning.ring_records = 256;
    tuning.ring_bytes = 64u << 10;
    tuning.chunk_bytes = 8u << 10;
    tuning.batch_bytes_max = 32u << 10;
    Result<System> opened = server::OpenSystem(
        options, {home.machine, clock_, executor_, Rng(++seed_)}, tuning);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    home.system.emplace(std::move(*opened));
  }

  ManualClock clock_;
  LoopExecutor executor_{Rng(7), clock_};
  sim::SiteTable sites_;
  std::shared_ptr<LocalNetwork> network_ = std::make_shared<LocalNetwork>();
  std::uint64_t seed_ = 0;
};

TEST_F(SystemsDeletion, CL8_TheLogGoesOnceTheWalTakesThatAgain) {
  Home a("a", sites_);
  Home b("b", sites_);
  Home c("c", sites_);
  for (Home* home : {&a, &b, &c}) ASSERT_NO_FATAL_FAILURE(Open(*home));
  ASSERT_TRUE(a.system->StartCluster({.name = "noise", .machine = "kv"}, In(60)).ok());
  const ClusterOptions orders{.name = "orders", .machine = "kv", .nodes = {"a", "b", "c"}};
  ASSERT_TRUE(a.system->StartCluster(orders, In(60)).ok());
  c.system.reset();
  ASSERT_TRUE(a.system->DeleteCluster("orders", In(60)).ok());
  Wait(5);
  // They wait for the third, which hears of it when nothing can be written here.
  ASSERT_EQ(a.system->Clusters(), (std::vector<std::string>{"noise", "orders"}));
  a.machine.Schedule({.kind = {}, .file_class = "wal", .times = UINT64_MAX});
  ASSERT_FALSE(a.system->Execute("noise", AsBytes(Kv::Put("a", "b")), In(5)).ok());
  ASSERT_NO_FATAL_FAILURE(Open(c));
  Wait(5);
  EXPECT_EQ(c.system->Clusters(), std::vector<std::string>{});
  EXPECT_EQ(b.system->Clusters(), std::vector<std::string>{});
  EXPECT_EQ(a.system->Clusters(), (std::vector<std::string>{"noise", "orders"}));
  a.machine.ClearFaults();
  Wait(60);
  EXPECT_EQ(a.system->Clusters(), std::vector<std::string>{"noise"});
  EXPECT_TRUE(a.system->StartCluster(orders, In(60)).ok());
}

}  // namespace
}  // namespace duramen::simulator
