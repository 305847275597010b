// The binary on a system with several WAL shards: no verb looks at one of them as if it were all.
#include "tools/shard_walk.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <sstream>

#include "log/system_file.h"
#include "tests/tools/binary.h"
#include "tests/tools/files.h"
#include "tools/verify.h"

namespace duramen::tools {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::NumberedLines;
using testing::TempDir;
using testing::WriteAll;

using Answer = testing::BinaryAnswer;

Answer Duramen(const std::vector<std::string>& arguments) {
  return testing::RunBinary(DURAMEN_BINARY, arguments);
}

class ShardsOnDisk : public ::testing::Test {
 protected:
  /// Fifty lines in five logs, of which shard 0 has three and shard 1 two.
  void SetUp() override {
    WriteAll(dir_ / "input", NumberedLines(50));
    const Answer load = Load({});
    ASSERT_EQ(load.exit, 0) << load.err;
  }
  Answer Load(const std::vector<std::string>& more) const {
    std::vector<std::string> words = {
        "load",         data_, dir_ / "input",         "--servers", "5",
        "--wal-shards", "2",   "--wal-max-size-bytes", "64KiB"};
    words.insert(words.end(), more.begin(), more.end());
    return Duramen(words);
  }
  const TempDir dir_;
  const std::string data_ = dir_ / "data";
};

TEST_F(ShardsOnDisk, PW16_EveryVerbSaysWhatEachShardHas) {
  const std::string heading = "WAL shard 1 of 2: " + data_ + "/shards/1";
  for (const std::string verb : {"dump", "verify", "stat", "names", "du"}) {
    const Answer answer = Duramen({verb, data_});
    EXPECT_EQ(answer.exit, 0) << verb << answer.err;
    EXPECT_THAT(answer.out, HasSubstr("WAL shard 0 of 2: " + data_ + "\n"));
    EXPECT_THAT(answer.out, HasSubstr(heading));
  }
  const Answer names = Duramen({"names", data_});
  for (const char* name : {"load-00000", "load-00001", "load-00002", "load-00003", "load-00004"}) {
    EXPECT_THAT(names.out, HasSubstr(name));
  }
  EXPECT_THAT(Duramen({"names", data_ + "/shards/1"}).out, Not(HasSubstr("WAL shard")));
}

TEST_F(ShardsOnDisk, PW16_JsonIsOneDocumentAndLinesAreEachOne) {
  for (const std::string verb : {"dump", "verify", "stat", "names", "du"}) {
    const Answer answer = Duramen({verb, data_, "--json"});
    const auto document = nlohmann::json::parse(answer.out, nullptr, false);
    ASSERT_FALSE(document.is_discarded()) << verb << answer.out;
    ASSERT_EQ(document["rows"].size(), 2u);
    EXPECT_EQ(document["rows"][1]["shard"], 1);
    EXPECT_EQ(document["rows"][1]["dir"], data_ + "/shards/1");
    EXPECT_EQ(document["rows"][1]["result"]["v"], 1) << verb;
    std::istringstream lines(Duramen({verb, data_, "--format", "jsonl"}).out);
    std::size_t heads = 0;
    for (std::string line; std::getline(lines, line);) {
      const auto row = nlohmann::json::parse(line, nullptr, false);
      ASSERT_FALSE(row.is_discarded()) << line;
      heads += row["kind"] == "shard" ? 1 : 0;
    }
    EXPECT_EQ(heads, 2u) << verb;
  }
}

TEST_F(ShardsOnDisk, PW16_CsvHasOneHeaderAndAColumnForTheShard) {
  std::istringstream lines(Duramen({"names", data_, "--format", "csv"}).out);
  std::string line;
  std::getline(lines, line);
  EXPECT_THAT(line, ::testing::StartsWith("shard,uid,name"));
  std::multiset<char> shards;
  while (std::getline(lines, line)) shards.insert(line.front());
  EXPECT_THAT(shards, ::testing::ElementsAre('0', '0', '0', '1', '1'));
}

TEST_F(ShardsOnDisk, PW16_OneLogIsFoundInWhicheverShard) {
  for (const char* name : {"load-00000", "load-00001"}) {
    const Answer answer = Duramen({"dump", data_, "--server", name, "--kind", "entry"});
    EXPECT_EQ(answer.exit, 0) << answer.err;
    EXPECT_THAT(answer.out, HasSubstr(name));
    EXPECT_EQ(answer.err, "");
    EXPECT_EQ(Duramen({"why-retained", data_, name}).exit, 0);
  }
  const Answer nobody = Duramen({"dump", data_, "--server", "nobody"});
  EXPECT_EQ(nobody.exit, 2);
  EXPECT_THAT(nobody.err, HasSubstr("no record of a server 'nobody'"));
}

TEST_F(ShardsOnDisk, PW16_WordsThatAreWrongAreRefusedOnceForAllShards) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"stat", data_, "--sort", "nothing"},
        {"stat", data_, "--by", "metric"},
        {"stat", data_, "--live", "--by", "file"},
        {"stat", data_, "--live", "--sort", "live"},
        {"dump", data_, "--kind", "nothing"},
        {"dump", data_, "--kind", "nothing", "--server", "load-00001"},
        {"top", data_, "--once", "--interval", "4000"},
        {"top", data_}}) {
    const Answer answer = Duramen(words);
    SCOPED_TRACE(words[0] + answer.err);
    EXPECT_EQ(answer.exit, 2);
    EXPECT_EQ(answer.out, "");
    EXPECT_THAT(answer.err, ::testing::StartsWith("error: "));
    EXPECT_EQ(answer.err.find("error:"), answer.err.rfind("error:"));
  }
}

