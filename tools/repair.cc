#include "tools/repair.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "base/posix_io.h"
#include "base/thread_executor.h"
#include "base/try.h"
#include "log/repair.h"
#include "log/repair_journal.h"
#include "tools/half_repair.h"
#include "tools/interrupt.h"
#include "tools/read_only.h"
#include "tools/read_only_directory.h"
#include "tools/repair_plan.h"
#include "tools/server_names.h"
#include "tools/store_check.h"
#include "tools/system_check.h"
#include "tools/text.h"
#include "tools/verify.h"

namespace duramen::tools {
namespace {

constexpr char kLockName[] = "LOCK";

class Repair {
 public:
  Repair(const RepairVerbOptions& options, Terminal& terminal)
      : options_(options), terminal_(terminal) {}

  Result<ExitCode> Run() {
    TRY(CheckNotHeld(options_.path));  // Its plan would be of yesterday.
    const std::optional<HalfRepair> half = TRY(ReadHalfRepair(options_.path));
    if (options_.undo) return Undo(*options_.undo, half);
    if (half && !options_.apply) {
      return Error{ErrorCode::kRefused, SentenceOf(*half), NextOf(*half)};
    }
    if (half) TRY(FinishHalf(*half));
    ReadProgress progress(terminal_);
    std::optional<StoreImage> image =
        TRY(ReadStoreImage(options_.path, &progress, options_.wal_dir));
    if (image->path.empty() && !progress.stopped()) return NoDataDirectory();
    const CheckedStore checked = TRY(CheckStore(options_.path, *image, &progress));
    if (progress.stopped()) {
      return Error{
          ErrorCode::kRefused,
          half ? "interrupted; nothing else has changed" : "interrupted; nothing has changed", ""};
    }
    const ServerNames names = ServerNames::Of(*image, {});
    const RepairRequest request = Request();
    const RepairFacts facts = TRY(Facts(*image, checked, names));
    const RepairPlan plan = TRY(PlanRepair(facts, request));
    if (plan.steps.empty() || !options_.apply) return Propose(plan, names);
    const SystemUuid system = image->wal.system;
    image.reset();  // A file that is held open gives back no space when it is replaced.
    return Apply(plan, names, facts, system);
  }

 private:
  Error NoDataDirectory() const {
    return {ErrorCode::kInvalidArgument, options_.path + " is no data directory",
            "give the directory that holds SYSTEM and wal/"};
  }

  Status FinishHalf(const HalfRepair& half) {
    const std::unique_ptr<Directory> directory = TRY(file_system_.Open(options_.path));
    const std::unique_ptr<FileLock> lock = TRY(directory->Lock(kLockName));
    const Status finished = log::FinishPendingRepair(file_system_, *directory);
    if (!finished.ok()) return WithWayOut(finished.error());
    finished_ = half;
    if (half.undo) {
      terminal_.Say("finished the undo of repair " + half.id + ", which had been interrupted");
      return {};
    }
    undo_ids_.push_back(half.id);
    terminal_.Say("finished repair " + half.id + ", which had been interrupted; `duramen repair " +
                  options_.path + " --undo " + half.id + "` takes it back");
    return {};
  }

  /// What failed after the commit has left a store that is neither the old one nor the new one.
  Error WithWayOut(Error error) const {
    const auto half = ReadHalfRepair(options_.path);
    if (!half.ok() || !*half || (*half)->id.empty()) return error;
    const std::string command = "`duramen repair " + options_.path;
    error.message += "; " + SentenceOf(**half);
    if (!error.hint.empty()) error.hint += "; then ";
    error.hint += command + " --apply` goes on";
    if (!(*half)->undo) {
      error.hint += ", " + command + " --undo " + (*half)->id +
                    "` takes it back (with --force where it cannot go on)";
    }
    return error;
  }

