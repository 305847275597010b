// A counter that outlives its leader: three systems of one process, one cluster on all of them.
//   counter DIR
#include <duramen/system.h>

#include <array>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

namespace {

class Counter final : public duramen::Machine {
 public:
  void Apply(std::span<const duramen::Command> commands, duramen::Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at)
      effects.Reply(at, std::to_string(++count_));
  }
  duramen::Status Query(duramen::Bytes, std::string& answer) const override {
    answer = std::to_string(count_);
    return {};
  }

 private:
  std::uint64_t count_ = 0;
};

int Fail(const duramen::Error& error) {
  std::cerr << error.message << (error.hint.empty() ? "" : "; ") << error.hint << "\n";
  return 1;
}

duramen::Deadline Soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(30);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return Fail({duramen::ErrorCode::kInvalidArgument, "usage: counter DIR", ""});
  const auto network = std::make_shared<duramen::LocalNetwork>();
  const std::array<std::string, 3> nodes = {"a", "b", "c"};
  std::vector<duramen::System> systems;
  for (const std::string& node : nodes) {
    duramen::SystemOptions options;
    options.storage.data_dir = std::string(argv[1]) + "/" + node;
    options.storage.wal_max_size_bytes = 4 << 20;
    options.node = node;
    options.network = network;
    options.machines = {{"counter", [] { return std::make_unique<Counter>(); }}};
    auto system = duramen::System::Open(options);
    if (!system) return Fail(system.error());
    systems.push_back(std::move(*system));
  }
  // The second time it is there already, and its servers have started with their systems.
  const auto started = systems[0].StartCluster(
      {.name = "clicks", .machine = "counter", .nodes = {"a", "b", "c"}}, Soon());
  if (!started && started.error().code != duramen::ErrorCode::kAlreadyExists)
    return Fail(started.error());

  for (int click = 0; click < 2; ++click) {
    auto count = systems[0].Execute("clicks", {}, Soon());
    if (!count) return Fail(count.error());
    std::cout << *count << "\n";
  }
  auto leader = systems[0].AwaitLeader("clicks", Soon());
  if (!leader) return Fail(leader.error());
  // Its leader goes; whoever asks another member does not notice for long.
  const std::size_t gone = *leader == "a" ? 0 : *leader == "b" ? 1 : 2;
  if (auto closed = systems[gone].Close(Soon()); !closed) return Fail(closed.error());
  duramen::System& other = systems[(gone + 1) % systems.size()];
  auto count = other.Execute("clicks", {}, Soon());
  if (!count) return Fail(count.error());
  auto read = other.Query("clicks", {}, duramen::Consistency::kConsistent, Soon());
  if (!read) return Fail(read.error());
  std::cout << *count << ", and read " << *read << "\n";
}
