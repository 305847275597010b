// The duramen binary: which verbs there are and what they take. Everything else is behind the
// function of each verb; this is the only file that knows CLI11.
#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "base/settings.h"
#include "tools/bench.h"
#include "tools/bench_shared.h"
#include "tools/bench_takeover.h"
#include "tools/check_history.h"
#include "tools/config.h"
#include "tools/demo.h"
#include "tools/demo_clusters.h"
#include "tools/demo_shared.h"
#include "tools/demo_simulated.h"
#include "tools/du.h"
#include "tools/dump.h"
#include "tools/interrupt.h"
#include "tools/live.h"
#include "tools/load.h"
#include "tools/shard_walk.h"
#include "tools/sharded_repair.h"
#include "tools/simulate.h"
#include "tools/stat.h"
#include "tools/top.h"
#include "tools/tune.h"
#include "tools/verify.h"
#include "tools/version.h"
#include "tools/wal.h"
#include "tools/why_retained.h"

namespace duramen::tools {
namespace {

using Run = std::function<ExitCode(Terminal&)>;

/// What every verb has.
struct CommonOptions {
  std::string format = "table";
  std::string payload = "text";
  std::string color = "auto";
  std::string out_path;
  bool json = false;
  bool bytes = false;

  OutputOptions Output() const {
    OutputOptions output;
    const std::string& wanted = json ? std::string("json") : format;
    if (wanted == "jsonl") output.format = Format::kJsonl;
    if (wanted == "json") output.format = Format::kJson;
    if (wanted == "csv") output.format = Format::kCsv;
    if (wanted == "raw") output.format = Format::kRaw;
    output.exact_bytes = bytes;
    if (payload == "hex") output.payload = PayloadForm::kHex;
    if (payload == "raw") output.payload = PayloadForm::kRaw;
    if (payload == "none") output.payload = PayloadForm::kNone;
    return output;
  }
  ColorMode Color() const {
    if (color == "always") return ColorMode::kAlways;
    return color == "never" ? ColorMode::kNever : ColorMode::kAuto;
  }
};

/// The verbs of one command line; exactly one of them is run.
class Cli {
 public:
  Cli() : app_("Duramen: many logs on one shared write-ahead log.", "duramen") {
    app_.require_subcommand(1);
    app_.set_version_flag("--version", VersionLine());
    app_.footer(
        "Examples:\n"
        "  duramen demo                                   what it does, on a real text\n"
        "  duramen load data --servers 200 FILE           every line, durable\n"
        "  duramen dump data --server load-00007          one log, record by record\n"
        "  duramen verify data                            is it whole, and if not, whose is lost\n"
        "  duramen repair data                            what would mend it; nothing changes yet\n"
        "  duramen config explain wal_sync_method         what a setting does\n"
        "  duramen tune data                              what this disk gives, and if it is "
        "honest\n"
        "Each verb has --help. Exit: 0 clean, 1 damage, 2 usage, 3 in use, 4 unreadable,\n"
        "5 no space, 6 unknown version, 7 refused, 130 interrupted.");
    AddDump();
    AddSimulate();
    AddVerify();
    AddRepair();
    AddStat();
    AddTop();
    AddNames();
    AddDu();
    AddWhyRetained();
    AddCheckHistory();
    AddConfig();
    AddLoad();
    AddTune();
    AddBench();
    AddDemo();
    AddWalProcess();
    AddVersion();
  }

  int Main(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return Explain(error);
    }
    Terminal terminal;
    terminal.SetColor(common_.Color());
    if (!common_.out_path.empty()) {
      const Status opened = terminal.WriteTo(common_.out_path);
      if (!opened.ok()) {
        terminal.Complain(opened.error());
        return static_cast<int>(ExitCodeOf(opened.error().code));
      }
    }
    return static_cast<int>(run_(terminal));
  }

 private:
  /// Help and version are answers; everything else is usage.
  int Explain(const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_.exit(error);
    Terminal terminal;
    std::string verb;
    for (const CLI::App* sub : app_.get_subcommands()) verb = sub->get_name() + " ";
    terminal.Complain({ErrorCode::kInvalidArgument, error.what(), "duramen " + verb + "--help"});
    return static_cast<int>(ExitCode::kUsage);
  }