  Result<ExitCode> Undo(const std::string& id, const std::optional<HalfRepair>& half) {
    const std::unique_ptr<Directory> directory = TRY(ReadOnlyDirectory::Open(options_.path));
    bool store = half.has_value();
    for (const DirectoryEntry& entry : TRY(directory->List())) {
      store = store || entry.name == kSystemName || entry.name == "wal";
    }
    if (!store) return NoDataDirectory();
    if (half && !half->id.empty() && half->id != id) {
      return Error{ErrorCode::kRefused, SentenceOf(*half) + ", which comes before any other undo",
                   NextOf(*half)};
    }
    TRY(CheckUndoable(*directory, id));
    const Result<std::string> kept =
        log::UndoRepair(options_.path, id, options_.force, file_system_);
    if (!kept.ok()) return WithWayOut(kept.error());
    const std::string verdict =
        kept->empty() ? "every file is as it was before the repair"
                      : "the old files are back, and what was written since is in quarantine";
    const Field facts[] = {{"undone", ColumnType::kText, id},
                           {"undo", ColumnType::kText, kept->empty() ? Cell{} : Cell{*kept}},
                           {"verdict", ColumnType::kText, verdict}};
    PrintFacts(terminal_, options_.output, "repair_undo", facts);
    if (!kept->empty() && options_.output.format == Format::kTable)
      terminal_.Out("undo: " + *kept + "\n");
    return ExitCode::kClean;
  }

  Status CheckUndoable(Directory& directory, const std::string& id) {
    std::string ids;
    bool undone = false;
    for (const log::RepairBundle& bundle :
         TRY(log::RepairJournal(file_system_, directory).List())) {
      const bool gone = bundle.state == log::RepairBundle::State::kUndone;
      if (bundle.id == id && !gone) return {};
      undone = undone || bundle.id == id;
      if (!gone) ids += (ids.empty() ? "" : ", ") + bundle.id;
    }
    return Error{ErrorCode::kInvalidArgument,
                 undone ? "repair '" + id + "' was undone already"
                        : "there is no repair '" + id + "' to undo in " + options_.path,
                 ids.empty() ? "there is no other one to undo either" : "those there are: " + ids};
  }

  /// However it was spelled: where a WAL shard lies tells of which system it is.
  Result<std::string> WholePath() const {
    std::error_code failed;
    const std::filesystem::path path = std::filesystem::canonical(options_.path, failed);
    if (!failed) return path.string();
    return Error{ErrorCode::kIo, options_.path + ": " + failed.message(),
                 "nothing has changed; see that every directory above it can be read"};
  }

  RepairRequest Request() const {
    RepairRequest request{.force = options_.force};
    if (options_.truncate) request = {RepairAction::kTruncate, *options_.truncate, options_.force};
    if (options_.fill) request.action = RepairAction::kFill;
    if (options_.rejoin) request.action = RepairAction::kRejoin;
    return request;
  }

  Result<RepairFacts> Facts(const StoreImage& image, const CheckedStore& checked,
                            const ServerNames& names) {
    RepairFacts facts{.path = options_.path, .strangers = Strangers(image)};
    for (const Attributed& one : checked.found) {
      RepairFinding finding{.kind = one.found.finding.kind,
                            .file = one.found.finding.file,
                            .failed_check = one.found.failed_check,
                            .acknowledged = one.found.acknowledged};
      for (const wal::TouchedLog& touched : one.touched) {
        finding.touched.push_back({touched.uid, touched.first, touched.last, touched.rows});
      }
      facts.findings.push_back(std::move(finding));
    }
    for (const auto& [uid, rows] : names.table().servers()) {
      if (!rows.deleted() && rows.faulty.faulty()) {
        facts.servers.push_back(ServerOf(uid, rows.faulty, checked, names));
      }
    }
    if (!options_.server.empty()) facts.target = TRY(Target(checked, names));
    return facts;
  }

  static RepairServer ServerOf(const ServerUid& uid, const meta::FaultyRow& fault,
                               const CheckedStore& checked, const ServerNames& names) {
    RepairServer server{.uid = uid, .name = names.NameOf(uid), .fault = fault};
    const auto range = checked.logs.find(uid);
    if (range != checked.logs.end()) {
      server.begin = range->second.begin;
      server.end = range->second.end;
    }
    return server;
  }

  Result<RepairServer> Target(const CheckedStore& checked, const ServerNames& names) const {
    const meta::Table& table = names.table();
    std::vector<ServerUid> alive;
    for (const ServerUid& uid : names.Find(options_.server)) {
      const meta::ServerRows* rows = table.Find(uid);
      if (rows == nullptr || !rows->deleted()) alive.push_back(uid);
    }
    // Of a name the newest incarnation, as a start takes it [C9].
    const auto newest = table.FindByName(options_.server);
    if (alive.size() > 1 && newest) alive = {*newest};
    if (alive.empty()) {
      const std::string near = names.Nearest(options_.server);
      return Error{ErrorCode::kInvalidArgument, "there is no server '" + options_.server + "'",
                   near.empty() ? "duramen names " + options_.path + " lists them"
                                : "did you mean '" + near + "'?"};
    }
    const meta::ServerRows* rows = table.Find(alive.front());
    return ServerOf(alive.front(), rows == nullptr ? meta::FaultyRow{} : rows->faulty, checked,
                    names);
  }

