// A real file system, filled to its last byte at seeded moments while a store appends to it: votes
// go on, nothing acknowledged is lost, it resumes when there is space, and it starts without any.
//
// The file system is the test's own, mounted where nobody else sees it: ext4 on a loop device, or,
// where that is not permitted, a tmpfs (as root, or in a user namespace of its own); where nothing
// may be mounted, as in many containers, a directory in /dev/shm if that is small. Which one it
// was, the test says. What runs in it is a child: the mount goes when it ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/rng.h"
#include "duramen/log_store.h"
#include "tests/base/temp_dir.h"

namespace duramen::log {
namespace {

constexpr int kFills = 20;
constexpr int kStarts = 100;
constexpr std::uint32_t kLogs = 4;
constexpr std::uint64_t kVotesWhileFull = 100;
constexpr std::uint64_t kAppendsAfter = 60;

/// What is acknowledged, one a line through a pipe: 'e' an entry, 'v' a vote, 'f' a refusal for
/// want of space.
struct Line {
  char what = 0;
  std::uint32_t log = 0;
  std::uint64_t number = 0;
};

struct Acknowledged {
  Index end[kLogs] = {1, 1, 1, 1};
  Term vote = 0;
  std::uint64_t entries = 0;
  std::uint64_t votes = 0;
  std::uint64_t refused = 0;