TEST_F(ShardsOnDisk, A14_AShardThatIsGoneIsDamage) {
  fs::rename(data_ + "/shards/1", dir_ / "away");
  const Answer verify = Duramen({"verify", data_});
  EXPECT_EQ(verify.exit, 1);
  EXPECT_THAT(verify.err, HasSubstr("WAL shard 1 is missing"));
  const Answer json = Duramen({"verify", data_, "--json"});
  EXPECT_FALSE(nlohmann::json::parse(json.out, nullptr, false).is_discarded()) << json.out;
  EXPECT_EQ(json.exit, 1);
  EXPECT_EQ(Load({"--resume"}).exit, 2);
}

TEST_F(ShardsOnDisk, A14_ALinkOrAFileInThePlaceOfAShardIsNotFollowed) {
  const std::string shards = data_ + "/shards";
  for (const std::string& place : {shards, shards + "/1"}) {
    const std::string away = dir_ / "away";
    fs::rename(place, away);
    for (const bool link : {true, false}) {
      SCOPED_TRACE(place + (link ? ": a link" : ": a file"));
      if (link) fs::create_directory_symlink(away, place);
      if (!link) WriteAll(place, "no directory");
      const Answer load = Load({"--resume"});
      EXPECT_EQ(load.exit, 2);
      EXPECT_THAT(load.err, HasSubstr("'" + place + "': it is a file or a symbolic link"));
      EXPECT_THAT(load.err, HasSubstr("hint: put the directory itself there"));
      const Answer verify = Duramen({"verify", data_});
      EXPECT_EQ(verify.exit, 1);
      EXPECT_THAT(verify.err, HasSubstr("WAL shard 1 is not looked at: "));
      EXPECT_THAT(verify.err, HasSubstr("hint: put the directory itself there"));
      EXPECT_THAT(Duramen({"names", data_}).out, Not(HasSubstr("load-00001")));
      fs::remove(place);
    }
    fs::rename(away, place);
  }
  // In the place of one that SYSTEM does not count, too.
  WriteAll(shards + "/2", "no directory");
  const Answer load = Load({"--resume"});
  EXPECT_EQ(load.exit, 2);
  EXPECT_THAT(load.err, HasSubstr("hint: put the directory itself there"));
  fs::remove(shards + "/2");
  EXPECT_EQ(Load({"--resume"}).exit, 0);
}

