#include "tools/demo_clusters.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/rng.h"
#include "base/try.h"
#include "tools/demo_frame.h"
#include "tools/interrupt.h"
#include "tools/line_feed.h"
#include "tools/live.h"
#include "tools/text.h"
#include "tools/verify.h"

namespace duramen::tools {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMembers = 3;
constexpr std::uint64_t kClustersMax = 2000;
constexpr std::uint64_t kStopsMax = 100;
/// So many that all of them have some to go when a node is stopped, and when it comes back.
constexpr std::uint64_t kLinesOfCluster = 20;
constexpr std::uint64_t kLinesOfStop = 8;          // in each cluster
constexpr std::uint64_t kTextBytesMax = 64 << 20;  // every member holds it in memory
constexpr std::uint64_t kLineBytesMax = 1 << 20;
constexpr std::uint64_t kWalBytes = 4 << 20;
constexpr milliseconds kPatience{20'000};  // with each thing that is waited for
/// What it is not: what its WAL has accepted by then it still writes.
constexpr const char* kStoppedBy =
    "closing its System object under load; a SIGKILL, which would end all of this process, is in "
    "demo --logs";

Deadline Soon() { return std::chrono::steady_clock::now() + kPatience; }

/// What a WAL has done.
struct Durable {
  std::uint64_t entries = 0;
  std::uint64_t syncs = 0;
};

struct Node {
  std::string name;
  std::string dir;
  std::unique_ptr<System> system;  // null while it is stopped
  std::uint64_t stops = 0;
  std::uint64_t led = 0;  // clusters, when the text began
  Durable before;         // of this life, when the text began
  Durable sum;            // since then, as far as it was counted
};

class ClusterDemo {
 public:
  ClusterDemo(const DemoOptions& options, Terminal& terminal)
      : options_(options), terminal_(terminal), rng_(options.seed) {}

  Result<ExitCode> Run() {
    const std::int64_t begin_ns = clock_.NowNs();
    const InputText input(TRY(Text()));
    dir_ = TRY(MakeDemoDirectory(options_.dir));
    terminal_.Say(Plural(input.line_count(), "line") + " (" + HumanBytes(input.text().size()) +
                  ") into " + Plural(options_.servers, "cluster") + " with a member on each of " +
                  std::to_string(kMembers) + " nodes, which are systems of this process, in " +
                  dir_ + ", seed " + std::to_string(options_.seed));
    const Status played = Play(input);
    if (!played.ok()) {
      const ErrorCode code = played.error().code;
      if (code != ErrorCode::kCorruption && code != ErrorCode::kTimeout) return played.error();
      terminal_.Complain(played.error());
      problem_ = played.error().message;
    }
    seconds_ = static_cast<double>(clock_.NowNs() - begin_ns) / 1e9;
    return Conclude(input);
  }

  /// What it made; empty: nothing yet.
  const std::string& dir() const { return dir_; }

 private:
  Result<std::string> Text() const {
    const std::uint64_t of_each = std::max(kLinesOfCluster, options_.kills * kLinesOfStop);
    DemoText text = TRY(ReadDemoText(options_.file, options_.servers * of_each));
    if (text.text.empty()) {
      return Error{ErrorCode::kInvalidArgument, options_.file + " is empty",
                   "name a file with lines in it"};
    }
    if (text.text.size() > kTextBytesMax) {
      return Error{ErrorCode::kTooLarge,
                   HumanBytes(text.text.size()) + " are too much for clusters that hold all of it",
                   "64 MiB at most, or duramen demo --logs FILE"};
    }
    const InputText lines(text.text);
    for (std::uint64_t number = 1; number <= lines.line_count(); ++number) {
      if (lines.line(number).size() <= kLineBytesMax) continue;
      return Error{ErrorCode::kTooLarge, "line " + Grouped(number) + " is longer than 1 MiB",
                   "no command is; duramen demo --logs FILE"};
    }
    if (text.copies > 1) {
      terminal_.Say("the text is short: it goes in " + Plural(text.copies, "time"));
    }
    return std::move(text.text);
  }

  Status Play(const InputText& input) {
    for (std::size_t i = 0; i < kMembers; ++i) {
      nodes_[i].name = std::string(1, static_cast<char>('a' + i));
      nodes_[i].dir = dir_ + "/" + nodes_[i].name;
      TRY(Start(nodes_[i]));
    }
    TRY(StartClusters());
    if (Interrupted()) return {};
    // After the systems, which outlive it.
    LineFeed feed(*nodes_[0].system, input, options_.servers);
    TRY(feed.OpenSessions(kPatience));
    TRY(Feed(feed));
    if (!Interrupted()) TRY(Compare(feed));
    sent_again_ = feed.sent_again();
    return {};
  }

  Status Start(Node& node) const {
    SystemOptions options;
    options.storage.data_dir = node.dir;
    options.storage.wal_max_size_bytes = kWalBytes;
    options.node = node.name;
    options.network = network_;
    options.machines = {LineMachine()};
    options.election_timeout_min = 500;
    options.election_timeout_max = 1000;
    options.heartbeat_interval = 100;
    options.max_command_bytes = kLineBytesMax;
    node.system = std::make_unique<System>(TRY(System::Open(options)));
    return {};
  }

  Status StartClusters() {
    std::vector<std::string> names;
    for (const Node& node : nodes_) names.push_back(node.name);
    for (std::uint64_t cluster = 0; cluster < options_.servers && !Interrupted(); ++cluster) {
      const ClusterOptions one{
          .name = LineFeed::NameOf(cluster), .machine = "lines", .nodes = names};
      TRY(nodes_[0].system->StartCluster(one, Soon()));
    }
    for (std::uint64_t cluster = 0; cluster < options_.servers && !Interrupted(); ++cluster) {
      TRY(nodes_[0].system->AwaitLeader(LineFeed::NameOf(cluster), Soon()));
    }
    for (const Leading& one : nodes_[0].system->Leaderboard()) {
      for (Node& node : nodes_) node.led += node.name == one.leader ? 1 : 0;
    }
    return {};
  }

  /// The text, with stops evenly over it: half-way to each, and a quarter without it.
  Status Feed(LineFeed& feed) {
    for (Node& node : nodes_) node.before = CountOf(node);
    const std::uint64_t parts = 4 * options_.kills;
    for (std::uint64_t stop = 0; stop < options_.kills; ++stop) {
      feed.LetTo(4 * stop + 2, parts);
      TRY(FeedUntil(feed, [&] { return feed.resting(); }));
      feed.LetTo(4 * stop + 3, parts);
      if (Interrupted()) return {};
      // Whoever sends the lines is on the first one.
      Node& node = nodes_[1 + rng_.Below(kMembers - 1)];
      const std::int64_t begin_ns = clock_.NowNs();
      TRY(Stop(node, feed));
      TRY(GoOnWithout(node, feed, begin_ns));
      if (Interrupted()) return {};
      TRY(Start(node));
    }
    feed.LetTo(1, 1);
    return FeedUntil(feed, [&] { return feed.resting(); });
  }

  /// `begin_ns`: when its end began.
  Status GoOnWithout(const Node& node, LineFeed& feed, std::int64_t begin_ns) {
    const std::uint64_t acknowledged = feed.acknowledged();
    feed.Mark();
    TRY(FeedUntil(feed, [&] { return feed.all_went_on(); }));
    const std::int64_t pause_ns = clock_.NowNs() - begin_ns;
    longest_pause_ns_ = std::max(longest_pause_ns_, pause_ns);
    TRY(FeedUntil(feed, [&] { return feed.resting(); }));
    without_ += feed.acknowledged() - acknowledged;
    if (Interrupted()) return {};
    terminal_.Say("all clusters had gone on after " + Seconds(pause_ns) + " s; " +
                  Plural(feed.acknowledged(), "line") + " acknowledged: " + node.name +
                  " starts again");
    return {};
  }

  template <typename Reached>
  static Status FeedUntil(LineFeed& feed, Reached reached) {
    while (!reached() && !Interrupted()) TRY(feed.Step(kPatience));
    return {};
  }

  static std::string Seconds(std::int64_t ns) { return Decimal(static_cast<double>(ns) / 1e9, 3); }

  Status Stop(Node& node, LineFeed& feed) {
    std::uint64_t led = 0;
    for (const Leading& one : nodes_[0].system->Leaderboard()) led += one.leader == node.name;
    AddUp(node);
    node.before = {};
    TRY(feed.Fill());
    TRY(node.system->Close(Soon()));
    node.system.reset();
    ++node.stops;
    ++stops_;
    under_way_ += feed.under_way();
    terminal_.Say(Plural(feed.acknowledged(), "line") + " acknowledged: " + node.name +
                  " is closed without warning, with " + Plural(feed.under_way(), "command") +
                  " under way; it led " + Plural(led, "cluster"));
    return {};
  }

  /// As its statistics page has it, in this life. It may have none: then nothing is counted at all.
  Durable CountOf(const Node& node) {
    const Result<LiveStats> stats = ReadLive(node.dir);
    if (!stats.ok() && counted_) terminal_.Say("syncs are not counted: " + stats.error().message);
    if (!stats.ok()) counted_ = false;
    if (!stats.ok()) return {};
    return {.entries = stats->Value("wal_entries"), .syncs = stats->Value("wal_syncs")};
  }
  void AddUp(Node& node) {
    const Durable now = CountOf(node);
    node.sum.entries += now.entries - node.before.entries;
    node.sum.syncs += now.syncs - node.before.syncs;
  }
  /// Of numbers that come from there: of a demo that went to its end.
  Cell IfCounted(Cell value) const { return counted_ && compared_ ? value : Cell{}; }

  /// Each cluster on each member, once that has applied the last line; then the files.
  Status Compare(const LineFeed& feed) {
    for (std::uint64_t cluster = 0; cluster < options_.servers && !Interrupted(); ++cluster) {
      const std::string expected = feed.LinesOf(cluster);
      const QueryOptions query{.consistency = Consistency::kLocal, .after = feed.last_of(cluster)};
      for (Node& node : nodes_) {
        const std::string name = LineFeed::NameOf(cluster);
        const std::string found = TRY(node.system->Query(name, {}, query, Soon()));
        const std::string wrong = CompareLines(expected, found);
        if (wrong.empty()) continue;
        return Error{ErrorCode::kCorruption, name + " on node " + node.name + ": " + wrong, ""};
      }
    }
    for (Node& node : nodes_) AddUp(node);
    for (Node& node : nodes_) {
      TRY(node.system->Close(Soon()));
      Terminal unheard{Terminal::Captured{}};
      if (RunVerify({.path = node.dir}, unheard) == ExitCode::kClean) continue;
      return Error{ErrorCode::kCorruption, "the files of node " + node.name + " are not whole",
                   "duramen verify " + node.dir};
    }
    compared_ = !Interrupted();
    return {};
  }

  static double PerSync(std::uint64_t entries, std::uint64_t syncs) {
    return static_cast<double>(entries) / static_cast<double>(std::max<std::uint64_t>(syncs, 1));
  }

  void PrintNodes() {
    Sheet sheet(terminal_, options_.output, "demo_node",
                {{"node", ColumnType::kText},
                 {"members", ColumnType::kCount},
                 {"led", ColumnType::kCount},
                 {"stops", ColumnType::kCount},
                 {"wal_entries", ColumnType::kCount},
                 {"wal_syncs", ColumnType::kCount},
                 {"entries_per_sync", ColumnType::kDecimal}});
    for (const Node& node : nodes_) {
      const Cell row[] = {node.name,
                          options_.servers,
                          node.led,
                          node.stops,
                          IfCounted(node.sum.entries),
                          IfCounted(node.sum.syncs),
                          IfCounted(PerSync(node.sum.entries, node.sum.syncs))};
      sheet.Add(row);
    }
    sheet.Finish(Plural(kMembers, "node") + ", each with one WAL");
  }

  std::string Verdict() const {
    if (Interrupted())
      return problem_.empty() ? "interrupted" : "interrupted; before that: " + problem_;
    if (!problem_.empty()) return problem_;
    return "every line stands in its cluster once and in order, on all three members, byte for "
           "byte";
  }

  ExitCode Conclude(const InputText& input) {
    const bool good = problem_.empty() && !Interrupted();
    std::uint64_t syncs = 0;
    for (const Node& node : nodes_) syncs += node.sum.syncs;
    const std::uint64_t copies = input.line_count() * kMembers;
    // A member that comes back takes what it missed many lines at a time, with or without others.
    const std::uint64_t alone = copies - std::min(copies, without_);
    const Field summary[] = {
        {"lines", ColumnType::kCount, input.line_count()},
        {"bytes", ColumnType::kSize, std::uint64_t{input.text().size()}},
        {"clusters", ColumnType::kCount, options_.servers},
        {"members", ColumnType::kCount, std::uint64_t{kMembers}},
        {"stops", ColumnType::kCount, stops_},
        {"stopped_by", ColumnType::kText, std::string(stops_ == 0 ? "nothing" : kStoppedBy)},
        {"under_way_at_stops", ColumnType::kCount, under_way_},
        {"sent_again", ColumnType::kCount, sent_again_},
        {"longest_pause_s", ColumnType::kDecimal, static_cast<double>(longest_pause_ns_) / 1e9},
        {"durable_copies", ColumnType::kCount, compared_ ? Cell{copies} : Cell{}},
        {"wal_syncs", ColumnType::kCount, IfCounted(syncs)},
        {"copies_per_sync", ColumnType::kDecimal, IfCounted(PerSync(copies, syncs))},
        {"syncs_saved", ColumnType::kCount, IfCounted(alone - std::min(alone, syncs))},
        {"seed", ColumnType::kCount, options_.seed},
        {"seconds", ColumnType::kDecimal, seconds_},
        {"good", ColumnType::kFlag, good},
        {"verdict", ColumnType::kText, Verdict()}};
    if (options_.output.format == Format::kTable) {
      PrintNodes();
      terminal_.Out("\n");
    }
    PrintFacts(terminal_, options_.output, "demo", summary);
    if (Interrupted()) return ExitCode::kInterrupted;
    return good ? ExitCode::kClean : ExitCode::kDamage;
  }

  const DemoOptions& options_;
  Terminal& terminal_;
  SystemClock clock_;
  Rng rng_;
  std::string dir_;
  std::shared_ptr<LocalNetwork> network_ = std::make_shared<LocalNetwork>();
  std::array<Node, kMembers> nodes_;
  bool compared_ = false;
  bool counted_ = true;  // entries and syncs
  std::uint64_t stops_ = 0;
  std::uint64_t under_way_ = 0;        // at all of them
  std::uint64_t without_ = 0;          // lines acknowledged while a node was away
  std::int64_t longest_pause_ns_ = 0;  // from the end of a node until all had gone on
  std::uint64_t sent_again_ = 0;
  double seconds_ = 0;
  std::string problem_;
};

Status CheckRange(std::uint64_t value, std::uint64_t least, std::uint64_t most, const char* name) {
  if (value >= least && value <= most) return {};
  return Error{ErrorCode::kInvalidArgument, std::string(name) + " is out of range",
               std::to_string(least) + " to " + std::to_string(most) +
                   " with clusters; duramen demo --logs takes more"};
}

Status CheckUsage(const DemoOptions& options) {
  TRY(CheckRange(options.servers, 1, kClustersMax, "--servers"));
  return CheckRange(options.kills, 0, kStopsMax, "--kills");
}

}  // namespace

ExitCode RunClusterDemo(const DemoOptions& options, Terminal& terminal) {
  const Status usage = CheckUsage(options);
  if (!usage.ok()) {
    terminal.Complain(usage.error());
    return ExitCode::kUsage;
  }
  std::string dir;
  ExitCode code = ExitCode::kClean;
  {
    ClusterDemo demo(options, terminal);
    code = EndDemo(demo.Run(), terminal);
    dir = demo.dir();
  }  // Whatever runs of it ends here, before its files go.
  CleanUpDemo(dir, code != ExitCode::kClean || !options.dir.empty(), terminal);
  return code;
}

}  // namespace duramen::tools