  /// Runs a verb on each WAL shard of the system that `options` name. Words that are wrong for all
  /// of them are refused once, before any.
  template <typename Options>
  ExitCode OverShards(Options& options, ExitCode (*run)(const Options&, Terminal&),
                      Terminal& terminal, bool searches = false) {
    if constexpr (requires { CheckUsage(options); }) {
      const Status usage = CheckUsage(options);
      if (!usage.ok()) {
        terminal.Complain(usage.error());
        return ExitCodeOf(usage.error().code);
      }
    }
    const ShardWalk walk{options.path, common_.Output(), searches};
    return RunOverShards(walk, terminal, [&](const std::string& path, const OutputOptions& output) {
      options.path = path;
      options.output = output;
      return run(options, terminal);
    });
  }

  CLI::App& AddVerb(CLI::App& parent, const std::string& name, const std::string& what, Run run) {
    CLI::App& verb = *parent.add_subcommand(name, what);
    std::set<std::string> formats = {"table", "jsonl", "json", "csv"};
    if (name == "dump") formats.insert("raw");  // Nothing else has payloads.
    verb.add_option("--format", common_.format, "table, jsonl, json or csv; dump also raw")
        ->check(CLI::IsMember(formats));
    verb.add_flag("--json", common_.json, "the same as --format json");
    verb.add_flag("--bytes", common_.bytes, "sizes as plain numbers");
    verb.add_option("-o", common_.out_path, "write data to this file");
    verb.add_option("--color", common_.color, "auto, always or never")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    verb.callback([this, run = std::move(run)] { run_ = run; });
    return verb;
  }

  /// A file, and each setting as a flag of its own.
  void AddSettings(CLI::App& verb, SettingSources& sources) {
    verb.add_option("--config", sources.config_path, "a TOML file of settings");
    for (const SettingSpec& setting : AllSettings()) {
      if (setting.name == "data_dir") continue;  // An argument of the verb.
      const std::string name(setting.name);
      const auto add = [&sources, name](const std::string& text) {
        sources.flags.emplace_back(name, text);
      };
      verb.add_option_function<std::string>(FlagName(setting.name), add, std::string(setting.help))
          ->group("Settings");
    }
    sources.environment = SettingsInEnvironment();
  }

  void AddDump() {
    CLI::App& verb = AddVerb(app_, "dump", "what stands in segments, WAL and checkpoints",
                             [this](Terminal& terminal) {
                               return OverShards(dump_, RunDump, terminal, !dump_.server.empty());
                             });
    verb.add_option("PATH", dump_.path, "a data directory, or one .wal, .seg or checkpoint file")
        ->required();
    verb.add_option("--server", dump_.server, "only this one; its name or uid");
    verb.add_option("--from", dump_.from, "from this index on")->check(CLI::NonNegativeNumber);
    verb.add_option("--to", dump_.to, "up to this index, itself included")
        ->check(CLI::NonNegativeNumber);
    verb.add_option("--term", dump_.term, "only entries of this term")
        ->check(CLI::NonNegativeNumber);
    verb.add_option("--kind", dump_.kind, "entry, row, mark, a run kind, a row kind or a number");
    verb.add_flag("--all", dump_.all, "also what was cut, and files off the chain");
    verb.add_flag("--stats", dump_.stats, "counts instead of rows");
    verb.add_option("--payload", common_.payload, "text, hex, raw or none")
        ->check(CLI::IsMember({"text", "hex", "raw", "none"}));
    verb.footer(
        "Examples:\n"
        "  duramen dump data --kind entry --format jsonl\n"
        "  duramen dump data --format raw | sort | cut -b14-     the lines of a load\n"
        "  duramen dump data/wal/0000000000000001.wal --all --payload hex");
  }

  void AddVerify() {
    CLI::App& verb =
        AddVerb(app_, "verify", "every checksum; what is damaged and whose it is",
                [this](Terminal& terminal) { return OverShards(verify_, RunVerify, terminal); });
    verb.add_option("PATH", verify_.path, "a data directory, a WAL directory or one file")
        ->required();
    verb.add_flag("--strict", verify_.strict, "an unproven tail is a failed check too");
    verb.footer("Examples:\n  duramen verify data\n  duramen verify data --strict --json");
  }

