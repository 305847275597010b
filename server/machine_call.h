// Calls of machines: each with all that it needs, so that one that takes long can be left behind.
//
// A worker makes them in its own thread, between its steps' work, when nothing of it is half done.
// A guard sees one that does not return, and takes the worker away from it: another thread goes on
// with the worker, without that server's machine. When the call returns after all, its thread hands
// the result over as an item of the worker, and ends. Only who wins `state` from kRunning goes on
// with the worker, so never two threads do. At most kLeftMost threads are away at a time; then the
// guard lets a worker wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/actor.h"
#include "base/clock.h"
#include "server/hosted_machine.h"
#include "server/parcel.h"

namespace duramen::server {

class Worker;

struct MachineCall {
  /// An event; of Aux with its bytes, and who wants the answer.
  struct Tell {
    MachineEvent event;
    std::vector<std::byte> message = {};
    std::optional<Asker> asker = {};
    std::string answer = {};
  };
  struct Query {
    std::vector<std::byte> query;
    Asker asker;
    Index applied = 0;  // when it was asked
    Result<std::string> answer = std::string();
  };
  std::shared_ptr<HostedMachine> machine;
  ServerUid server;
  std::variant<ApplyWork, Tell, Query> what;

  void Run();
  /// Who waits for it; null: nobody.
  const Asker* asker() const;
  bool stops() const {
    const Tell* tell = std::get_if<Tell>(&what);
    return tell != nullptr && std::holds_alternative<StoppingEvent>(tell->event);
  }
  std::size_t query_bytes() const {
    const Query* asked = std::get_if<Query>(&what);
    return asked == nullptr ? 0 : asked->query.size();
  }
};

/// Where results of calls that were left go; shared with their threads, which may outlive all else.
struct LateBox {
  std::mutex mutex;
  Worker* worker = nullptr;  // null: it is gone
  std::atomic<std::uint64_t> left{0};  // calls that have not returned
};

/// The call under way. Shared by the thread that is in it, and whoever goes on.
struct CallUnderWay {
  enum class State : std::uint8_t { kNone, kRunning, kLeft };
  std::atomic<State> state{State::kNone};
  std::atomic<std::uint64_t> number{0};  // of the call
  std::optional<MachineCall> call;       // the caller's while kRunning
  ServerUid server;                      // the same as in `call`; not changed while kRunning
};

/// An actor of production; nothing of it runs while no machine is called.
class MachineGuard final : public Actor {
 public:
  static constexpr std::uint64_t kLeftMost = 16;

  /// They outlive it. `worker` is asked for by Watch, before it is started.
  MachineGuard(Clock& clock, ActorExecutor& executor) : clock_(clock), executor_(executor) {}
  void Watch(Worker& worker) { watched_.push_back({&worker, 0}); }
  /// A worker is about to call machines. Any thread.
  void Notice() noexcept {
    if (asleep_.load() && asleep_.exchange(false)) executor_.Wake(*this);
  }
  std::int64_t Step() override;
  const char* name() const override { return "machine-guard"; }
  bool background() const override { return true; }

 private:
  struct Watched {
    Worker* worker = nullptr;
    std::uint64_t number = 0;  // of the call that was under way
  };
  bool Look();

  Clock& clock_;
  ActorExecutor& executor_;
  std::vector<Watched> watched_;
  std::atomic<bool> asleep_{false};
  int quiet_ = 0;  // looks since a call was seen
};

}  // namespace duramen::server
