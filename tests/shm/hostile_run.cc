#include "tests/shm/hostile_run.h"

#include <poll.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <memory>

#include "tests/shm/process.h"
#include "tests/shm/kill_model.h"

namespace duramen::shm::testing {
namespace {

enum Role { kWal, kFirst, kSecond, kHostile, kRoles };
constexpr std::array<const char*, kRoles> kNames = {"WAL process", "first client", "second client",
                                                    "hostile client"};
constexpr int kSilenceMs = 60'000;

class Run {
 public:
  explicit Run(const HostileOptions& options) : options_(options) {}

  HostileRun Go() {
    ::mkdir(options_.directory.c_str(), 0700);
    const std::string socket = options_.directory + "/socket";
    Start(kWal, {options_.host, Data(), socket});
    while (Right() && !ready_) Listen();
    if (Right()) {
      Start(kFirst, {options_.honest, socket, "a", "1"});
      Start(kSecond, {options_.honest, socket, "b", "2"});
      Start(kHostile, {options_.hostile, socket, std::to_string(options_.seed),
                       std::to_string(options_.seconds)});
    }
    while (Right() && children_[kHostile]) Listen();
    for (const Role role : {kFirst, kSecond}) {
      if (Right()) children_[role]->Signal(SIGTERM);
    }
    ending_ = true;
    while (Right() && (children_[kFirst] || children_[kSecond])) Listen();
    if (Right()) children_[kWal]->Signal(SIGTERM);
    while (Right() && children_[kWal]) Listen();
    if (Right()) Check();
    for (auto& child : children_) child.reset();
    if (!Right()) run_.wrong += "\n" + Errors();
    std::filesystem::remove_all(options_.directory);
    return run_;
  }

 private:
  bool Right() const { return run_.wrong.empty(); }
  void Wrong(const std::string& what) {
    if (Right()) run_.wrong = what;
  }
  std::string Data() const { return options_.directory + "/d"; }

  std::string Errors() const {
    std::ifstream file(options_.directory + "/errors");
    std::string text{std::istreambuf_iterator<char>(file), {}};
    return text.substr(0, 8000);
  }

  void Start(Role role, const std::vector<std::string>& command) {
    children_[role] = std::make_unique<Process>(command, options_.directory + "/errors");
  }

  void Listen() {
    std::array<pollfd, kRoles> waits;
    for (int role = 0; role < kRoles; ++role) {
      waits[role] = {children_[role] ? children_[role]->fd() : -1, POLLIN, 0};
    }
    if (::poll(waits.data(), waits.size(), kSilenceMs) == 0) return Wrong("nobody goes on");
    for (int role = 0; role < kRoles; ++role) {
      if (waits[role].revents == 0) continue;
      const auto each = [&](const std::string& line) { OnLine(static_cast<Role>(role), line); };
      if (!children_[role]->Read(each)) OnEnd(static_cast<Role>(role));
    }
  }

  void OnLine(Role role, const std::string& line) {
    if (line.starts_with("error ") || line == "down") {
      Wrong(std::string("the ") + kNames[role] + ": " + line);
    }
    if (line.starts_with("ready ")) ready_ = true;
    if (line.starts_with("cut off ")) ++run_.cut_off[line.substr(8)];
    if (line == "bye") said_bye_[role] = true;
    if (role != kFirst && role != kSecond) return;
    if (line.starts_with("op ")) models_[role].OnOp(line);
    if (!line.starts_with("ack ")) return;
    const std::uint64_t count = std::stoull(line.substr(4));
    run_.acknowledged += count - acked_[role];
    acked_[role] = count;
    models_[role].OnAck(count);
  }

  void OnEnd(Role role) {
    const int status = children_[role]->Wait();
    children_[role].reset();
    const bool may = role == kHostile || ending_;
    if (status != 0 || !may || (role != kWal && !said_bye_[role])) {
      Wrong(std::string("the ") + kNames[role] + " ended with " + std::to_string(status));
    }
  }

  void Check() {
    Process check({options_.honest, "--check", Data()}, options_.directory + "/errors");
    std::array<States, kRoles> found;
    while (check.Read([&](const std::string& line) {
      if (line.starts_with("error ")) Wrong(line);
      if (!line.starts_with("log ") || line[4] == 'h') return;
      const std::string what = ReadLogLine(line, found[line[4] == 'a' ? kFirst : kSecond]);
      if (!what.empty()) Wrong(what);
    })) {
    }
    if (check.Wait() != 0) Wrong("the directory cannot be read");
    for (const Role role : {kFirst, kSecond}) {
      const std::string what = models_[role].OnOpen(found[role]);
      if (!what.empty()) Wrong(std::string("what the ") + kNames[role] + " wrote: " + what);
    }
  }

  const HostileOptions& options_;
  HostileRun run_;
  std::array<std::unique_ptr<Process>, kRoles> children_;
  std::array<KillModel, kRoles> models_;
  std::array<std::uint64_t, kRoles> acked_{};
  std::array<bool, kRoles> said_bye_{};
  bool ready_ = false;
  bool ending_ = false;
};

}  // namespace

HostileRun RunHostile(const HostileOptions& options) { return Run(options).Go(); }

}  // namespace duramen::shm::testing