  void AddRepair() {
    CLI::App& verb =
        AddVerb(app_, "repair", "what would mend a store; --apply does it, --undo takes it back",
                [this](Terminal& terminal) {
                  repair_.output = common_.Output();
                  return RunShardedRepair(repair_, terminal);
                });
    verb.add_option("DIR", repair_.path, "a data directory; no process may have it open")
        ->required();
    verb.add_flag("--apply", repair_.apply, "do it; originals are kept in DIR/quarantine");
    // Not into the optional itself: there an empty text would be no undo at all.
    verb.add_option_function<std::string>(
        "--undo", [this](const std::string& id) { repair_.undo = id; },
        "put back every byte that repair ID changed");
    verb.add_option("--server", repair_.server, "whose entries to give up; a name or uid");
    verb.add_option("--truncate", repair_.truncate, "of --server: entries from this index on go")
        ->check(CLI::NonNegativeNumber);
    verb.add_flag("--fill", repair_.fill, "of --server: what cannot be read becomes no-op entries");
    verb.add_flag("--rejoin", repair_.rejoin,
                  "of --server: a new incarnation with the entries before the damage");
    verb.add_flag("--force", repair_.force,
                  "healthy at once (safe for a group's only voter), or undo over later changes");
    verb.add_option("--wal-dir", repair_.wal_dir, "where the WAL is, if SYSTEM is lost");
    verb.footer(
        "Examples:\n  duramen repair data                                 the plan\n"
        "  duramen repair data --apply\n"
        "  duramen repair data --server orders --truncate 118 --apply\n"
        "  duramen repair data --undo 20260314-031502-k7qa");
  }

  void AddStat() {
    CLI::App& verb = AddVerb(app_, "stat", "what fills WAL and segments, by file or by server",
                             [this](Terminal& terminal) { return Stat(terminal); });
    verb.add_option("DIR", stat_.path, "a data directory")->required();
    verb.add_flag("--live", live_, "what the process that has it open counts");
    verb.add_option("--by", stat_by_, "file or server; with --live metric, batch, or client")
        ->check(CLI::IsMember({"file", "server", "metric", "batch", "client"}));
    verb.add_option("--sort", stat_.sort, "a column");
    verb.footer(
        "Examples:\n  duramen stat data\n  duramen stat data --by server --sort live\n"
        "  duramen stat data --live\n  duramen stat data --live --by batch --format jsonl");
  }

  ExitCode Stat(Terminal& terminal) {
    if (live_ && stat_.sort.empty()) {
      LiveStatOptions live{
          .path = stat_.path, .by = stat_by_.empty() ? "metric" : stat_by_, .output = {}};
      return OverShards(live, RunLiveStat, terminal);
    }
    if (live_) {
      terminal.Complain(
          {ErrorCode::kInvalidArgument, "--live has an order of its own", "leave --sort away"});
      return ExitCode::kUsage;
    }
    if (!stat_by_.empty()) stat_.by = stat_by_;
    return OverShards(stat_, RunStat, terminal);
  }

  void AddTop() {
    CLI::App& verb = AddVerb(app_, "top", "what a running store does now",
                             [this](Terminal& terminal) { return Top(terminal); });
    verb.add_option("DIR", top_.path, "a data directory")->required();
    verb.add_flag("--once", top_.once, "one reading, for scripts");
    verb.add_option("--interval", top_.interval_s,
                    "seconds between two looks (1); 0 with --once: since the process started");
    verb.footer("Examples:\n  duramen top data\n  duramen top data --once --format jsonl");
  }

  ExitCode Top(Terminal& terminal) {
    const std::vector<std::string> shards = ShardDirectories(top_.path);
    if (top_.once || shards.size() == 1) return OverShards(top_, RunTop, terminal);
    terminal.Complain({ErrorCode::kInvalidArgument,
                       top_.path + " has " + std::to_string(shards.size()) +
                           " WAL shards, and a screen shows one",
                       "duramen top " + shards.back() + ", or --once for all"});
    return ExitCode::kUsage;
  }

