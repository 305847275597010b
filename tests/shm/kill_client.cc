// A client for the kill matrix: it writes three logs by one Writer, tells its parent what it is
// about to put into the ring and what was acknowledged, and goes on where its former life stopped;
// the last log is deleted and made anew by each life.
//
//   duramen_kill_client SOCKET PREFIX LIFE     until SIGTERM; lines on standard output
//   duramen_kill_client --check DIR            the same lines about all logs of a directory
//   duramen_kill_client --run COMMAND...       becomes that command, which ends with its parent
//
//   log NAME BEGIN END VOTE TERM:TEXT...   what a log holds
//   open                                   those were all
//   op NAME entry|suffix|prefix|vote|delete NUMBER TERM TEXT
//   ack COUNT                              so many operations of this life are durable
//   down                                   there is no WAL process at the moment
//   error SENTENCE
//   bye                                    closed in peace
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>

#include "base/bytes.h"
#include "duramen/log_store.h"

namespace duramen::shm::testing {
namespace {

constexpr int kLogs = 3;
constexpr Index kLongMax = 24;  // entries of a log, before its begin is moved
constexpr Index kKept = 8;
constexpr auto kPatience = std::chrono::seconds(20);
constexpr int kPauseMs = 1;
constexpr int kDownMs = 2;
constexpr int kLooks = 30'000;  // at what is durable, before a wait that sleeps

std::atomic<bool> ended{false};

void Pause(int ms) { (void)::poll(nullptr, 0, ms); }

Deadline Soon() { return std::chrono::steady_clock::now() + kPatience; }

void Say(std::string line) {
  line += '\n';
  (void)!::write(1, line.data(), line.size());
}

[[noreturn]] void Fail(const std::string& what, const Error& error) {
  Say("error " + what + ": " + error.message);
  std::_Exit(1);
}

/// What a payload says, behind it as many bytes as its length asks for.
std::string PayloadOf(const std::string& text) {
  return text + ":" + std::string(text.back() % 8 * 40u, 'x');
}

std::string TextOf(const EntryView& entry) {
  const std::string payload(AsText(entry.payload));
  const std::string text = payload.substr(0, payload.find(':'));
  return !text.empty() && PayloadOf(text) == payload ? text : "bad";
}

/// Comes back where an answer says that the WAL process is gone for a while.
template <typename Try>
auto Insist(const std::string& what, Try attempt) {
  const Deadline until = Soon();
  while (true) {
    auto result = attempt();
    if (result.ok()) return result;
    const ErrorCode code = result.error().code;
    const bool passes = code == ErrorCode::kWalDown || code == ErrorCode::kNotFound ||
                        code == ErrorCode::kClosed || code == ErrorCode::kOverloaded;
    if (!passes || std::chrono::steady_clock::now() > until) Fail(what, result.error());
    Say("down");
    Pause(kDownMs);
  }
}

void SayLog(const LogStore& store, LogRef log, const std::string& name) {
  const Bounds bounds = store.BoundsOf(log).value();
  std::string line = "log " + name + " " + std::to_string(bounds.begin) + " " +
                     std::to_string(bounds.end) + " " +
                     std::to_string(store.VoteOf(log).value().term);
  for (Index index = bounds.begin; index < bounds.end;) {
    const Pin pin = Insist("read " + name, [&] {
                      return store.Read(log, index, bounds.end, 1 << 20);
                    }).value();
    for (const EntryView& entry : pin.entries()) {
      line += " " + std::to_string(entry.term) + ":" + TextOf(entry);
      index = entry.index + 1;
    }
  }
  Say(line);
}

class Client {
 public:
  Client(LogStore& store, Writer& writer, std::string life)
      : store_(store), writer_(writer), life_(std::move(life)) {}

  void Open(const std::string& prefix) {
    for (int i = 0; i < kLogs; ++i) {
      names_[i] = prefix + std::to_string(i);
      logs_[i] = Insist("open " + names_[i], [&] {
                   return store_.OpenLog(writer_, names_[i], OpenMode::kOpenOrCreate);
                 }).value();
      SayLog(store_, logs_[i], names_[i]);
    }
    Say("open");
    Renew(kLogs - 1);
  }

  void Go() {
    while (!ended.load()) {
      for (int i = 0; i < kLogs; ++i) Change(i);
      Await();
      Pause(kPauseMs);  // The WAL's thread sleeps meanwhile, so that it has to be rung for.
    }
  }

 private:
  void Renew(int i) {
    SayOp(i, "delete", 0);
    last_ = Insist("delete", [&] { return store_.DeleteLog(writer_, logs_[i]); }).value();
    Await();
    logs_[i] = Insist("make " + names_[i], [&] {
                 return store_.OpenLog(writer_, names_[i], OpenMode::kOpenOrCreate);
               }).value();
  }

