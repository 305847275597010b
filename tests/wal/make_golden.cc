// Writes tests/testdata/v1 and v2: run once when each format was fixed, and kept to show how they
// were made. Its output is never written again; a new format gets a directory of its own.
//   make_golden 1|2 DIRECTORY
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/loop_executor.h"
#include "base/posix_io.h"
#include "log/storage.h"
#include "tests/wal/golden.h"

namespace duramen::golden {
namespace {

class Maker {
 public:
  Maker(const std::string& directory, Compression compression)
      : store_(log::OpenLogStore(StoreOptions(directory, compression),
                                 {file_system_, clock_, executor_, Rng(20260101)}, Tuning())
                   .value()),
        writer_(store_.NewWriter().value()) {}

  void Write() {
    const LogRef gone = Log("gone");
    Append(gone, 1, 1, 128, "nobody sees this");
    const LogRef a = Log("queue/a");
    const LogRef b = Log("queue/b");
    const LogRef snapshot =
        Log("gr\xC3\xB6\xC3\x9F"
            "e");
    (void)Log("empty");
    for (Index i = 1; i <= 6; ++i) Append(b, i, 2, 200, "b" + std::to_string(i));
    Wait(writer_.TruncatePrefix(b, 3));
    Append(b, 4, 2, 200, "b4'");
    Append(b, 5, 2, 200, "b5'");
    Wait(writer_.TruncateSuffix(b, 5));
    Append(snapshot, 1, 1, 128, "before the snapshot");
    Wait(writer_.Reset(snapshot, 101, 9));
    Append(snapshot, 101, 9, 128, "after the snapshot");
    Wait(writer_.PutVote(a, 3, "node-b"));
    Wait(writer_.PutVote(b, 2, ""));
    Wait(writer_.Put(a, "colour", AsBytes("green"), Durability::kSynced));
    Wait(writer_.Put(a, "shape", AsBytes("round"), Durability::kSynced));
    Wait(writer_.Put(a, "shape", {}, Durability::kSynced));
    Wait(store_.DeleteLog(writer_, gone));
    const std::string filler(700, 'f');
    for (Index i = 1; i <= 30; i += 6) {
      std::vector<std::string> texts;
      std::vector<EntryView> entries;
      for (Index j = i; j < i + 6; ++j) texts.push_back("a" + std::to_string(j) + filler);
      for (Index j = i; j < i + 6; ++j) entries.push_back({j, 1, 128, AsBytes(texts[j - i])});
      const LogAppend group{a, entries};
      Wait(writer_.Append({&group, 1}));
    }
    Append(a, 31, 3, 255, "last");
    Wait(writer_.PutLastApplied(a, 17));
    { const Writer closing = std::move(writer_); }
    CHECK(store_.Close(Deadline::max()).ok());
  }

 private:
  static log::StorageTuning Tuning() {
    log::StorageTuning tuning;
    tuning.ring_records = 256;
    tuning.ring_bytes = 1 << 16;
    tuning.chunk_bytes = 1 << 14;
    tuning.spare_files = 0;
    tuning.row_files = 0;
    tuning.pack_run_bytes_min = 1024;
    return tuning;
  }
  LogRef Log(const std::string& name) {
    return store_.OpenLog(writer_, name, OpenMode::kCreate).value();
  }
  void Append(LogRef log, Index index, Term term, std::uint8_t kind, const std::string& text) {
    const EntryView entry{index, term, kind, AsBytes(text)};
    const LogAppend group{log, {&entry, 1}};
    Wait(writer_.Append({&group, 1}));
  }
  void Wait(const Result<Ticket>& ticket) {
    CHECK(ticket.ok());
    CHECK(writer_.Wait(*ticket, Deadline::max()).ok());
  }

  PosixFileSystem file_system_;
  ManualClock clock_;
  LoopExecutor executor_{Rng(5), clock_};
  LogStore store_;
  Writer writer_;
};

void WriteStructures(int version, const std::string& path) {
  std::ofstream out(path);
  for (const auto& [name, bytes] : Structures(version)) {
    out << name << ' ';
    for (const std::byte byte : bytes) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(byte));
      out << digits;
    }
    out << '\n';
  }
}

}  // namespace
}  // namespace duramen::golden

int main(int argc, char** argv) {
  if (argc != 3 || std::filesystem::exists(argv[2])) {
    std::fputs("usage: make_golden 1|2 DIRECTORY (that does not exist)\n", stderr);
    return 2;
  }
  const std::string directory = argv[2];
  const bool packed = argv[1][0] == '2';
  duramen::golden::Maker(directory + "/store",
                         packed ? duramen::Compression::kZstd : duramen::Compression::kNone)
      .Write();
  duramen::golden::WriteStructures(packed ? 2 : 1, directory + "/structures.txt");
  return 0;
}