  void AddNames() {
    CLI::App& verb =
        AddVerb(app_, "names", "uid, name, node and cluster of every server",
                [this](Terminal& terminal) { return OverShards(names_, RunNames, terminal); });
    verb.add_option("DIR", names_.path, "a data directory")->required();
    verb.footer("Examples:\n  duramen names data --format csv");
  }

  void AddDu() {
    CLI::App& verb = AddVerb(app_, "du", "bytes on disk, by server", [this](Terminal& terminal) {
      return OverShards(du_, RunDu, terminal);
    });
    verb.add_option("DIR", du_.path, "a data directory")->required();
    verb.footer("Examples:\n  duramen du data\n  duramen du data --bytes --format csv");
  }

  void AddWhyRetained() {
    CLI::App& verb = AddVerb(
        app_, "why-retained", "why a file is still there, or what a server keeps",
        [this](Terminal& terminal) { return OverShards(why_, RunWhyRetained, terminal, true); });
    verb.add_option("DIR", why_.path, "a data directory")->required();
    verb.add_option("WHAT", why_.what, "N.wal, servers/UID/N.seg, or a server")->required();
    verb.footer(
        "Examples:\n  duramen why-retained data 0000000000000007.wal\n"
        "  duramen why-retained data orders");
  }

  void AddSimulate() {
    CLI::App& verb = AddVerb(app_, "simulate", "whole clusters under trouble, from a seed",
                             [this](Terminal& terminal) {
                               simulate_.output = common_.Output();
                               return RunSimulate(simulate_, terminal);
                             });
    verb.add_flag("--systems", simulate_.systems,
                  "systems with their clients and administrators instead");
    verb.add_option("--seed", simulate_.seed, "the first seed");
    verb.add_option("--seeds", simulate_.seeds, "how many")->check(CLI::PositiveNumber);
    verb.add_option("--minutes", simulate_.minutes, "stop then; without --seeds: go on until then");
    verb.add_option("--set", simulate_.settings, "NAME=VALUE instead of what the seed draws");
    verb.add_flag("--tell", simulate_.tell, "what happens, as it happens");
    verb.add_flag("!--no-shrink", simulate_.shrink, "leave a failing seed as it is");
    verb.add_option("--histories", simulate_.histories,
                    "a directory for what the clients saw, for check-history");
    verb.add_option("--soak", simulate_.soak,
                    "go on behind the last seed of this page, and add a row");
    verb.footer(
        "Examples:\n  duramen simulate --seed 7 --tell\n  duramen simulate --seeds 1000\n"
        "  duramen simulate --seed 7 --set loss=0 --set kill_ms=5000\n"
        "  duramen simulate --systems --seeds 100");
  }

  void AddCheckHistory() {
    CLI::App& verb =
        AddVerb(app_, "check-history", "is a recorded history linearizable, and if not, why",
                [this](Terminal& terminal) {
                  check_history_.output = common_.Output();
                  return RunCheckHistory(check_history_, terminal);
                });
    verb.add_option("FILE", check_history_.path, "JSON lines of events; - for standard input")
        ->required();
    verb.add_option("--model", check_history_.model, "of what, if its header does not say")
        ->check(CLI::IsMember({"register", "kv", "set"}));
    verb.add_option("--max-steps", check_history_.steps_max,
                    "operations tried for one key before it is undecided (200000000)");
    verb.add_option("--max-memory", check_history_.memory_max_bytes,
                    "for one key before it is undecided (1 GiB)")
        ->transform(CLI::AsSizeValue(false));
    verb.footer(
        "Examples:\n  duramen check-history history.jsonl\n"
        "  duramen check-history - --model kv --format jsonl < history.jsonl");
  }