  void Take(const Line& line) {
    if (line.what == 'e') {
      end[line.log] = line.number + 1;
      ++entries;
    } else if (line.what == 'v') {
      vote = line.number;
      ++votes;
    } else {
      ++refused;
    }
  }
};

std::string Payload(std::uint32_t log, Index index) {
  return std::string(200 + index * 37 % 1500, static_cast<char>('a' + (log + index) % 26));
}

std::string LogName(std::uint32_t log) { return "log-" + std::to_string(log); }

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(60); }

LogStoreOptions Options(const std::string& dir) {
  LogStoreOptions options;
  options.data_dir = dir;
  options.wal_max_size_bytes = 256 << 10;
  options.wal_max_files = 6;
  options.memory_budget = 64 << 20;
  return options;
}

#define REQUIRE(condition, text)                                                \
  if (!(condition)) {                                                           \
    std::fprintf(stderr, "line %d: %s\n", __LINE__, std::string(text).c_str()); \
    _exit(1);                                                                   \
  }

/// The store's process: appends and votes until it is killed.
[[noreturn]] void Work(const std::string& dir, int acknowledge) {
  Result<LogStore> store = LogStore::Open(Options(dir));
  REQUIRE(store.ok(), store.error().message);
  Result<Writer> writer = store->NewWriter();
  REQUIRE(writer.ok(), writer.error().message);
  LogRef logs[kLogs];
  Term vote = 0;
  for (std::uint32_t log = 0; log < kLogs; ++log) {
    const auto opened = store->OpenLog(*writer, LogName(log), OpenMode::kOpenOrCreate);
    REQUIRE(opened.ok(), opened.error().message);
    logs[log] = *opened;
  }
  vote = store->VoteOf(logs[0])->term;
  const auto tell = [&](const Line& line) {
    REQUIRE(::write(acknowledge, &line, sizeof line) == sizeof line, "the pipe");
  };
  for (std::uint32_t turn = 0;; ++turn) {
    const std::uint32_t log = turn % kLogs;
    const Index index = store->BoundsOf(logs[log])->end;
    const std::string payload = Payload(log, index);
    const EntryView entry{index, 1, kFirstUserKind, AsBytes(payload)};
    const LogAppend group{logs[log], {&entry, 1}};
    const Result<Ticket> ticket = writer->Append({&group, 1});
    if (ticket.ok()) {
      const Status durable = writer->Wait(*ticket, Soon());
      REQUIRE(durable.ok(), durable.error().message);
      tell({'e', log, index});
    } else {
      const ErrorCode code = ticket.error().code;
      REQUIRE(code == ErrorCode::kDiskFull || code == ErrorCode::kOverloaded,
              ticket.error().message);
      if (code == ErrorCode::kDiskFull) tell({'f'});
      if (code == ErrorCode::kOverloaded) {  // Not full: the flush is behind, and needs no votes.
        (void)writer->WaitForRoom(logs[log], 1, payload.size(), Soon());
        continue;
      }
    }
    if (ticket.ok() && turn % 16 != 0) continue;
    const Result<Ticket> voted = writer->PutVote(logs[0], ++vote, "n");
    REQUIRE(voted.ok(), voted.error().message);
    const Status durable = writer->Wait(*voted, Soon());
    REQUIRE(durable.ok(), durable.error().message);
    tell({'v', 0, vote});
  }
}

/// Everything acknowledged is there; called in a process of its own.
void Verify(const std::string& dir, const Acknowledged& known, bool full) {
  Result<LogStore> store = LogStore::Open(Options(dir));
  REQUIRE(store.ok(), store.error().message);
  REQUIRE(!store->recovery_report().damaged(), store->recovery_report().ToText());
  {
    Result<Writer> writer = store->NewWriter();
    REQUIRE(writer.ok(), writer.error().message);
    for (std::uint32_t log = 0; log < kLogs; ++log) {
      const auto ref = store->OpenLog(*writer, LogName(log), OpenMode::kOpen);
      REQUIRE(ref.ok(), ref.error().message);
      const Bounds bounds = *store->BoundsOf(*ref);
      REQUIRE(bounds.end >= known.end[log], "entries are missing");
      for (Index index = 1; index < bounds.end; ++index) {
        const auto pin = store->Read(*ref, index, index + 1, 1 << 20);
        REQUIRE(pin.ok(), pin.error().message);
        REQUIRE(AsText(pin->entries()[0].payload) == Payload(log, index), "other bytes");
      }
      if (log != 0) continue;
      const Term vote = store->VoteOf(*ref)->term;
      REQUIRE(vote >= known.vote, "a vote is lost");
      if (!full) continue;
      const Result<Ticket> voted = writer->PutVote(*ref, vote + 1, "n");
      REQUIRE(voted.ok(), voted.error().message);
      REQUIRE(writer->Wait(*voted, Soon()).ok(), "no vote at a start on a full disk");
    }
  }
  (void)store->Close(Soon());
}

/// True when `run` ended well in a process of its own.
bool InChild(const std::function<void()>& run) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    run();
    _exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void WriteText(const char* path, const std::string& text) { std::ofstream(path) << text; }

/// From here on this process sees mounts that nobody else sees, where that is permitted.
bool OwnMounts() {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    WriteText("/proc/self/setgroups", "deny");
    WriteText("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
    WriteText("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

/// Without a mount of its own: what is as good.
std::string SmallThatIsThere(std::string& at) {
  constexpr std::uint64_t kSmallBytes = 256 << 20;
  struct statvfs status = {};
  const bool small = ::statvfs("/dev/shm", &status) == 0 &&
                     std::uint64_t{status.f_blocks} * status.f_frsize <= kSmallBytes;
  REQUIRE(small, "no namespace to mount in, and /dev/shm is not small: run it as root");
  at = "/dev/shm/duramen-full-disk-" + std::to_string(::getpid());
  std::filesystem::create_directory(at);
  return "/dev/shm";
}

/// Returns what kind of file system is at `at`, which may be changed.
std::string MountSmall(const std::string& image, std::string& at) {
  if (!OwnMounts()) return SmallThatIsThere(at);
  const std::string make = "truncate -s 20M " + image +
                           " && PATH=$PATH:/usr/sbin:/sbin mke2fs -q " + "-t ext4 -m 0 " + image +
                           " && mount -o loop " + image + " " + at;
  if (std::system(("( " + make + " ) >/dev/null 2>&1").c_str()) == 0)
    return "ext4 on a loop device";
  REQUIRE(::mount("none", at.c_str(), "tmpfs", 0, "size=16m") == 0, "no file system to fill");
  return "tmpfs";
}

/// To the last byte.
void FillUp(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  REQUIRE(file >= 0 || errno == ENOSPC, "the filler");
  if (file < 0) return;
  for (std::size_t bytes = 1 << 20; bytes > 0; bytes /= 8) {
    const std::string chunk(bytes, 'x');
    while (::write(file, chunk.data(), bytes) > 0) continue;
  }
  ::close(file);
}

struct Child {
  pid_t pid = -1;
  int pipe_end = -1;
  Acknowledged known;

  explicit Child(const std::string& dir) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0, "no pipe");
    pid = ::fork();
    if (pid == 0) {
      ::close(ends[0]);
      Work(dir, ends[1]);
    }
    ::close(ends[1]);
    pipe_end = ends[0];
  }
  bool Next() {
    Line line;
    if (::read(pipe_end, &line, sizeof line) != sizeof line) return false;
    known.Take(line);
    return true;
  }
  /// What was in the pipe was acknowledged, too.
  void Kill() {
    ::kill(pid, SIGKILL);
    while (Next()) continue;
    ::close(pipe_end);
    int status = 0;
    ::waitpid(pid, &status, 0);
    REQUIRE(WIFSIGNALED(status), "the store's process ended by itself");
  }
};

/// Odd seeds kill it while the disk is full, even ones when it has resumed.
void FillOnce(const std::string& mounted, std::uint64_t seed) {
  Rng rng(seed);
  const std::string dir = mounted + "/data-" + std::to_string(seed);
  const std::string filler = mounted + "/filler";
  Child child(dir);
  const std::uint64_t moment = 1 + rng.Below(500);
  while (child.known.entries < moment) REQUIRE(child.Next(), "it died before the disk was full");
  FillUp(filler);
  while (child.known.refused == 0) REQUIRE(child.Next(), "it died when the disk was full");
  const std::uint64_t votes = child.known.votes;
  while (child.known.votes < votes + kVotesWhileFull) {
    REQUIRE(child.Next(), "it died while the disk was full");
    if (rng.OneIn(8)) FillUp(filler);  // What was freed meanwhile.
  }
  if (seed % 2 == 1) {
    child.Kill();
    FillUp(filler);
    REQUIRE(InChild([&] { Verify(dir, child.known, true); }), "a start on the full disk");
    ::unlink(filler.c_str());
    REQUIRE(InChild([&] { Verify(dir, child.known, false); }), "a start with space again");
  } else {
    ::unlink(filler.c_str());
    const std::uint64_t entries = child.known.entries;
    while (child.known.entries < entries + kAppendsAfter) {
      REQUIRE(child.Next(), "it did not resume");
    }
    child.Kill();
    REQUIRE(InChild([&] { Verify(dir, child.known, false); }), "what was acknowledged");
  }
  std::filesystem::remove_all(dir);
}

void InSmallFileSystem(const std::function<void(const std::string&)>& run) {
  const testing::TempDir dir;
  const std::string mounted = dir / "mounted";
  std::filesystem::create_directory(mounted);
  EXPECT_TRUE(InChild([&] {
    std::string at = mounted;
    const std::string kind = MountSmall(dir / "image", at);
    std::printf("on %s\n", kind.c_str());
    run(at);
    std::fflush(nullptr);
    std::error_code ignored;  // Only /dev/shm outlives this process.
    if (at != mounted) std::filesystem::remove_all(at, ignored);
  }));
}

TEST(RealFullDisk, PW12_G9_TwentyFillsToTheLastByte) {
  InSmallFileSystem([](const std::string& mounted) {
    for (int seed = 0; seed < kFills; ++seed) FillOnce(mounted, static_cast<std::uint64_t>(seed));
  });
}

TEST(RealFullDisk, W26_B4_AHundredStartsWithoutAByte) {
  InSmallFileSystem([](const std::string& mounted) {
    const std::string dir = mounted + "/data";
    Child child(dir);
    while (child.known.entries < 200) REQUIRE(child.Next(), "it died");
    FillUp(mounted + "/filler");
    while (child.known.refused == 0) REQUIRE(child.Next(), "it died when the disk was full");
    child.Kill();
    std::size_t files = 0;
    for (int start = 0; start < kStarts; ++start) {
      FillUp(mounted + "/filler");
      REQUIRE(InChild([&] {
                Child again(dir);
                while (again.known.votes < 5) REQUIRE(again.Next(), "a start died");
                again.Kill();
              }),
              "start " + std::to_string(start));
      std::size_t now = 0;
      for (const auto& file : std::filesystem::directory_iterator(dir + "/wal")) {
        now += file.path().extension() == ".wal" ? 1 : 0;
      }
      if (start == 2) files = now;
      // A kill may find the pool with one half made.
      REQUIRE(start < 3 || now <= files + 1, "files pile up");
    }
    child.known.vote += 5 * kStarts;
    REQUIRE(InChild([&] { Verify(dir, child.known, true); }), "what was acknowledged");
  });
}

}  // namespace
}  // namespace duramen::log