  /// What stands where our files do and is no file.
  std::vector<std::string> Strangers(const StoreImage& image) const {
    std::vector<std::string> found;
    const auto look = [&](const std::string& below) {
      const auto directory =
          file_system_.Open(below.empty() ? options_.path : options_.path + "/" + below);
      if (!directory.ok()) return;
      const auto entries = (*directory)->List();
      if (!entries.ok()) return;
      for (const DirectoryEntry& entry : *entries) {
        const bool folder = entry.is_directory && (below.empty() || below == log::kServersName);
        if (!entry.is_regular && !folder) {
          found.push_back(below.empty() ? entry.name : below + "/" + entry.name);
        }
      }
    };
    look("");
    look("wal");
    look(log::kMetaName);
    look(log::kServersName);
    if (image.state == nullptr) return found;
    for (const auto& [uid, server] : image.state->servers) {
      look(std::string(log::kServersName) + "/" + uid.ToString());
    }
    return found;
  }

  void Print(const RepairPlan& plan, const ServerNames& names, const std::string& verdict,
             std::span<const Field> summary) {
    Sheet sheet(terminal_, options_.output, "repair_step",
                {{"step", ColumnType::kText},
                 {"file", ColumnType::kText},
                 {"server", ColumnType::kText},
                 {"uid", ColumnType::kText, false},
                 {"first", ColumnType::kCount},
                 {"last", ColumnType::kCount},
                 {"sentence", ColumnType::kText}});
    for (const RepairStep& step : plan.steps) {
      std::vector<Cell> cells = {std::string(RepairStepName(step.kind)),
                                 Cell{},
                                 Cell{},
                                 Cell{},
                                 Cell{},
                                 Cell{},
                                 step.sentence};
      if (!step.file.empty()) cells[1] = step.file;
      if (!step.uid.is_nil()) {
        cells[2] = names.NameOf(step.uid);
        cells[3] = step.uid.ToString();
      }
      if (step.first != 0) cells[4] = step.first;
      if (step.last != 0) cells[5] = step.last;
      sheet.Add(cells);
    }
    sheet.Finish(verdict, summary);
    for (const std::string& next : plan.next) terminal_.Say("next: " + next);
  }

  /// `undo` is the last of the ids to undo, the first one that can be undone.
  std::vector<Field> SummaryOf(const RepairPlan& plan, bool applied,
                               const std::string& verdict) const {
    return {{"steps", ColumnType::kCount, std::uint64_t{plan.steps.size()}},
            {"applied", ColumnType::kFlag, applied},
            {"finished", ColumnType::kText, finished_ ? Cell{finished_->id} : Cell{}},
            {"undo", ColumnType::kText, undo_ids_.empty() ? Cell{} : Cell{undo_ids_.back()}},
            {"verdict", ColumnType::kText, verdict}};
  }

  void PrintUndo() {
    if (options_.output.format != Format::kTable) return;
    for (const std::string& id : undo_ids_) terminal_.Out("undo: " + id + "\n");
  }

  ExitCode Propose(const RepairPlan& plan, const ServerNames& names) {
    const bool nothing = plan.steps.empty();
    std::string verdict = nothing ? std::string("nothing to repair")
                                  : Plural(plan.steps.size(), "step") + "; nothing has changed yet";
    if (finished_) {
      verdict = std::string(finished_->undo ? "the undo of repair " : "repair ") + finished_->id +
                ", which had been interrupted, is finished; nothing else to repair";
    }
    Print(plan, names, verdict, SummaryOf(plan, finished_.has_value(), verdict));
    PrintUndo();
    if (nothing) return ExitCode::kClean;
    terminal_.Say("next: the same command with --apply does it; originals go to quarantine/ first");
    return ExitCode::kRefused;
  }