  void AddConfig() {
    CLI::App& config = *app_.add_subcommand("config", "the settings");
    config.require_subcommand(1);
    CLI::App& show = AddVerb(
        config, "show", "every setting, its value and where that comes from",
        [this](Terminal& terminal) { return RunConfigShow(sources_, common_.Output(), terminal); });
    AddSettings(show, sources_);
    CLI::App& check =
        AddVerb(config, "check", "would a store start with this file", [this](Terminal& terminal) {
          return RunConfigCheck(check_sources_, common_.Output(), terminal);
        });
    check.add_option("FILE", check_sources_.config_path, "a TOML file of settings")->required();
    check_sources_.environment = SettingsInEnvironment();
    CLI::App& explain = AddVerb(
        config, "explain", "what a setting does and may be",
        [this](Terminal& terminal) { return RunConfigExplain(key_, common_.Output(), terminal); });
    explain.add_option("KEY", key_, "the name of a setting")->required();
    AddVerb(config, "page", "every setting of a store and of a system, as Markdown",
            [](Terminal& terminal) { return RunConfigPage(terminal); });
    config.footer(
        "Examples:\n  duramen config show --config duramen.toml\n"
        "  duramen config explain memory_budget");
  }

  void AddLoad() {
    CLI::App& verb = AddVerb(app_, "load", "every line of FILE as an entry of one of N logs",
                             [this](Terminal& terminal) {
                               load_.output = common_.Output();
                               return RunLoad(load_, terminal);
                             });
    verb.add_option("DIR", load_.dir,
                    "the data directory; made if it is not there. unix:PATH: a WAL process")
        ->required();
    verb.add_option("FILE", load_.file, "lines; standard input without it");
    verb.add_option("--servers", load_.servers, "logs to spread the lines over")->required();
    verb.add_option("--writers", load_.writers, "rings into the WAL (1)");
    verb.add_option("--log-prefix", load_.log_prefix, "before the name of each log");
    verb.add_option("--in-flight", load_.in_flight, "lines not yet durable, at most (8192)");
    verb.add_flag("--acks", load_.acks, "print `ack N` when line N is durable");
    verb.add_flag("--resume", load_.resume, "go on after the last durable line");
    verb.add_flag("--progress", load_.progress, "rate and time left, on a terminal");
    verb.add_flag("--events", load_.events, "say what was recovered and posted")->group("");
    AddSync(verb, load_.settings);
    AddSettings(verb, load_.settings);
    verb.footer(
        "Examples:\n"
        "  duramen load data --servers 1000 big.txt --progress\n"
        "  tail -f app.log | duramen load data --servers 8 --acks\n"
        "  duramen load data --servers 1000 big.txt --resume        after a crash");
  }

  void AddWalProcess() {
    CLI::App& verb = AddVerb(app_, "wal", "the WAL process: one log for several services",
                             [this](Terminal& terminal) {
                               wal_process_.output = common_.Output();
                               return RunWalProcess(wal_process_, terminal);
                             });
    verb.add_option("--data-dir", wal_process_.dir, "the data directory; made if it is not there")
        ->required();
    verb.add_option("--socket", wal_process_.socket, "where services attach")->required();
    verb.add_option("--user", wal_process_.users, "who may attach, besides the own user");
    verb.add_flag("--takeover", wal_process_.takeover,
                  "from the WAL process that runs; services go on");
    verb.add_option("--group", wal_process_.group, "which may open the socket (nobody else)");
    verb.add_option("--clients", wal_process_.clients, "services at most (64)");
    verb.add_option("--client-bytes", wal_process_.client_bytes,
                    "memory of one service that is mapped, at most (8 GiB)")
        ->transform(CLI::AsSizeValue(false));
    verb.add_option("--client-logs", wal_process_.client_logs,
                    "logs that one service has open, at most (65536)")
        ->check(CLI::Range(1, 65536));
    AddSettings(verb, wal_process_.settings);
    verb.footer(
        "Examples:\n"
        "  duramen wal --data-dir data --socket /run/duramen/wal.sock\n"
        "  duramen load unix:/run/duramen/wal.sock --servers 8 FILE     a service of it\n"
        "  duramen wal --data-dir data --socket /run/duramen/wal.sock --takeover   an upgrade");
  }

