// One server on a store on a simulated disk; what others say to it is made up here.
#include "server/replica.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/rng.h"
#include "tests/log/machine.h"

namespace duramen::server {
namespace {

constexpr ClusterId kCluster = 5;

std::vector<std::byte> Command(std::string_view text) {
  const Bytes bytes = AsBytes(text);
  return {bytes.begin(), bytes.end()};
}

ServerUid PeerUid(std::uint64_t number) {
  Rng rng(number);
  return rng.NextUid();
}

class Recorder : public StateMachine {
 public:
  void Apply(const ApplyContext&, std::span<const Committed> committed,
             std::span<Applied> answers) override {
    ++calls;
    for (std::size_t at = 0; at < committed.size(); ++at) {
      commands.emplace_back(AsText(committed[at].command));
      if (commands.size() == 1 && on_first) on_first();
      answers[at].answer = commands.back();
    }
  }
  std::function<void()> on_first;
  std::vector<std::string> commands;
  std::uint64_t calls = 0;
};

/// A server and who it lives with; a new life keeps the disk.
class Life : public ReplicaHost {
 public:
  explicit Life(std::uint64_t wal_bytes = 48 << 10) {
    machine.options.wal_max_size_bytes = wal_bytes;
    machine.Start();
  }

  void Send(Replica&, Envelope envelope) override { sent.push_back(std::move(envelope)); }
  void OnReply(Replica&, const core::Reply& reply) override { replies.push_back(reply); }
  void OnApplied(Replica&, std::uint64_t ticket, Applied) override {
    applied.push_back(ticket);
  }
  void OnQuery(Replica&, std::uint64_t ticket) override { queries.push_back(ticket); }
  void OnRemoved(Replica&) override {}

  /// A server of a cluster with so many `peers`, PeerUid(1) and on.
  void Found(std::uint64_t peers) {
    const Result<ServerUid> uid = Replica::Register(machine.store(), machine.writer(), "a");
    ASSERT_TRUE(uid.ok()) << uid.error().message;
    core::Configuration members = core::Configuration().With({.uid = *uid});
    for (std::uint64_t peer = 1; peer <= peers; ++peer)
      members = members.With({.uid = PeerUid(peer)});
    const Birth birth{.cluster = kCluster, .configuration = members};
    const Result<Ticket> ticket =
        Replica::Christen(machine.store(), machine.writer(), "a", birth);
    ASSERT_TRUE(ticket.ok() && machine.Wait(*ticket).ok());
  }

  Status TryStart() {
    state.commands.clear();
    Result<std::unique_ptr<Replica>> started =
        Replica::Start({machine.store(), machine.writer(), *this, state},
                       {.name = "a", .seed = 1, .now = now, .settings = settings});
    if (!started.ok()) return started.error();
    replica = std::move(started).value();
    return {};
  }

  void Start() {
    const Status started = TryStart();
    ASSERT_TRUE(started.ok()) << started.error().message;
  }

  /// Until the disk has nothing more to do and the server nothing more to hear.
  void Settle() {
    for (int round = 0; round < 20; ++round) {
      EXPECT_TRUE(machine.executor().RunUntilIdle(1'000'000));
      for (const Written& written : machine.writer().Poll()) replica->OnWritten(now, written);
      if (!replica->stopped() && replica->has_news()) replica->Progress(now);
    }
  }

  /// Time goes on until its next deadline.
  void Tick() {
    now = std::max(now, replica->core().next_deadline().value_or(now));
    replica->Step(now, core::Tick{});
    Settle();
  }

  Envelope From(std::uint64_t peer, Term term, core::MessageBody body) {
    return {.message = {.cluster = kCluster,
                        .from = PeerUid(peer),
                        .to = replica->uid(),
                        .boot = 1,
                        .term = term,
                        .body = std::move(body)},
            .payloads = {}};
  }

  /// The first entries of a leader's log.
  Envelope Entries(Term term, std::uint64_t count, std::size_t bytes) {
    Envelope envelope = From(1, term, core::AppendEntries{.runs = {{term, count}}});
    envelope.payloads.assign(count, {kCommandKind, std::vector<std::byte>(bytes)});
    return envelope;
  }

