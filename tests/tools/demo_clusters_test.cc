// `duramen demo`, the one with clusters: what it finds, what it refuses, and that it would see a
// line that is not there.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "tests/tools/binary.h"
#include "tests/tools/files.h"
#include "tools/demo_frame.h"
#include "tools/line_feed.h"

namespace duramen::tools {
namespace {

using testing::BinaryAnswer;
using ::testing::HasSubstr;
using testing::NumberedLines;
using testing::RunBinary;
using testing::TempDir;
using testing::WriteAll;

constexpr std::uint64_t kLines = 1500;

class DemoOfClusters : public ::testing::Test {
 protected:
  BinaryAnswer Demo(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "demo");
    return RunBinary(DURAMEN_BINARY, arguments);
  }
  BinaryAnswer DemoOfText() {
    WriteAll(dir_ / "text", NumberedLines(kLines));
    return Demo({dir_ / "text", "--servers", "30", "--kills", "2", "--seed", "7", "--dir",
                 dir_ / "work", "--format", "jsonl"});
  }
  TempDir dir_;
};

TEST_F(DemoOfClusters, CL11_CM2_R12_EveryMemberHasTheTextThoughNodesWentAwayUnderIt) {
  const BinaryAnswer answer = DemoOfText();
  ASSERT_EQ(answer.exit, 0) << answer.err;
  const nlohmann::json told = nlohmann::json::parse(answer.out, nullptr, false);
  ASSERT_TRUE(told.is_object()) << answer.out;
  EXPECT_EQ(told["good"], true);
  EXPECT_EQ(told["lines"], kLines);
  EXPECT_EQ(told["stops"], 2);
  EXPECT_EQ(told["under_way_at_stops"], 60);
  EXPECT_EQ(told["durable_copies"], 3 * kLines);
  EXPECT_THAT(told["stopped_by"].get<std::string>(), HasSubstr("System object"));
  // From the files alone, by a process that knows nothing of clusters.
  for (const char* node : {"/a", "/b", "/c"}) {
    const BinaryAnswer dumped =
        RunBinary(DURAMEN_BINARY, {"dump", dir_ / "work" + node, "--format", "raw"});
    ASSERT_EQ(dumped.exit, 0) << dumped.err;
    for (std::uint64_t line = 1; line <= kLines; ++line) {
      const std::string text = "line " + std::to_string(line) + ": ";
      ASSERT_THAT(dumped.out, HasSubstr(text)) << node;
    }
  }
}

TEST_F(DemoOfClusters, PW1_ItCountsWhatSharingSaved) {
  const BinaryAnswer answer = DemoOfText();
  ASSERT_EQ(answer.exit, 0) << answer.err;
  const nlohmann::json told = nlohmann::json::parse(answer.out, nullptr, false);
  const std::uint64_t syncs = told["wal_syncs"];
  const std::uint64_t saved = told["syncs_saved"];
  EXPECT_GT(syncs, 0u);
  EXPECT_GT(saved, 0u);
  EXPECT_LT(saved + syncs, 3 * kLines) << "a member that comes back catches up in large pieces";
}

TEST_F(DemoOfClusters, TL5_InputThatIsNoneIsRefusedBeforeAnythingIsMade) {
  WriteAll(dir_ / "empty", "");
  WriteAll(dir_ / "long", std::string((1 << 20) + 1, 'x') + "\n");
  const struct {
    std::vector<std::string> arguments;
    int exit;
    const char* says;
  } kWrong[] = {{{dir_ / "nowhere"}, 4, "No such file"},
                {{dir_ / "empty"}, 2, "empty is empty"},
                {{dir_ / "long"}, 2, "line 1 is longer than 1 MiB"},
                {{dir_.path()}, 2, "is a directory"},
                {{"--nonsense"}, 2, "--nonsense"},
                {{"--servers", "0"}, 2, "--servers is out of range"},
                {{"--servers", "2001"}, 2, "--logs"},
                {{"--kills", "101"}, 2, "--kills is out of range"},
                {{"--logs", "--shared-wal"}, 2, "excludes"},
                {{"--simulate", "--logs"}, 2, "excludes"}};
  for (const auto& [arguments, exit, says] : kWrong) {
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--dir", dir_ / "work"});
    const BinaryAnswer answer = Demo(all);
    EXPECT_EQ(answer.exit, exit) << says;
    EXPECT_THAT(answer.err, HasSubstr(says));
    EXPECT_EQ(answer.out, "") << says;
    EXPECT_FALSE(std::filesystem::exists(dir_ / "work")) << says;
  }
}

TEST_F(DemoOfClusters, TL5_CtrlCEndsItInOrder) {
  const std::string out = dir_ / "out";
  const std::string work = dir_ / "work";
  const char* const argv[] = {DURAMEN_BINARY, "demo",       "--servers", "1000",
                              "--dir",        work.c_str(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
  ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = -1;
  ASSERT_EQ(::posix_spawn(&pid, argv[0], &actions, nullptr, const_cast<char**>(argv), environ), 0);
  ::posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  // Its last node; a thousand clusters are still to come.
  while (::access((work + "/c").c_str(), F_OK) != 0 && ::waitpid(pid, &status, WNOHANG) == 0) {
    std::this_thread::yield();
  }
  ::kill(pid, SIGINT);
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 130);
  const std::string told = testing::ReadAll(out);
  EXPECT_THAT(told, HasSubstr("interrupted"));
  EXPECT_EQ(told.find("error:"), std::string::npos) << told;
}

TEST(LineFeedTest, CM2_ALineThatIsMissingTwiceOrAnotherIsSeen) {
  EXPECT_EQ(CompareLines("one\ntwo\n", "one\ntwo\n"), "");
  EXPECT_THAT(CompareLines("one\ntwo\n", "one\n"), HasSubstr("1 line of 2"));
  EXPECT_THAT(CompareLines("one\ntwo\n", "one\none\ntwo\n"), HasSubstr("3 lines of 2"));
  EXPECT_THAT(CompareLines("one\ntwo\n", "two\none\n"), HasSubstr("line 1 is another"));
  EXPECT_THAT(CompareLines("one\ntwo\n", "one\ntwa\n"), HasSubstr("line 2 is another"));
  EXPECT_THAT(CompareLines("one\n", ""), HasSubstr("0 lines of 1"));
}

/// One system alone, with clusters of one member.
class FeedOfOne : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kClusters = 3;
  static Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(20); }
  static constexpr std::chrono::milliseconds kPatience{20'000};

  void SetUp() override {
    SystemOptions options;
    options.storage.data_dir = dir_ / "data";
    options.storage.wal_max_size_bytes = 1 << 20;
    options.machines = {LineMachine()};
    Result<System> opened = System::Open(options);
    ASSERT_TRUE(opened.ok());
    system_ = std::make_unique<System>(std::move(*opened));
    for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
      const ClusterOptions one{.name = LineFeed::NameOf(cluster), .machine = "lines"};
      ASSERT_TRUE(system_->StartCluster(one, Soon()).ok());
    }
  }
  std::string Held(std::uint64_t cluster) {
    return system_->Query(LineFeed::NameOf(cluster), {}, Consistency::kConsistent, Soon()).value();
  }
  TempDir dir_;
  std::unique_ptr<System> system_;
};