/// In a child that is nobody where we are root; everything below `path` is the child's.
int VerifyAsNobody(const std::string& path, const std::string& err_path) {
  constexpr int kNobody = 65534;
  std::vector<fs::path> all{path};
  for (const auto& entry : fs::recursive_directory_iterator(path)) all.push_back(entry.path());
  for (const fs::path& one : all) {
    EXPECT_TRUE(::geteuid() != 0 || ::chown(one.c_str(), kNobody, kNobody) == 0);
  }
  fs::permissions(path + "/shards", fs::perms::none);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const int err = ::open(err_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) ::_exit(100);
    Terminal terminal{Terminal::Captured{}};
    const ShardWalk walk{.path = path};
    const ExitCode exit =
        RunOverShards(walk, terminal, [&](const std::string& shard, const OutputOptions& output) {
          return RunVerify({.path = shard, .output = output}, terminal);
        });
    const std::string& text = terminal.captured_err();
    if (::write(err, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(101);
    ::_exit(static_cast<int>(exit));
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  fs::permissions(path + "/shards", fs::perms::owner_all);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(ShardsOnDisk, A14_AShardThatMayNotBeReadIsNotMissing) {
  fs::permissions(dir_.path(), fs::perms::owner_all | fs::perms::others_exec);
  EXPECT_EQ(VerifyAsNobody(data_, dir_ / "err"), 4);
  const std::string err = testing::ReadAll(dir_ / "err");
  EXPECT_THAT(err, HasSubstr("WAL shard 1 is not looked at: "));
  EXPECT_THAT(err, HasSubstr("ermission denied"));
  EXPECT_THAT(err, Not(HasSubstr("missing")));
}

/// Changes a byte of an entry in the WAL of shard 1.
void DamageShard1(const std::string& data_dir) {
  for (const auto& entry : fs::directory_iterator(data_dir + "/shards/1/wal")) {
    if (entry.path().extension() != ".wal") continue;
    std::string text = testing::ReadAll(entry.path());
    const std::size_t at = text.find("line ");
    if (at == std::string::npos) continue;
    text[at] ^= 1;
    WriteAll(entry.path(), text);
  }
}

std::string UndoId(const Answer& answer) {
  const std::size_t at = answer.out.find("undo: ");
  if (at == std::string::npos) return "";
  return answer.out.substr(at + 6, answer.out.find('\n', at) - at - 6);
}

TEST_F(ShardsOnDisk, PW16_DamageInAnyOfThemIsTheExitCodeAndOneApplyMendsIt) {
  DamageShard1(data_);
  const Answer verify = Duramen({"verify", data_});
  EXPECT_EQ(verify.exit, 1) << verify.out;
  const Answer plan = Duramen({"repair", data_});
  EXPECT_EQ(plan.exit, 7);
  EXPECT_THAT(plan.err, HasSubstr("the same command with --apply does it"));
  const Answer apply = Duramen({"repair", data_, "--apply"});
  EXPECT_EQ(apply.exit, 0) << apply.out << apply.err;
  EXPECT_THAT(apply.out, HasSubstr("nothing to repair"));
  EXPECT_THAT(apply.out, HasSubstr("WAL shard 1 of 2"));
  EXPECT_THAT(apply.out, HasSubstr("verify is clean"));
  EXPECT_EQ(Duramen({"verify", data_}).exit, 0);
  const std::string id = UndoId(apply);
  ASSERT_NE(id, "") << apply.out;
  const Answer undone = Duramen({"repair", data_, "--undo", id});
  EXPECT_EQ(undone.exit, 0) << undone.err;
  EXPECT_THAT(undone.err, HasSubstr("in " + data_ + "/shards/1"));
  EXPECT_EQ(Duramen({"verify", data_}).exit, 1);
  const Answer no_such = Duramen({"repair", data_, "--undo", "20260314-031502-k7qa"});
  EXPECT_EQ(no_such.exit, 2);
  EXPECT_THAT(no_such.err, HasSubstr("in any of the 2 WAL shards"));
}

TEST_F(ShardsOnDisk, TL3_ARepairOfOneServerIsDoneInItsShard) {
  for (const char* name : {"load-00000", "load-00001"}) {
    std::vector<std::string> words = {"repair",     data_, "--server", name,
                                      "--truncate", "5",   "--force"};
    const Answer plan = Duramen(words);
    EXPECT_EQ(plan.exit, 7) << plan.err;
    EXPECT_THAT(plan.out, HasSubstr("entries 5 to "));
    words.push_back("--apply");
    const Answer apply = Duramen(words);
    EXPECT_EQ(apply.exit, 0) << apply.err;
    EXPECT_THAT(apply.out, HasSubstr("entries 5 to "));
    const Answer dump =
        Duramen({"dump", data_, "--server", name, "--kind", "entry", "--format", "csv"});
    EXPECT_EQ(std::ranges::count(dump.out, '\n'), 5) << dump.out;
  }
  const Answer nobody = Duramen({"repair", data_, "--server", "nobody", "--rejoin", "--apply"});
  EXPECT_EQ(nobody.exit, 2);
  EXPECT_THAT(nobody.err, HasSubstr("there is no server 'nobody' in any of the 2 WAL shards"));
  const Answer usage = Duramen({"repair", data_, "--server", "load-00001", "--apply"});
  EXPECT_EQ(usage.exit, 2);
  EXPECT_EQ(usage.err.find("error:"), usage.err.rfind("error:")) << usage.err;
}

// The same name in two of them, as a start that was killed may leave it: not both, and none at
// random.
TEST_F(ShardsOnDisk, TL3_AServerThatIsInTwoShardsIsNotGuessed) {
  const std::string other = dir_ / "other";
  ASSERT_EQ(
      Duramen({"load", other, dir_ / "input", "--servers", "5", "--wal-max-size-bytes", "64KiB"})
          .exit,
      0);
  fs::rename(data_ + "/shards/1", dir_ / "away");
  fs::rename(other, data_ + "/shards/1");
  const auto before = testing::Fingerprint(data_);
  const Answer answer =
      Duramen({"repair", data_, "--server", "load-00000", "--rejoin", "--force", "--apply"});
  EXPECT_EQ(answer.exit, 7) << answer.out;
  EXPECT_THAT(answer.err, HasSubstr("is in " + data_ + " and in " + data_ + "/shards/1"));
  EXPECT_EQ(testing::Fingerprint(data_), before);
  DamageShard1(data_);
  const auto damaged = testing::Fingerprint(data_ + "/shards/1");
  const Answer strange = Duramen({"repair", data_, "--apply"});
  EXPECT_EQ(strange.exit, 1);
  EXPECT_THAT(strange.err, HasSubstr("is not WAL shard 1 of this system"));
  EXPECT_EQ(testing::Fingerprint(data_ + "/shards/1"), damaged) << "it is another system's";
}

TEST_F(ShardsOnDisk, PW16_LoadGoesOnWhereTheLogsAre) {
  WriteAll(dir_ / "input", NumberedLines(90));
  const Answer more = Load({"--resume", "--writers", "3"});
  EXPECT_EQ(more.exit, 0) << more.err;
  const Answer dump = Duramen({"dump", data_, "--format", "raw"});
  EXPECT_THAT(dump.out, HasSubstr("line 90: "));
  EXPECT_THAT(dump.out, HasSubstr("line 2: "));
  // Without the flag it would be a system of one: refused, and nothing is lost.
  const Answer fewer = Duramen({"load", data_, dir_ / "input", "--servers", "5", "--resume"});
  EXPECT_EQ(fewer.exit, 2);
  EXPECT_THAT(fewer.err, HasSubstr("holds logs: 'load-0000"));
}

// The column names are there whichever shard has the first row.
TEST_F(ShardsOnDisk, PW16_CsvOfALogInAnotherShardHasItsHeader) {
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"dump", data_, "--server", "load-00001", "--format", "csv"},
        {"why-retained", data_, "load-00001", "--format", "csv"}}) {
    const Answer answer = Duramen(verb);
    EXPECT_EQ(answer.exit, 0) << answer.err;
    EXPECT_EQ(answer.out.substr(0, 6), "shard,") << verb[0];
  }
}