  log::Machine machine;
  core::CoreSettings settings;
  core::Microseconds now = 1'000'000;
  Recorder state;
  std::unique_ptr<Replica> replica;
  std::vector<Envelope> sent;
  std::vector<core::Reply> replies;
  std::vector<std::uint64_t> applied, queries;
};

/// Whether a message of that kind left; the last one.
template <typename Body>
const Body* LastSent(const Life& life) {
  for (auto envelope = life.sent.rbegin(); envelope != life.sent.rend(); ++envelope) {
    if (const auto* body = std::get_if<Body>(&envelope->message.body)) return body;
  }
  return nullptr;
}

TEST(Replica, CM11_ACommandThatNoLogTakesIsRefusedAndHarmsNobody) {
  Life life;
  life.Found(0);
  life.Start();
  life.Tick();
  life.replica->Propose(life.now, {{1, std::vector<std::byte>(40 << 10)}});
  life.Settle();
  ASSERT_FALSE(life.replica->stopped().has_value()) << life.replica->stopped()->message;
  ASSERT_EQ(life.replies.size(), 1U);
  EXPECT_EQ(life.replies[0].answer, core::Answer::kInvalid);
  life.replica->Propose(life.now, {{2, Command("small")}});
  life.Settle();
  EXPECT_EQ(life.applied, std::vector<std::uint64_t>{2});
}

TEST(Replica, CM6_CommandsOfOneCallHaveAnOutcomeEach) {
  Life life;
  life.Found(0);
  life.Start();
  life.replica->Propose(life.now, {{1, Command("a")}, {2, Command("b")}});  // Nobody leads yet.
  ASSERT_EQ(life.replies.size(), 2U);
  for (const core::Reply& reply : life.replies) EXPECT_EQ(reply.answer, core::Answer::kNotLeader);
  life.Tick();
  life.replica->Propose(
      life.now, {{3, Command("c")}, {4, std::vector<std::byte>(40 << 10)}, {5, Command("d")}});
  life.Settle();
  ASSERT_EQ(life.replies.size(), 3U);
  EXPECT_EQ(life.replies[2].ticket, 4U);
  EXPECT_EQ(life.replies[2].answer, core::Answer::kInvalid);
  EXPECT_EQ(life.applied, (std::vector<std::uint64_t>{3, 5}));
  EXPECT_EQ(life.state.commands, (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(life.state.calls, 1U);
}

/// Of a leader whose store takes larger ones.
TEST(Replica, CT5_AnEntryThatThisLogDoesNotTakeStopsNobody) {
  Life life;
  life.Found(2);
  life.Start();
  life.replica->Deliver(life.now, life.Entries(1, 1, 40 << 10));
  life.Settle();
  ASSERT_FALSE(life.replica->stopped().has_value()) << life.replica->stopped()->message;
  EXPECT_EQ(life.replica->core().log().end(), 1U);
  life.replica->Deliver(life.now, life.Entries(2, 1, 10));
  life.Settle();
  EXPECT_EQ(life.replica->core().written(), 1U);
}

/// The ring of this store holds 240.
TEST(Replica, RE1_AMessageMayHaveMoreEntriesThanTheRingHolds) {
  Life life;
  life.Found(2);
  life.Start();
  life.replica->Deliver(life.now, life.Entries(1, 1000, 10));
  life.Settle();
  ASSERT_FALSE(life.replica->stopped().has_value()) << life.replica->stopped()->message;
  EXPECT_EQ(life.replica->core().written(), 1000U);
  const auto* reply = LastSent<core::AppendReply>(life);
  ASSERT_NE(reply, nullptr);
  EXPECT_EQ(reply->match, 1000U);
}

/// This store has 4 MiB in all, the message 6.
TEST(Replica, RE1_AMessageMayHaveMoreBytesThanMemoryHas) {
  Life life(512 << 10);
  life.Found(2);
  life.Start();
  life.replica->Deliver(life.now, life.Entries(1, 100, 60 << 10));
  for (int round = 0; round < 20; ++round) {
    life.Settle();
    life.machine.Idle();
  }
  ASSERT_FALSE(life.replica->stopped().has_value()) << life.replica->stopped()->message;
  EXPECT_EQ(life.machine.store().BoundsOf(life.replica->log())->written_end, 101U);
}

TEST(Replica, SM8_AnOlderMachineStopsBeforeWhatItDoesNotKnowWhenItStarts) {
  Life life;
  life.Found(0);
  life.settings.machine_version = 1;
  life.Start();
  life.Tick();
  life.replica->Propose(life.now, {{1, Command("new")}});
  life.Settle();
  ASSERT_EQ(life.state.commands, std::vector<std::string>{"new"});
  ASSERT_EQ(life.replica->core().specials().MachineVersionAt(life.replica->applied()), 1U);
  for (const std::uint32_t version : {1U, 0U, 1U}) {
    life.replica.reset();
    life.machine.Idle();
    life.machine.Kill();
    life.machine.Start();
    life.settings.machine_version = version;
    life.Start();
    life.Tick();
    EXPECT_EQ(life.state.commands.size(), version) << version;
  }
}

/// No file of the store can be read any more.
void FailReads(log::Machine& machine) {
  for (const std::string& directory : {std::string("/data/wal"),
                                       "/data/servers/" + machine.UidOf("a")}) {
    for (const std::string& name : machine.NamesIn(directory)) {
      const std::string path = directory + "/" + name;
      machine.disk().FailReads(path, 0, machine.FileBytes(path).size());
    }
  }
}

/// What an earlier life had applied says nothing of this one, whose disk fails as it applies it
/// again.
TEST(Replica, R8_NoReadIsAnsweredBeforeTheMachineHasWhatItHadBeforeTheStart) {
  constexpr Index kEntries = 40;
  Life life(512 << 10);
  life.Found(2);
  life.Start();
  Envelope entries = life.Entries(1, kEntries, 50 << 10);
  std::get<core::AppendEntries>(entries.message.body).commit = kEntries;
  life.replica->Deliver(life.now, entries);
  life.Settle();
  ASSERT_EQ(life.replica->applied(), kEntries);
  life.machine.Idle();
  life.replica.reset();
  life.machine.Kill();
  life.machine.Start();
  life.state.on_first = [&] { FailReads(life.machine); };
  life.Start();
  ASSERT_LT(life.state.commands.size(), kEntries) << "it needs more than one read";
  for (int beat = 0; beat < 2; ++beat)
    life.replica->Deliver(life.now, life.From(1, 1, core::AppendEntries()));
  life.Settle();
  life.replica->Step(life.now, core::Query{.ticket = 9});
  const auto* request = LastSent<core::ReadRequest>(life);
  ASSERT_NE(request, nullptr);
  life.replica->Deliver(
      life.now,
      life.From(1, 1, core::ReadReply{.id = request->id, .granted = true, .index = kEntries}));
  EXPECT_TRUE(life.queries.empty()) << "its machine has " << life.state.commands.size();
  life.replica->Deliver(life.now, entries);
  life.Settle();
  EXPECT_EQ(life.state.commands.size(), kEntries);
  EXPECT_EQ(life.queries, std::vector<std::uint64_t>{9});
}

void FlipInMemory(Life& life, Index index) {
  const Result<Pin> pin =
      life.machine.store().Read(life.replica->log(), index, index + 1, 1 << 20);
  ASSERT_TRUE(pin.ok());
  const_cast<std::byte*>(pin->entries()[0].payload.data())[0] ^= std::byte{1};
}

/// The WAL takes nothing behind such an entry, a vote no more than entries.
TEST(Replica, C10_AVoteBehindAnEntryThatChangedInMemoryIsNotGiven) {
  Life life;
  life.Found(2);
  life.Start();
  life.now += 10'000'000;
  life.replica->Deliver(life.now, life.Entries(1, 1, 10));
  FlipInMemory(life, 1);
  life.now += 10'000'000;
  life.replica->Deliver(life.now, life.From(2, 7, core::VoteRequest{.last = {1, 9}}));
  ASSERT_EQ(life.replica->core().state().voted_for, PeerUid(2));
  life.Settle();
  const auto* reply = LastSent<core::VoteReply>(life);
  EXPECT_TRUE(reply == nullptr || !reply->granted) << "it is on no disk";
  EXPECT_TRUE(life.replica->stopped().has_value());
  life.replica.reset();
  life.machine.PowerLoss();
  life.machine.Start();
  life.Start();
  EXPECT_EQ(life.replica->core().state().voted_for, ServerUid());
}

void RotInWal(log::Machine& machine, std::string_view text) {
  const Bytes wanted = AsBytes(text);
  for (const std::string& name : machine.WalFiles()) {
    const std::string path = "/data/wal/" + name;
    const std::vector<std::byte> bytes = machine.FileBytes(path);
    const auto at = std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
    if (at == bytes.end()) continue;
    return machine.Rot(path, static_cast<std::uint64_t>(at - bytes.begin()));
  }
  FAIL() << text << " stands in no WAL file";
}

/// Of the only voter of its cluster: that member goes on, and so does one that it adds later.
TEST(Replica, C15_ALogWhoseLostEntriesWereFilledStarts) {
  Life life;
  life.Found(0);
  life.Start();
  life.Tick();
  for (const char* text : {"the first", "the second", "the third"}) {
    life.replica->Propose(life.now, {{1, Command(text)}});
    life.Settle();
  }
  const ServerUid uid = life.replica->uid();
  life.replica.reset();
  ASSERT_TRUE(life.machine.Close().ok());
  RotInWal(life.machine, "the second");
  const Result<log::MendReport> mended =
      life.machine.Mend({.requests = {{log::MendKind::kFill, uid, 0, true}}});
  ASSERT_TRUE(mended.ok()) << mended.error().message;
  ASSERT_FALSE(mended->logs.at(0).faulty) << mended->logs[0].sentence;
  life.machine.Start();
  life.Start();
  life.Tick();
  EXPECT_EQ(life.state.commands, (std::vector<std::string>{"the first", "the third"}));
  life.replica->Step(life.now, core::Change{.member = {.uid = PeerUid(1)}});
  life.Settle();
  life.replica->Deliver(life.now, life.From(1, life.replica->core().term(),
                                            core::AppendReply{.stream = 0, .number = 1}));
  life.Settle();
  const Envelope& message = life.sent.back();
  const auto* append = std::get_if<core::AppendEntries>(&message.message.body);
  ASSERT_NE(append, nullptr);
  EXPECT_EQ(append->previous.index, 0U);
  EXPECT_GT(append->end(), 4U);
  EXPECT_TRUE(core::IsSane(message.message) && Agrees(*append, message.payloads));
}

/// Else its leader would lose its quorum, and reads with it, for a disk that is full.
TEST(Replica, B3_WhoseBacklogIsFullStillHearsItsLeader) {
  Life life;
  life.Found(2);
  life.Start();
  Envelope entries = life.Entries(1, 1, 10);
  life.replica->Deliver(life.now, entries);
  life.Settle();
  entries = life.Entries(1, 128, 7000);
  auto& append = std::get<core::AppendEntries>(entries.message.body);
  const core::Core& core = life.replica->core();
  Index end = 0;
  while (end != core.log().end()) {
    end = core.log().end();
    append.previous = {1, end - 1};
    life.replica->Deliver(life.now, entries);
    ASSERT_LT(end, 10'000U) << "nothing bounds it";
  }
  life.sent.clear();
  life.now += 100'000;
  append.round = 7;
  life.replica->Deliver(life.now, entries);
  const auto* reply = LastSent<core::AppendReply>(life);
  ASSERT_NE(reply, nullptr);
  EXPECT_EQ(reply->round, 7U);
  EXPECT_EQ(reply->match, 1U);
  EXPECT_EQ(core.log().end(), end);
  for (int round = 0; round < 20; ++round) {
    life.Settle();
    life.machine.Idle();
  }
  life.replica->Deliver(life.now, entries);
  EXPECT_EQ(core.log().end(), end + 128) << "there is room again";
}

/// The log ends before some of what it had acknowledged, and a start finds that more of it is lost.
TEST(Replica, A3_WhatIsLostStaysLostWhenMoreIsFound) {
  Life life;
  life.Found(2);
  life.Start();
  life.replica->Deliver(life.now, life.Entries(1, 4, 10));
  life.Settle();
  const LogRef log = life.replica->log();
  ASSERT_TRUE(life.machine.writer().PutFault(log, {.from = 5, .to = 9, .reason = "a test"}).ok());
  FlipInMemory(life, 1);
  life.replica.reset();
  life.Start();
  const LogFault fault = life.machine.store().FaultOf(log).value();
  EXPECT_EQ(fault.from, 1U);
  EXPECT_EQ(fault.to, 9U);
}

}  // namespace
}  // namespace duramen::server