  /// What is durable has been told of, also where the WAL process ended before it woke anybody.
  void Await() {
    for (int look = 0; look < kLooks && writer_.durable() < last_; ++look) {
    }
    const Status waited = writer_.Wait(last_, Soon());
    if (!waited.ok()) Fail("wait", waited.error());
    Say("ack " + std::to_string(count_));
    for (int i = 0; i < kLogs; ++i) {
      const Result<Bounds> bounds = store_.BoundsOf(logs_[i]);
      if (!bounds.ok() || bounds->written_end == bounds->end) continue;  // One was deleted.
      Say("error " + names_[i] + " is acknowledged to " + std::to_string(bounds->end) +
          ", and written to " + std::to_string(bounds->written_end));
      std::_Exit(1);
    }
  }

  void Change(int i) {
    const Bounds bounds = store_.BoundsOf(logs_[i]).value();
    const Index size = bounds.end - bounds.begin;
    ++turn_;
    if (size > kLongMax) return CutPrefix(i, bounds.end - kKept);
    if (turn_ % 11 == 3) return Vote(i);
    if (turn_ % 11 == 5 && size > 1) return CutSuffix(i, bounds.end - 1);
    if (turn_ % 11 == 8 && size > 1) return Append(i, bounds.end - 1, 1);
    Append(i, bounds.end, 1 + turn_ % 3);
  }

  std::string SayOp(int i, const std::string& what, std::uint64_t number, Term term = 0) {
    std::string text = "L" + life_ + "." + std::to_string(++count_);
    Say("op " + names_[i] + " " + what + " " + std::to_string(number) + " " +
        std::to_string(term) + " " + text);
    return text;
  }

  void Append(int i, Index first, std::uint64_t entries) {
    Term term = store_.TermAt(logs_[i], first - 1).value();
    const bool overwrites = first < store_.BoundsOf(logs_[i])->end;
    if (overwrites) term = store_.TermAt(logs_[i], first).value() + 1;
    if (term == 0) term = 1;
    std::vector<std::string> payloads;
    for (std::uint64_t at = 0; at < entries; ++at) {
      payloads.push_back(PayloadOf(SayOp(i, "entry", first + at, term)));
    }
    std::vector<EntryView> views;
    for (const std::string& payload : payloads) {
      views.push_back({.index = first + views.size(),
                       .term = term,
                       .kind = 200,
                       .payload = AsBytes(payload)});
    }
    const LogAppend group{logs_[i], views};
    last_ = Insist("append", [&] { return writer_.Append({&group, 1}); }).value();
  }

  void CutSuffix(int i, Index end) {
    SayOp(i, "suffix", end);
    last_ = Insist("cut", [&] { return writer_.TruncateSuffix(logs_[i], end); }).value();
  }

  void CutPrefix(int i, Index begin) {
    SayOp(i, "prefix", begin);
    last_ = Insist("cut", [&] { return writer_.TruncatePrefix(logs_[i], begin); }).value();
  }

  void Vote(int i) {
    const Term term = store_.VoteOf(logs_[i])->term + 1;
    SayOp(i, "vote", term);
    last_ = Insist("vote", [&] { return writer_.PutVote(logs_[i], term, "n"); }).value();
  }

  LogStore& store_;
  Writer& writer_;
  std::string life_;
  std::string names_[kLogs];
  LogRef logs_[kLogs];
  Ticket last_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t turn_ = 0;
};

int Run(const std::string& socket, const std::string& prefix, const std::string& life) {
  struct sigaction action = {};
  action.sa_handler = [](int) { ended.store(true); };
  ::sigaction(SIGTERM, &action, nullptr);
  LogStoreOptions options;
  options.wal_process = "unix:" + socket;
  options.memory_budget = 32 << 20;
  LogStore store = Insist("attach", [&] { return LogStore::Open(options); }).value();
  {
    Writer writer = Insist("writer", [&] { return store.NewWriter(); }).value();
    Client client(store, writer, life);
    client.Open(prefix);
    client.Go();
  }
  const Status closed = store.Close(Soon());
  if (!closed.ok()) Fail("close", closed.error());
  Say("bye");
  return 0;
}

int Check(const std::string& directory) {
  LogStoreOptions options;
  options.data_dir = directory;
  options.memory_budget = 32 << 20;
  Result<LogStore> store = LogStore::Open(options);
  if (!store.ok()) Fail("open", store.error());
  for (const Finding& finding : store->recovery_report().findings) {
    if (finding.kind == FindingKind::kDamage) Say("error damage: " + finding.sentence);
  }
  for (const LogInfo& log : store->Logs()) SayLog(*store, log.log, log.name);
  Say("bye");
  return store->Close(Soon()).ok() ? 0 : 1;
}

}  // namespace
}  // namespace duramen::shm::testing

int main(int argc, char** argv) {
  using namespace duramen::shm::testing;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return 3;  // No run leaves anything behind.
  if (argc > 2 && std::string(argv[1]) == "--run") return ::execv(argv[2], argv + 2);
  if (argc == 3 && std::string(argv[1]) == "--check") return Check(argv[2]);
  if (argc == 4) return Run(argv[1], argv[2], argv[3]);
  std::fprintf(stderr,
               "usage: duramen_kill_client SOCKET PREFIX LIFE | --check DIR | --run COMMAND\n");
  return 2;
}