// No start would take them.
TEST_F(ShardsOnDisk, A14_ShardsThatWereSwappedAreNotClean) {
  const std::vector<std::string> load = {
      "load",         data_, dir_ / "input",         "--servers", "5", "--resume",
      "--wal-shards", "3",   "--wal-max-size-bytes", "64KiB"};
  ASSERT_EQ(Duramen(load).exit, 0);
  fs::rename(data_ + "/shards/1", data_ + "/shards/x");
  fs::rename(data_ + "/shards/2", data_ + "/shards/1");
  fs::rename(data_ + "/shards/x", data_ + "/shards/2");
  ASSERT_NE(Duramen(load).exit, 0);
  EXPECT_NE(Duramen({"verify", data_}).exit, 0);
}

// As a repair of an older release left a shard that had lost its SYSTEM.
TEST_F(ShardsOnDisk, A14_AShardThatBecameAStoreOfItsOwnIsSaidToBeOne) {
  const std::string shard = data_ + "/shards/1";
  const std::string bytes = testing::ReadAll(shard + "/SYSTEM");
  log::SystemFile system = log::DecodeSystemFile(std::as_bytes(std::span(bytes))).value().content;
  ASSERT_EQ(system.shards, log::kIsAShard);
  system.shards = 1;
  WriteAll(shard + "/SYSTEM", testing::AsString(log::EncodeSystemFile(system)));
  for (const std::string verb : {"verify", "stat", "names", "du", "dump"}) {
    const Answer answer = Duramen({verb, data_});
    EXPECT_EQ(answer.exit, 1) << verb;
    EXPECT_THAT(answer.err,
                HasSubstr("SYSTEM in " + shard + " says that it is a store of its own"));
    EXPECT_THAT(answer.err, HasSubstr("then duramen repair " + shard + " --apply"));
  }
  const Answer load = Load({"--resume"});
  EXPECT_EQ(load.exit, 2);
  EXPECT_THAT(load.err, HasSubstr("says that it is a store of its own"));
  fs::remove(shard + "/SYSTEM");
  ASSERT_EQ(Duramen({"repair", shard, "--apply"}).exit, 0);
  EXPECT_EQ(Duramen({"verify", data_}).exit, 0);
  EXPECT_EQ(Load({"--resume"}).exit, 0);
}

// However it is spelled, and from wherever: else it would become a store of its own.
TEST_F(ShardsOnDisk, A14_ALostSystemOfAShardIsAShardsAgain) {
  const std::string shard = data_ + "/shards/1";
  fs::create_directory_symlink(shard, dir_ / "link");
  const std::string binary = DURAMEN_BINARY;
  for (const auto& [from, path] : {std::pair<std::string, std::string>{"/", shard + "/"},
                                   {data_, "shards/1"},
                                   {shard, "."},
                                   {data_, "./shards//1/"},
                                   {"/", dir_ / "link"}}) {
    fs::remove(shard + "/SYSTEM");
    const std::string command =
        "cd '" + from + "' && '" + binary + "' repair '" + path + "' --apply";
    ASSERT_EQ(std::system((command + " > /dev/null").c_str()), 0) << command;
    const Answer alone = Duramen({"load", shard, dir_ / "input", "--servers", "5", "--resume"});
    EXPECT_EQ(alone.exit, 2) << command;
    EXPECT_THAT(alone.err, HasSubstr("is a WAL shard of another data_dir"));
    const Answer load = Load({"--resume"});
    EXPECT_EQ(load.exit, 0) << command << load.err;
  }
}

}  // namespace
}  // namespace duramen::tools