TEST_F(FeedOfOne, CM6_EachLineGoesToTheClusterOfItsNumber) {
  const InputText input("1\n2\n3\n4\n5\n6\n7");
  LineFeed feed(*system_, input, kClusters);
  ASSERT_TRUE(feed.OpenSessions(kPatience).ok());
  feed.LetTo(1, 2);
  while (!feed.resting()) ASSERT_TRUE(feed.Step(kPatience).ok());
  EXPECT_EQ(feed.acknowledged(), 3u) << "half of two, three and two";
  feed.LetTo(1, 1);
  feed.Mark();
  EXPECT_FALSE(feed.all_went_on());
  while (!feed.resting()) ASSERT_TRUE(feed.Step(kPatience).ok());
  EXPECT_TRUE(feed.all_went_on());
  const std::vector<std::string> expected = {"3\n6\n", "1\n4\n7\n", "2\n5\n"};
  for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
    EXPECT_EQ(Held(cluster), expected[cluster]);
    EXPECT_EQ(feed.LinesOf(cluster), expected[cluster]);
    EXPECT_GT(feed.last_of(cluster).index, 0u);
  }
}

TEST_F(FeedOfOne, CM2_AnAnswerThatNoSingleExecutionGivesIsAnError) {
  const InputText input("1\n2\n3\n");
  LineFeed feed(*system_, input, kClusters);
  ASSERT_TRUE(feed.OpenSessions(kPatience).ok());
  ASSERT_TRUE(system_->Execute("lines-1", {}, Soon()).ok());  // What it knows nothing of.
  feed.LetTo(1, 1);
  Status stepped;
  while (stepped.ok() && !feed.resting()) stepped = feed.Step(kPatience);
  ASSERT_FALSE(stepped.ok());
  EXPECT_EQ(stepped.error().code, ErrorCode::kCorruption);
  EXPECT_THAT(stepped.error().message, HasSubstr("lines-1"));
}

TEST_F(FeedOfOne, CM10_AClusterThatDoesNotAnswerIsNotWaitedForForEver) {
  const InputText input("1\n2\n3\n");
  LineFeed feed(*system_, input, kClusters);
  ASSERT_TRUE(feed.OpenSessions(kPatience).ok());
  ASSERT_TRUE(system_->StopServer("lines-1", Soon()).ok());
  feed.LetTo(1, 1);
  Status stepped;
  while (stepped.ok() && !feed.resting()) stepped = feed.Step(std::chrono::milliseconds(50));
  ASSERT_FALSE(stepped.ok());
  EXPECT_EQ(stepped.error().code, ErrorCode::kTimeout) << stepped.error().message;
}

TEST(DemoFrame, TL5_AShortTextIsRepeatedUntilItIsLongOrLarge) {
  const TempDir dir;
  WriteAll(dir / "text", "a\nb");
  Result<DemoText> text = ReadDemoText(dir / "text", 5);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->text, "a\nb\na\nb\na\nb\n");
  WriteAll(dir / "text", "one line");
  text = ReadDemoText(dir / "text", 2);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->text, "one line\none line\n");
  WriteAll(dir / "text", std::string((20 << 20) - 1, 'x') + "\n");
  text = ReadDemoText(dir / "text", 2000);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->copies, 3u);
}

}  // namespace
}  // namespace duramen::tools
