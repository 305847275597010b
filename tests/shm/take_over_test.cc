// A live upgrade, both sides in this process: what the successor finds, and what it need not read.
#include "shm/take_over.h"

#include <poll.h>

#include <filesystem>
#include <new>
#include <thread>

#include "base/posix_io.h"
#include "log/system_file.h"
#include "shm/open.h"
#include "shm/wait.h"
#include "tests/shm/shared.h"
#include "wal/scan.h"

namespace duramen::shm::testing {
namespace {

constexpr Index kEntries = 2000;
constexpr std::uint64_t kWindowBytes = 1 << 20;  // a start reads at least so much of a file

class TakeOverTest : public SharedWal {
 protected:
  std::string Socket() const { return dir_ / "socket"; }

  /// Starts to ask; the answer is there when the predecessor is closed.
  void AskForIt() {
    asking_ = std::thread([this] { handed_.emplace(TakeOver(Socket(), dir_ / "data")); });
    pollfd asked{host_->handed_over_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&asked, 1, 60'000), 1);
  }
  void LetGo(bool flush) {
    if (flush) host_->FlushForSuccessor(Soon());
    StopHost();
    asking_.join();
    ASSERT_TRUE(handed_->ok()) << handed_->error().message;
  }
  void GoOn(const std::optional<wal::WalEnd>& end) {
    HostOptions options;
    options.socket_path = Socket();
    options.listening_fd = (*handed_)->socket.get();
    options.owns_socket_file = (*handed_)->owns_file;
    options.wal_end = end;
    Result<std::unique_ptr<Host>> host = Host::Start(HostSettings(), options);
    ASSERT_TRUE(host.ok()) << host.error().message;
    host_ = std::move(*host);
    handed_.reset();
  }
  static void Fill(Writer& writer, LogRef log, Index begin, Index end) {
    Ticket last = 0;
    for (Index index = begin; index < end;) {
      const Result<Ticket> put = Put(writer, log, index, TextOf(index));
      if (put.ok()) {
        last = *put;
        ++index;
        continue;
      }
      ASSERT_EQ(put.error().code, ErrorCode::kOverloaded) << put.error().message;
      ASSERT_TRUE(writer.Wait(last, Soon()).ok());
    }
    ASSERT_TRUE(writer.Wait(last, Soon()).ok());
  }
  static std::string TextOf(Index index) {
    return std::to_string(index) + std::string(500, 'x');
  }
  static void Compare(const LogStore& store, LogRef log, Index end) {
    ASSERT_EQ(store.BoundsOf(log)->written_end, end);
    for (Index index = 1; index < end; ++index) {
      ASSERT_EQ(TextAt(store, log, index), TextOf(index));
    }
  }
  /// As another client, which has nothing in memory.
  void CompareAll(Index end) const {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    Compare(store, store.OpenLog(writer, "log", OpenMode::kOpen).value(), end);
  }

  std::thread asking_;
  std::optional<Result<HandedOver>> handed_;
};

TEST_F(TakeOverTest, SW4_ClientsGoOnAndTheSuccessorHasNextToNothingToRead) {
  StartHost();
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  Fill(writer, log, 1, kEntries);
  AskForIt();
  LetGo(true);
  ASSERT_TRUE((*handed_)->wal_end.has_value());
  GoOn((*handed_)->wal_end);
  EXPECT_EQ(host_->report().entries, 0) << "they were flushed while the client went on";
  EXPECT_LE(host_->report().bytes_read, kWindowBytes);
  EXPECT_FALSE(host_->report().damaged());
  ASSERT_TRUE(writer.WaitForRoom(log, 1, 0, Soon()).ok());
  Fill(writer, log, kEntries, kEntries + 100);
  Compare(store, log, kEntries + 100);
}

TEST_F(TakeOverTest, SW4_AClientGetsNoErrorWhileThereIsNoWalProcess) {
  StartHost();
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  Fill(writer, log, 1, 100);
  AskForIt();
  LetGo(true);
  // It stands in the queue of the next one.
  pollfd queue{(*handed_)->socket.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&queue, 1, 60'000), 1);
  const Result<Ticket> put = Put(writer, log, 100, TextOf(100));
  ASSERT_TRUE(put.ok()) << put.error().message;
  EXPECT_TRUE(writer.PutVote(log, 3, "n2").ok());
  EXPECT_TRUE(writer.TruncatePrefix(log, 2).ok());
  EXPECT_EQ(store.pressure(), Pressure::kNone);
  Result<LogRef> opened = Error{};
  std::thread opening([&] {
    Result<Writer> other = store.NewWriter();
    ASSERT_TRUE(other.ok()) << other.error().message;
    opened = store.OpenLog(*other, "other", OpenMode::kCreate);
  });
  GoOn((*handed_)->wal_end);
  opening.join();
  EXPECT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_TRUE(writer.Wait(*put, Soon()).ok());
  EXPECT_EQ(TextAt(store, log, 100), TextOf(100));
  EXPECT_EQ(store.Logs().size(), 2);
}

TEST_F(TakeOverTest, SW4_ASuccessorThatDoesNotComeIsAWalThatIsDown) {
  StartHost();
  LogStore store = OpenShared(ClientSettings(), {.moving_ms = 1}).value();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  AskForIt();
  LetGo(false);
  handed_.reset();  // Nobody listens any more.
  ErrorCode code = ErrorCode::kOverloaded;
  for (Index index = 1; code == ErrorCode::kOverloaded;) {
    const Result<Ticket> put = Put(writer, log, index, "text");
    if (put.ok()) ++index;
    if (!put.ok()) code = put.error().code;
  }
  EXPECT_EQ(code, ErrorCode::kWalDown);
  EXPECT_EQ(store.NewWriter().error().code, ErrorCode::kWalDown);
  StartHost();
  ASSERT_TRUE(writer.WaitForRoom(log, 1, 0, Soon()).ok());
}

TEST_F(TakeOverTest, SW4_WhatIsNotFlushedIsReadAndTheRestOfTheFilesIsNot) {
  StartHost();
  {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    Fill(writer, store.OpenLog(writer, "log", OpenMode::kCreate).value(), 1, kEntries);
  }
  AskForIt();
  LetGo(false);
  const wal::WalEnd end = (*handed_)->wal_end.value();
  EXPECT_LT(end.end_offset + kWindowBytes, HostSettings().wal_max_size_bytes);
  GoOn(end);
  EXPECT_EQ(host_->report().entries, kEntries - 1);
  EXPECT_LT(host_->report().bytes_read, HostSettings().wal_max_size_bytes);
  CompareAll(kEntries);
}

TEST_F(TakeOverTest, SW4_AnEndThatTheDiskDoesNotBearOutIsNotBelieved) {
  constexpr Index kEach = 50;
  StartHost();
  using Change = void (*)(wal::WalEnd&);
  const Change changes[] = {[](wal::WalEnd& end) { ++end.file; },
                            [](wal::WalEnd& end) { --end.file; },
                            [](wal::WalEnd& end) { ++end.life; },
                            [](wal::WalEnd& end) { end.end_offset -= 4096; },
                            [](wal::WalEnd& end) { end.end_offset = 8192; },
                            [](wal::WalEnd& end) { end.end_offset = 8192, end.batch = 0; },
                            [](wal::WalEnd& end) { end.batch = 0; },
                            [](wal::WalEnd& end) { ++end.batch; },
                            [](wal::WalEnd& end) { ++end.checksum; },
                            [](wal::WalEnd& end) { end = {}; }};
  Index written = 1;
  for (const Change change : changes) {
    {
      LogStore store = Client();
      Writer writer = store.NewWriter().value();
      const LogRef log = store.OpenLog(writer, "log", OpenMode::kOpenOrCreate).value();
      Fill(writer, log, written, written + kEach);
      written += kEach;
    }
    AskForIt();
    LetGo(false);
    wal::WalEnd end = (*handed_)->wal_end.value();
    change(end);
    GoOn(end);
    EXPECT_GE(host_->report().bytes_read, HostSettings().wal_max_size_bytes);
    CompareAll(written);
  }
}

/// The newest WAL file, as its predecessor could have told of it when it had written `left` batches
/// less.
wal::WalEnd EndBefore(const std::string& data_dir, wal::WalEnd end, std::size_t left) {
  PosixFileSystem files;
  const std::unique_ptr<Directory> directory = files.Open(data_dir + "/wal").value();
  const std::unique_ptr<File> file =
      directory->Open(wal::FileName(end.file), OpenFor::kRead).value();
  const std::unique_ptr<Directory> above = files.Open(data_dir).value();
  const SystemUuid system =
      log::DecodeSystemFile(log::ReadSmallFile(*above, log::kSystemName).value())->content.system;
  wal::FileWindow window(*file, end.end_offset);
  wal::FileSummary summary = wal::ScanHeaders(window, end.file, system);
  wal::ScanBatches(window, system, summary);
  EXPECT_GT(summary.batches.size(), left);
  const wal::BatchSummary& last = summary.batches[summary.batches.size() - 1 - left];
  end.end_offset = last.offset + last.bytes;
  end.batch = last.number;
  end.checksum = last.checksum;
  return end;
}

/// All that it says is right, but for a batch that came behind it.
TEST_F(TakeOverTest, SW4_ABatchBehindTheEndIsNotOverlooked) {
  constexpr Index kEach = 50;
  StartHost();
  {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
    for (Index index = 1; index <= 3 * kEach; index += kEach) {
      Fill(writer, log, index, index + kEach);
    }
  }
  AskForIt();
  LetGo(false);
  const wal::WalEnd end = (*handed_)->wal_end.value();
  EXPECT_EQ(EndBefore(dir_ / "data", end, 0).checksum, end.checksum);
  GoOn(EndBefore(dir_ / "data", end, 2));
  EXPECT_GE(host_->report().bytes_read, HostSettings().wal_max_size_bytes);
  CompareAll(3 * kEach + 1);
}

TEST_F(TakeOverTest, SW4_WhoHadTheDirectoryInBetweenIsNotOverlooked) {
  StartHost();
  {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    Fill(writer, store.OpenLog(writer, "log", OpenMode::kCreate).value(), 1, kEntries);
  }
  AskForIt();
  LetGo(false);
  const std::optional<wal::WalEnd> end = (*handed_)->wal_end;
  ASSERT_TRUE(end.has_value());
  LogStoreOptions alone = HostSettings();
  alone.flush_delay = 60'000;  // The file stays that was the newest.
  {
    LogStore store = LogStore::Open(alone).value();
    Writer writer = store.NewWriter().value();
    const LogRef log = store.OpenLog(writer, "log", OpenMode::kOpen).value();
    Fill(writer, log, kEntries, 2 * kEntries);
  }
  GoOn(end);
  CompareAll(2 * kEntries);
}

TEST_F(TakeOverTest, P7_ASecondSuccessorIsRefused) {
  StartHost();
  // It has connected before, so it is served after the socket has gone to the first.
  Connection early = Connection::Connect(Socket()).value();
  AskForIt();
  const Takeover directory = TakeoverOf(dir_ / "data").value();
  const Frame request{.kind = Kind::kTakeOver, .id = 7, .body = EncodeBody(directory)};
  pollfd answered{early.fd(), POLLIN, 0};
  ASSERT_TRUE(early.Send(Encode(request)).ok());
  ASSERT_EQ(::poll(&answered, 1, 60'000), 1);
  const std::optional<Message> packet = early.Receive(kDescriptorsMax).value();
  const Frame answer = Decode(packet.value().bytes).value();
  EXPECT_EQ(answer.kind, Kind::kRefusal);
  EXPECT_EQ(DecodeRefusal(answer.body)->error.code, ErrorCode::kInUse);
  EXPECT_TRUE(packet->descriptors.empty());
  LetGo(false);
}

TEST_F(TakeOverTest, SW4_TheLastSuccessorRemovesTheSocketFile) {
  StartHost();
  for (int i = 0; i < 2; ++i) {
    AskForIt();
    LetGo(false);
    EXPECT_TRUE(std::filesystem::exists(Socket()));
    GoOn((*handed_)->wal_end);
  }
  StopHost();
  EXPECT_FALSE(std::filesystem::exists(Socket()));
}

TEST_F(TakeOverTest, SW4_TheFileOfASocketThatAnotherMadeStays) {
  const Listener manager = Listener::Listen(Socket()).value();
  HostOptions options;
  options.socket_path = Socket();
  options.listening_fd = manager.fd();
  host_ = Host::Start(HostSettings(), options).value();
  AskForIt();
  LetGo(false);
  EXPECT_FALSE((*handed_)->owns_file);
  GoOn((*handed_)->wal_end);
  StopHost();
  EXPECT_TRUE(std::filesystem::exists(Socket()));
}

/// A WAL process made by hand: what it has, and its answers one by one.
struct RawSuccessor {
  explicit RawSuccessor(Connection one)
      : connection(std::move(one)),
        status(SealedMemory::Create("status", kPageBytes, WrittenBy::kMaker).value()),
        bell(Doorbell::Make().value()),
        page(new (status.bytes().data()) StatusPage) {}
  /// The next request; its answer is the caller's.
  Frame Next() { return Decode(ReceiveNext(connection, Soon())->bytes).value(); }
  void Answer(const Frame& request, std::vector<std::byte> body, const std::vector<int>& fds = {}) {
    const Frame answer{.kind = Kind::kAnswer, .id = request.id, .body = std::move(body)};
    ASSERT_TRUE(SendFrame(connection, answer, fds, 1000).ok());
  }
  /// Up to the start of the ring, which waits for its answer.
  void TakeIn() {
    const Frame hello = Next();
    ASSERT_EQ(hello.kind, Kind::kHello);
    const Welcome welcome{.boot = 2,
                          .payload_bytes_max = 1 << 20,
                          .row_bytes_max = 1 << 16,
                          .status_bytes = kPageBytes};
    Answer(hello, EncodeBody(welcome), {status.fd(), bell.second.get()});
    const Frame ring = Next();
    ASSERT_EQ(ring.kind, Kind::kAddRing);
    Answer(ring, {});
    const Frame claim = Next();
    ASSERT_EQ(claim.kind, Kind::kClaimAgain);
    const log::Reclaim reclaim = DecodeClaimAgain(claim.body)->log;
    Answer(claim, EncodeBody(log::HostedLog{.owner = reclaim.owner, .name = reclaim.name}));
    start = Next();
    ASSERT_EQ(start.kind, Kind::kStartRing);
  }

  Connection connection;
  SealedMemory status;
  std::pair<Doorbell, Descriptor> bell;  // the second end is the client's
  StatusPage* page;
  Frame start;
};

/// The successor has looked into the ring and sleeps; then something is put there, by somebody who
/// does not know that successor yet. It is rung for as soon as it is known.
TEST_F(TakeOverTest, SW4_WhatIsWrittenOnTheWayToTheSuccessorIsRungFor) {
  StartHost();
  {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
    Fill(writer, log, 1, 10);
    AskForIt();
    LetGo(false);
    Listener listening = Listener::Adopt(std::move((*handed_)->socket)).value();
    pollfd queue{listening.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&queue, 1, 60'000), 1);
    RawSuccessor raw(std::move(*listening.Accept().value()));
    raw.TakeIn();
    if (HasFatalFailure()) return;
    raw.page->asleep.Show(true);
    ASSERT_TRUE(Put(writer, log, 10, TextOf(10)).ok());
    pollfd rung{raw.bell.first.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&rung, 1, 0), 0) << "nobody knows it yet";
    raw.Answer(raw.start, {});
    EXPECT_EQ(::poll(&rung, 1, 60'000), 1);
  }
  handed_.reset();
}

TEST(FlushRounds, SW4_OnlyWhatShrinksAndIsStillMuchIsFlushedAgain) {
  constexpr std::uint64_t kMuch = 40 * FlushRounds::kLittleBytes;
  FlushRounds shrinking;
  EXPECT_TRUE(shrinking.Again(kMuch));
  EXPECT_TRUE(shrinking.Again(kMuch / 4));
  EXPECT_FALSE(shrinking.Again(FlushRounds::kLittleBytes)) << "little";
  FlushRounds steady;
  EXPECT_TRUE(steady.Again(kMuch));
  EXPECT_FALSE(steady.Again(kMuch - 1)) << "no flush is faster than those who write";
  FlushRounds endless;
  std::uint64_t left = UINT64_MAX / 2;
  int rounds = 1;
  while (endless.Again(left)) {
    left = left / 4 * 3;
    ++rounds;
  }
  EXPECT_EQ(rounds, FlushRounds::kRoundsMax);
}

}  // namespace
}  // namespace duramen::shm::testing