  Result<ExitCode> Apply(const RepairPlan& plan, const ServerNames& names, const RepairFacts& facts,
                         const SystemUuid& system) {
    const std::string whole_path = TRY(WholePath());
    log::RepairOptions repair{
        .data_dir = whole_path, .wal_dir = options_.wal_dir, .system = system};
    const RepairRequest request = Request();
    if (request.action != RepairAction::kNone) {
      log::MendRequest mend{
          .kind = request.action == RepairAction::kTruncate ? log::MendKind::kTruncate
                  : request.action == RepairAction::kFill   ? log::MendKind::kFill
                                                            : log::MendKind::kRejoin,
          .uid = facts.target->uid,
          .index = request.index,
          .healthy = request.force};
      repair.mend.requests.push_back(mend);
    }
    SystemClock clock;
    ThreadExecutor executor;
    const Result<log::RepairOutcome> repaired =
        log::RepairStore(repair, {file_system_, clock, executor, Rng::FromSystem()});
    if (!repaired.ok()) return WithWayOut(repaired.error());
    const log::RepairOutcome& outcome = *repaired;
    if (!outcome.id.empty()) undo_ids_.push_back(outcome.id);
    for (const log::MendedLog& log : outcome.mend.logs) {
      terminal_.Say(log.name + ": " + log.sentence);
    }
    for (const log::UnreadableOriginal& original : outcome.unreadable) {
      terminal_.Say(std::to_string(original.bytes) + " bytes of " + original.path +
                    " could not be read; its copy in quarantine/ has zeros there, and an undo puts "
                    "those back");
    }
    Terminal silent{Terminal::Captured{}};
    const ExitCode after =
        RunVerify({.path = options_.path, .output = {.format = Format::kJsonl}}, silent);
    std::string verdict = "nothing had to change";
    if (!outcome.id.empty()) {
      verdict = Plural(outcome.files, "file") + " changed, " + HumanBytes(outcome.bytes_kept) +
                " of originals in quarantine/" + outcome.id;
    }
    verdict += after == ExitCode::kClean ? "; verify is clean" : "; verify still finds something";
    Print(plan, names, verdict, SummaryOf(plan, true, verdict));
    PrintUndo();
    return after;
  }

  const RepairVerbOptions& options_;
  Terminal& terminal_;
  mutable PosixFileSystem file_system_;
  std::optional<HalfRepair> finished_;
  std::vector<std::string> undo_ids_;  // in the order in which they were done
};

}  // namespace

Status CheckUsage(const RepairVerbOptions& options) {
  const int actions =
      (options.truncate ? 1 : 0) + (options.fill ? 1 : 0) + (options.rejoin ? 1 : 0);
  const auto usage = [](const std::string& message) {
    return Error{ErrorCode::kInvalidArgument, message, "duramen repair --help"};
  };
  if (options.undo && (options.apply || actions > 0 || !options.server.empty())) {
    return usage("--undo stands alone: it takes back what a repair did");
  }
  if (options.undo && !log::IsRepairId(*options.undo)) {
    return usage("'" + *options.undo + "' is not an id of a repair");
  }
  if (actions > 1) return usage("one of --truncate, --fill and --rejoin at a time");
  if (actions > 0 && options.server.empty()) {
    return usage("--truncate, --fill and --rejoin need --server: whose entries are they");
  }
  if (actions == 0 && !options.server.empty()) {
    return usage("--server needs --truncate INDEX, --fill or --rejoin: what is to be done");
  }
  if (options.force && actions == 0 && !options.undo) {
    return usage("--force belongs to --truncate, --fill, --rejoin or --undo");
  }
  if (!options.wal_dir.empty() && !options.wal_dir.starts_with('/')) {
    return usage("--wal-dir '" + options.wal_dir +
                 "' is not absolute: it is what wal_dir was set to");
  }
  if (options.truncate == Index{0}) return usage("--truncate takes an index from 1 on");
  return {};
}

ExitCode RunRepair(const RepairVerbOptions& options, Terminal& terminal) {
  const Status usage = CheckUsage(options);
  const Result<ExitCode> exit = usage.ok() ? Repair(options, terminal).Run() : usage.error();
  if (!exit.ok()) terminal.Complain(exit.error());
  const Status flushed = terminal.Flush();
  if (!flushed.ok()) {
    terminal.Complain(flushed.error());
    return ExitCodeOf(flushed.error().code);
  }
  if (exit.ok()) return *exit;
  return Interrupted() ? ExitCode::kInterrupted : ExitCodeOf(exit.error().code);
}

}  // namespace duramen::tools
