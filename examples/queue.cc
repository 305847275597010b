// A queue with a length, replicated: calls through any member, a member more, a leader less.
//   queue DIR
#include <duramen/system.h>

#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace {

/// Command `push TEXT` or `pop`; the query is for the length.
class Queue final : public duramen::Machine {
 public:
  duramen::Status Validate(duramen::Bytes command) const override {
    if (Text(command) == "pop" || Text(command).starts_with("push ")) return {};
    return duramen::Error{duramen::ErrorCode::kInvalidArgument, "push TEXT or pop", ""};
  }
  void Apply(std::span<const duramen::Command> commands, duramen::Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      const std::string_view text = Text(commands[at].payload);
      if (text == "pop") {
        effects.Reply(at, items_.empty() ? "nothing" : items_.front());
        if (!items_.empty()) items_.pop_front();
      } else {
        items_.emplace_back(text.substr(5));
        effects.Reply(at, std::to_string(items_.size()));
      }
    }
  }
  duramen::Status Query(duramen::Bytes, std::string& answer) const override {
    answer = std::to_string(items_.size());
    return {};
  }

 private:
  static std::string_view Text(duramen::Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::deque<std::string> items_;
};

[[noreturn]] void Fail(const duramen::Error& error) {
  std::cerr << error.message << (error.hint.empty() ? "" : "; ") << error.hint << "\n";
  std::exit(1);
}

template <typename Value>
Value Must(duramen::Result<Value> result) {
  if (!result) Fail(result.error());
  if constexpr (!std::is_void_v<Value>) return std::move(*result);
}

duramen::Deadline Soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(30);
}

duramen::Bytes Command(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) Fail({duramen::ErrorCode::kInvalidArgument, "usage: queue DIR", ""});
  const auto network = std::make_shared<duramen::LocalNetwork>();
  std::map<std::string, duramen::System> systems;
  for (const char* node : {"a", "b", "c", "d"}) {
    duramen::SystemOptions options;
    options.storage.data_dir = std::string(argv[1]) + "/" + node;
    options.storage.wal_max_size_bytes = 4 << 20;
    options.node = node;
    options.network = network;
    options.machines = {{"queue", [] { return std::make_unique<Queue>(); }}};
    systems.emplace(node, Must(duramen::System::Open(options)));
  }
  duramen::System& a = systems.at("a");
  Must(a.StartCluster({.name = "jobs", .machine = "queue", .nodes = {"a", "b", "c"}}, Soon()));

  // Any member takes a command, and brings it to the leader.
  for (const char* node : {"a", "b", "c"}) {
    const std::string push = std::string("push from ") + node;
    const auto length = Must(systems.at(node).Execute("jobs", Command(push), Soon()));
    std::cout << "length " << length << "\n";
  }
  std::cout << "popped " << Must(a.Execute("jobs", Command("pop"), Soon())) << "\n";
  const auto refused = a.Execute("jobs", Command("nonsense"), Soon());
  if (!refused) std::cout << "refused: " << refused.error().message << "\n";

  // One more, which gets the log and then a vote.
  while (!a.AddMember("jobs", "d", Soon())) std::cerr << "not yet\n";
  // The leader's server goes, as if its machine had failed; the others elect another.
  const std::string leader = Must(a.AwaitLeader("jobs", Soon()));
  Must(systems.at(leader).StopServer("jobs", Soon()));
  duramen::System& other = systems.at(leader == "a" ? "b" : "a");
  std::cout << "popped " << Must(other.Execute("jobs", Command("pop"), Soon())) << "\n";
  Must(systems.at(leader).RestartServer("jobs", Soon()));
  const auto length =
      systems.at("d").Query("jobs", {}, duramen::Consistency::kConsistent, Soon());
  std::cout << "length " << Must(length) << " on d\n";
  Must(a.DeleteCluster("jobs", Soon()));
}