  void AddSync(CLI::App& verb, SettingSources& sources) {
    verb.add_option_function<std::string>(
        "--sync",
        [&sources](const std::string& text) {
          sources.flags.emplace_back("wal_sync_method", text);
        },
        "datasync, fsync or none; the same as --wal-sync-method");
  }

  void AddTune() {
    CLI::App& verb = AddVerb(app_, "tune", "which sync method suits this disk, and is it honest",
                             [this](Terminal& terminal) {
                               tune_.output = common_.Output();
                               return RunTune(tune_, terminal);
                             });
    verb.add_option("DIR", tune_.path, "a directory on that disk; a data directory will do")
        ->required();
    verb.add_option("--seconds", tune_.seconds, "of the whole run (30)")
        ->check(CLI::Range(1, 86'400));
    verb.add_option("--depth", tune_.depth, "direct writes in flight at most (4)")
        ->check(CLI::Range(1, 64));
    verb.footer(
        "Examples:\n  duramen tune data\n  duramen tune /mnt/fast --seconds 120 --depth 16\n"
        "  duramen tune data --format jsonl > tune.jsonl");
  }

  void AddBenchCommon(CLI::App& verb, BenchOptions& options) {
    verb.add_option("--dir", options.dir, "where; a fresh folder in it is removed afterwards");
    verb.add_option("--seconds", options.seconds, "how long (5)")->check(CLI::Range(1, 86'400));
    verb.add_option("--seed", options.seed, "of the payload (1)");
    verb.add_option("--sync", options.sync_method, "datasync, fsync, dsync, none or auto");
    verb.add_option("--depth", options.depth, "direct writes in flight, with --sync dsync")
        ->check(CLI::Range(1, 64));
  }

  void AddBenchLoad(CLI::App& verb, BenchLoadOptions& options) {
    AddBenchCommon(verb, options.common);
    verb.add_option("--servers", options.servers, "logs (1000)");
    verb.add_option("--entry-bytes", options.entry_bytes, "payload of an entry (256)");
    verb.add_option("--in-flight", options.in_flight, "entries outstanding per log (10)");
    verb.add_option("--writers", options.writers, "rings into the WAL (1)");
    AddSettings(verb, options.settings);
  }

  void AddBench() {
    CLI::App& bench = *app_.add_subcommand("bench", "numbers of this disk, and of the WAL on it");
    bench.require_subcommand(1);
    CLI::App& disk =
        AddVerb(bench, "disk", "write and sync, with no log on top", [this](Terminal& terminal) {
          bench_disk_.common.output = common_.Output();
          return RunBenchDisk(bench_disk_, terminal);
        });
    AddBenchCommon(disk, bench_disk_.common);
    disk.add_option("--batch-bytes", bench_disk_.batch_bytes, "bytes of one write (4096)");
    CLI::App& wal = AddVerb(bench, "wal", "entries through the log store, beside the bare disk",
                            [this](Terminal& terminal) {
                              bench_wal_.common.output = common_.Output();
                              if (!shared_wal_) return RunBenchWal(bench_wal_, terminal);
                              const BenchSharedOptions shared{bench_wal_, bench_clients_,
                                                              bench_upgrades_};
                              return shared.upgrades == 0 ? RunBenchShared(shared, terminal)
                                                          : RunBenchTakeover(shared, terminal);
                            });
    AddBenchLoad(wal, bench_wal_);
    wal.add_option("--log-prefix", bench_wal_.log_prefix, "before the name of each log");
    wal.add_flag("--shared", shared_wal_,
                 "a WAL process and its clients, beside the same embedded");
    wal.add_option("--clients", bench_clients_, "of the WAL process, with --shared (4)");
    wal.add_option("--takeover", bench_upgrades_,
                   "so many live upgrades of the WAL process instead, with --shared");
    wal.add_option("--rate", bench_wal_.rate,
                   "entries a second, counted from when they are due, instead of --in-flight")
        ->check(CLI::Range(1, 100'000'000))
        ->excludes("--in-flight");
    AddBenchLog(bench);
    AddBenchRead(bench);
    AddBenchCluster(bench);
    AddBenchServers(bench);
    AddBenchRecovery(bench);
    bench.footer(
        "Examples:\n"
        "  duramen bench disk --batch-bytes 65536 --seconds 10 --json\n"
        "  duramen bench wal --servers 1000 --entry-bytes 256 --in-flight 10 --json\n"
        "  duramen bench log --servers 10000 --seconds 60 --json\n"
        "  duramen bench read --hot --json\n"
        "  duramen bench read --cold --segment-compression zstd --json\n"
        "  duramen bench cluster --clusters 1000 --pipe 2000 --json\n"
        "  duramen bench servers --clusters 10000 --json\n"
        "  duramen bench recovery --servers 10000 --wal-bytes 1000000 --json");
  }

  void AddBenchCluster(CLI::App& bench) {
    CLI::App& verb = AddVerb(bench, "cluster", "commands through replicated clusters",
                             [this](Terminal& terminal) {
                               bench_cluster_.common.output = common_.Output();
                               return RunBenchCluster(bench_cluster_, terminal);
                             });
    AddBenchCommon(verb, bench_cluster_.common);
    verb.add_option("--members", bench_cluster_.members, "of each cluster (1)");
    verb.add_flag("--in-process", bench_cluster_.in_process,
                  "members on several systems of this process");
    verb.add_option("--clusters", bench_cluster_.clusters, "how many (1)");
    verb.add_option("--clients", bench_cluster_.clients, "threads that send commands (5)");
    verb.add_option("--pipe", bench_cluster_.pipe,
                    "commands that each has under way, over all clusters in turns (500)");
    verb.add_option("--entry-bytes", bench_cluster_.entry_bytes, "payload of a command (256)");
    AddSettings(verb, bench_cluster_.settings);
  }

  void AddBenchServers(CLI::App& bench) {
    CLI::App& verb = AddVerb(bench, "servers", "what thousands of idle servers cost",
                             [this](Terminal& terminal) {
                               bench_servers_.common.output = common_.Output();
                               return RunBenchServers(bench_servers_, terminal);
                             });
    AddBenchCommon(verb, bench_servers_.common);
    verb.add_option("--members", bench_servers_.members,
                    "of each cluster, on as many systems of this process (1)");
    verb.add_option("--clusters", bench_servers_.clusters, "how many (10000)");
    AddSettings(verb, bench_servers_.settings);
  }

  void AddBenchRead(CLI::App& bench) {
    CLI::App& verb =
        AddVerb(bench, "read", "single entries at random, from memory or from segments",
                [this](Terminal& terminal) {
                  bench_read_.common.output = common_.Output();
                  return RunBenchRead(bench_read_, terminal);
                });
    AddBenchCommon(verb, bench_read_.common);
    verb.add_flag("--hot", bench_read_.hot, "from memory");
    verb.add_flag("--cold", bench_read_.cold, "from segments; the page cache is warm");
    verb.add_option("--servers", bench_read_.servers, "logs (1000)");
    verb.add_option("--entries", bench_read_.entries, "of all logs together (10000)");
    verb.add_option("--entry-bytes", bench_read_.entry_bytes, "payload of an entry (256)");
    AddSettings(verb, bench_read_.settings);
  }

  void AddBenchLog(CLI::App& bench) {
    CLI::App& log = AddVerb(bench, "log", "the same with flush, reads and truncation",
                            [this](Terminal& terminal) {
                              bench_log_.load.common.output = common_.Output();
                              return RunBenchLog(bench_log_, terminal);
                            });
    AddBenchLoad(log, bench_log_.load);
    log.add_option("--keep", bench_log_.keep,
                   "entries that a log keeps (two WAL files' worth over all logs)");
    log.add_option("--reads", bench_log_.reads_per_1000,
                   "of single entries, for 1,000 that are written (10)");
  }

  void AddBenchRecovery(CLI::App& bench) {
    CLI::App& verb = AddVerb(bench, "recovery", "how long a start takes, from the page cache",
                             [this](Terminal& terminal) {
                               bench_recovery_.common.output = common_.Output();
                               return RunBenchRecovery(bench_recovery_, terminal);
                             });
    verb.add_option("--dir", bench_recovery_.common.dir,
                    "where; a fresh folder in it is removed afterwards");
    verb.add_option("--seed", bench_recovery_.common.seed, "of the payload (1)");
    verb.add_option("--sync", bench_recovery_.common.sync_method,
                    "datasync, fsync, dsync, none or auto");
    verb.add_option("--servers", bench_recovery_.servers, "logs (1000)");
    verb.add_option("--entry-bytes", bench_recovery_.entry_bytes, "payload of an entry (256)");
    verb.add_option("--wal-bytes", bench_recovery_.wal_bytes, "of batches to read (256000000)");
  }

  void AddDemo() {
    CLI::App& verb =
        AddVerb(app_, "demo", "a text into 200 replicated clusters, one node stopped on the way",
                [this](Terminal& terminal) { return Demo(terminal); });
    verb.add_option("FILE", demo_.file, "a text; the licences of Debian without it");
    verb.add_option("--servers", demo_.servers, "clusters, or logs (200)");
    verb.add_option("--seed", demo_.seed, "of who is stopped, or of the moments of kills (1)");
    verb.add_option("--kills", kills_, "how many stops of a node (1), or kills (5)")
        ->check(CLI::Range(0, 1'000'000));
    verb.add_option("--dir", demo_.dir, "where; kept afterwards");
    CLI::Option* logs = verb.add_flag(
        "--logs", plain_logs_, "200 logs of a process that is killed again and again instead");
    CLI::Option* shared = verb.add_flag("--shared-wal", shared_wal_,
                                        "four services on one WAL process, all killed, instead");
    shared->excludes(logs);
    verb.add_flag("--simulate", simulated_, "a minute of a Raft cluster under faults instead")
        ->excludes(shared)
        ->excludes(logs);
    verb.footer(
        "Examples:\n  duramen demo\n  duramen demo book.txt --kills 3 --seed 7\n"
        "  duramen demo --logs --kills 20 --dir /var/tmp/demo\n"
        "  duramen demo --simulate --seed 3");
  }

  ExitCode Demo(Terminal& terminal) {
    demo_.output = common_.Output();
    if (simulated_) return RunSimulatedDemo(demo_, terminal);
    const bool clusters = !plain_logs_ && !shared_wal_;
    demo_.kills = kills_.value_or(clusters ? 1 : demo_.kills);
    if (clusters) return RunClusterDemo(demo_, terminal);
    return shared_wal_ ? RunSharedDemo(demo_, terminal) : RunDemo(demo_, terminal);
  }

  void AddVersion() {
    AddVerb(app_, "version", "of this binary and of its formats",
            [this](Terminal& terminal) { return RunVersion(common_.Output(), terminal); });
  }

  CLI::App app_;
  Run run_;
  CommonOptions common_;
  DumpOptions dump_;
  VerifyOptions verify_;
  RepairVerbOptions repair_;
  StatOptions stat_;
  std::string stat_by_;
  bool live_ = false;
  TopOptions top_;
  NamesOptions names_;
  DuOptions du_;
  SimulateOptions simulate_;
  WhyRetainedOptions why_;
  CheckHistoryOptions check_history_;
  SettingSources sources_;
  SettingSources check_sources_;
  std::string key_;
  LoadOptions load_;
  TuneOptions tune_;
  BenchDiskOptions bench_disk_;
  BenchLoadOptions bench_wal_;
  BenchClusterOptions bench_cluster_;
  BenchServersOptions bench_servers_;
  BenchReadOptions bench_read_;
  BenchLogOptions bench_log_;
  BenchRecoveryOptions bench_recovery_;
  std::uint64_t bench_clients_ = 4;
  std::uint64_t bench_upgrades_ = 0;
  DemoOptions demo_;
  std::optional<std::uint64_t> kills_;  // of `demo`
  bool plain_logs_ = false;
  bool simulated_ = false;
  bool shared_wal_ = false;  // of `demo` and of `bench wal`
  WalProcessOptions wal_process_;
};

}  // namespace
}  // namespace duramen::tools

int main(int argc, char** argv) {
  duramen::tools::InstallInterruptHandler();
  auto cli = std::make_unique<duramen::tools::Cli>();
  return cli->Main(argc, argv);
}
