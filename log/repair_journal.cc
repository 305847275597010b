#include "log/repair_journal.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/try.h"
#include "log/durable_state.h"
#include "log/file_copy.h"
#include "log/repair_rollback.h"
#include "log/repair_steps.h"
#include "log/system_file.h"

namespace duramen::log {
namespace {

constexpr char kLockName[] = "LOCK";
constexpr char kPendingName[] = "PENDING";
constexpr char kPlanName[] = "plan";
constexpr char kJournalName[] = "journal";
constexpr char kUndoneName[] = "undone";
constexpr char kOldName[] = "old";
constexpr char kNewName[] = "new";
constexpr char kUndoSuffix[] = "-undo";

bool IsMissing(const Error& error) { return error.code == ErrorCode::kNotFound; }

/// Null where the store has none, or something else of that name, which is not ours.
Result<std::unique_ptr<Directory>> OpenQuarantine(const Directory& data_dir) {
  Result<std::unique_ptr<Directory>> opened = data_dir.OpenDirectory(kQuarantineName);
  if (!opened.ok() &&
      (IsMissing(opened.error()) || opened.error().code == ErrorCode::kInvalidArgument)) {
    return std::unique_ptr<Directory>();
  }
  return opened;
}

Error WithHint(Error error, const std::string& hint) {
  error.hint += (error.hint.empty() ? "" : "; ") + hint;
  return error;
}

Result<std::optional<PendingRepair>> ReadPending(const Directory& quarantine) {
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(quarantine, kPendingName);
  if (!bytes.ok() && IsMissing(bytes.error())) return std::optional<PendingRepair>();
  const std::string hint = "a repair was interrupted: restore '" + quarantine.path() +
                           "/PENDING', or remove it to go on with the files as they are now";
  if (!bytes.ok()) return WithHint(bytes.error(), hint);
  const Result<PendingRepair> pending = DecodePendingRepair(*bytes);
  if (!pending.ok()) return WithHint(pending.error(), hint);
  return std::optional<PendingRepair>(*pending);
}

struct Journal {
  RepairRecord record;
  std::string name;  // kPlanName, kJournalName or kUndoneName
};

/// Errors: kNotFound where the bundle has none.
Result<Journal> ReadJournal(const Directory& bundle, const std::string& id) {
  for (const char* name : {kJournalName, kPlanName, kUndoneName}) {
    const Result<std::vector<std::byte>> bytes =
        ReadSmallFile(bundle, name, kRepairJournalBytesMax);
    if (!bytes.ok() && IsMissing(bytes.error())) continue;
    if (!bytes.ok()) return bytes.error();
    Result<RepairRecord> record = DecodeRepairRecord(*bytes);
    if (!record.ok()) return record.error();
    if (record->id == id) return Journal{std::move(*record), name};
    return Error{ErrorCode::kCorruption,
                 "'" + bundle.path() + "/" + name + "' is of another repair", ""};
  }
  return Error{ErrorCode::kNotFound, "'" + bundle.path() + "' has no journal", ""};
}

/// Everything in `name`, and `name` itself if `whole`.
Status RemoveTree(Directory& parent, const std::string& name, bool whole) {
  {
    const Result<std::unique_ptr<Directory>> opened = parent.OpenDirectory(name);
    if (!opened.ok()) return IsMissing(opened.error()) ? Status() : Status(opened.error());
    for (const DirectoryEntry& entry : TRY((*opened)->List())) {
      TRY(entry.is_directory ? RemoveTree(**opened, entry.name, true)
                             : (*opened)->Remove(entry.name));
    }
  }
  return whole ? parent.RemoveDirectory(name) : Status();
}

/// What a bundle holds that nothing needs any more.
Status RemoveLeftovers(Directory& quarantine, const std::string& id) {
  bool committed = false;
  bool undone = false;
  bool strange = false;
  const std::unique_ptr<Directory> bundle = TRY(quarantine.OpenDirectory(id));
  for (const DirectoryEntry& entry : TRY(bundle->List())) {
    const std::string& name = entry.name;
    const bool staging = entry.is_directory ? name == kNewName || name == kOldName
                                            : name == kPlanName || name == "plan.tmp";
    committed = committed || name == kJournalName;
    undone = undone || name == kUndoneName;
    strange = strange || (!staging && name != kJournalName && name != kUndoneName);
  }
  if (strange) return {};  // Somebody keeps something there.
  if (!committed && !undone) return RemoveTree(quarantine, id, true);
  TRY(RemoveTree(*bundle, kNewName, false));
  return committed ? Status() : RemoveTree(*bundle, kOldName, false);
}

/// Collects the steps of a plan, and keeps the originals.
class Gathering {
 public:
  Gathering(FileSystem& file_system, const Directory& data_dir, const RepairJournal::Plan& plan)
      : plan_(plan), steps_(file_system, data_dir, record_) {
    record_.id = plan.id;
    record_.created_unix_ms = plan.created_unix_ms;
    record_.wal_dir = plan.wal_dir;
  }

  /// Everything in the record is durable in `bundle` then.
  Result<RepairRecord> Run(const Directory& bundle) {
    const std::unique_ptr<Directory> old = TRY(bundle.OpenDirectory(kOldName));
    const std::unique_ptr<Directory> fresh = TRY(bundle.OpenDirectory(kNewName));
    for (const OverlayChange& change : plan_.changes) TRY(Add(change, *old, *fresh));
    TRY(old->Sync());
    TRY(fresh->Sync());
    for (auto& [place, step] : by_place_) record_.steps.push_back(std::move(step));
    const bool inside = record_.wal_dir.empty();
    record_.wal_names = TRY(NamesAfter(inside ? 0 : 1, inside ? "wal" : ""));
    std::erase(record_.wal_names, kLockName);
    for (const std::string& server : TRY(NamesAfter(0, kServersName))) {
      const std::string path = std::string(kServersName) + "/" + server;
      record_.server_names.push_back(server);
      for (const std::string& name : TRY(NamesAfter(0, path))) {
        record_.server_names.push_back(server + "/" + name);
      }
    }
    return record_;
  }

  const std::vector<UnreadableOriginal>& unreadable() const { return unreadable_; }

 private:
  Status Add(const OverlayChange& change, Directory& old, const Directory& fresh) {
    RepairStep& step = by_place_[{change.root, change.path}];
    step.root = static_cast<std::uint8_t>(change.root);
    step.path = change.path;
    if (change.kind != OverlayChange::Kind::kAdded) TRY(Keep(step, old));
    if (change.kind == OverlayChange::Kind::kRemoved) return {};
    if (change.is_directory) {
      step.fresh.kind = RepairSide::Kind::kDirectory;
      return {};
    }
    const std::unique_ptr<File> file = TRY(fresh.Open(change.staged, OpenFor::kReadWrite));
    TRY(file->SyncAll());
    SetFile(step.fresh, TRY(SumOf(*file)), change.staged);
    return {};
  }

  Status Keep(RepairStep& step, Directory& old) {
    step.old.kind = TRY(steps_.Look(step)).kind;
    if (step.old.kind != RepairSide::Kind::kFile) return {};
    const std::unique_ptr<File> from = TRY(steps_.OpenFile(step));
    const std::string name = std::to_string(++kept_);
    const std::unique_ptr<File> copy = TRY(old.Create(name));
    const ContentSum copied = TRY(CopyContent(*from, *copy));
    SetFile(step.old, copied, name);
    if (copied.unreadable_bytes > 0) {
      unreadable_.push_back({PlaceOf(record_, step), copied.unreadable_bytes});
    }
    return copy->SyncAll();
  }

  static void SetFile(RepairSide& side, const ContentSum& sum, const std::string& copy) {
    side = {.kind = RepairSide::Kind::kFile,
            .size_bytes = sum.size_bytes,
            .checksum = sum.checksum,
            .copy = copy};
  }

  /// In the directory at that path once the steps are done, sorted.
  Result<std::vector<std::string>> NamesAfter(std::uint8_t root, const std::string& path) {
    std::set<std::string> names;
    for (const DirectoryEntry& entry : TRY(steps_.List(root, path))) names.insert(entry.name);
    const std::string below = path.empty() ? "" : path + "/";
    for (const RepairStep& step : record_.steps) {
      if (step.root != root || !step.path.starts_with(below)) continue;
      const std::string name = step.path.substr(below.size());
      if (name.find('/') != std::string::npos) continue;
      names.erase(name);
      if (step.fresh.kind != RepairSide::Kind::kAbsent) names.insert(name);
    }
    return std::vector<std::string>(names.begin(), names.end());
  }

  const RepairJournal::Plan& plan_;
  RepairRecord record_;
  RepairSteps steps_;
  std::map<std::pair<std::size_t, std::string>, RepairStep> by_place_;
  std::uint64_t kept_ = 0;
  std::vector<UnreadableOriginal> unreadable_;
};

/// What is put in place is written beside what it replaces, after the commit: room that is missing
/// then would leave half a repair behind [B3].
Status CheckSpace(FileSystem& file_system, const Directory& data_dir, const RepairRecord& record) {
  constexpr std::uint64_t kMarginBytes = 1u << 20;  // directories, PENDING, the plan
  std::uint64_t needed[kRepairRootsMax] = {};
  for (const RepairStep& step : record.steps) {
    std::uint64_t& sum = needed[step.root];
    sum += std::min(step.fresh.size_bytes, UINT64_MAX / 2 - sum);
  }
  for (std::size_t root = 0; root < kRepairRootsMax; ++root) {
    if (needed[root] == 0) continue;
    const std::string path = root == 0 ? data_dir.path() : record.wal_dir;
    const std::unique_ptr<Directory> place = TRY(file_system.Open(path));
    const std::uint64_t wanted = needed[root] + kMarginBytes;
    const std::uint64_t free = place->FreeBytes();
    if (free >= wanted) continue;
    return Error{ErrorCode::kDiskFull,
                 "the repair needs " + std::to_string(wanted) + " bytes on the file system of '" +
                     path + "' once the originals are kept, and " + std::to_string(free) +
                     " are free",
                 "free space there and repeat; nothing has changed"};
  }
  return {};
}

Result<std::vector<UnreadableOriginal>> WritePlan(FileSystem& file_system,
                                                  const Directory& data_dir, Directory& quarantine,
                                                  const RepairJournal::Plan& plan) {
  const std::unique_ptr<Directory> bundle = TRY(quarantine.OpenDirectory(plan.id));
  Gathering gathering(file_system, data_dir, plan);
  const RepairRecord record = TRY(gathering.Run(*bundle));
  const std::vector<std::byte> bytes = EncodeRepairRecord(record);
  if (bytes.size() > kRepairJournalBytesMax) {
    return Error{ErrorCode::kTooLarge, "the journal of this repair would be too large", ""};
  }
  TRY(DecodeRepairRecord(bytes));  // What could not be read back could not be undone.
  TRY(CheckSpace(file_system, data_dir, record));
  TRY(ReplaceFile(*bundle, kPlanName, bytes));
  return gathering.unreadable();
}

/// Makes PENDING durable, or sees to it that there is none.
Status WritePending(Directory& quarantine, const PendingRepair& pending) {
  const Status written = ReplaceFile(quarantine, kPendingName, EncodePendingRepair(pending));
  if (written.ok()) return {};
  Status taken_back = RemoveIfThere(quarantine, kPendingName);
  if (taken_back.ok()) taken_back = quarantine.Sync();
  if (taken_back.ok()) return written;
  return Error{ErrorCode::kIo,
               written.error().message + "; '" + quarantine.path() +
                   "/PENDING' could not be taken back: " + taken_back.error().message,
               "if it is still there, the next start carries it out"};
}

Result<bool> IsPending(const Directory& quarantine) {
  const Result<std::unique_ptr<File>> file = quarantine.Open(kPendingName, OpenFor::kRead);
  if (file.ok()) return true;
  if (IsMissing(file.error())) return false;
  return file.error();
}

/// Nothing but what the repair has left.
Status CheckUnchanged(RepairSteps& steps, const RepairRecord& record) {
  const auto refusal = [](const std::string& what) {
    return Error{
        ErrorCode::kRefused, "the store has changed since the repair: " + what,
        "--force puts the old files back all the same; what was written since goes, and is "
        "kept in quarantine"};
  };
  for (const RepairStep& step : record.steps) {
    const RepairSide now = TRY(steps.Look(step));
    const bool same = now.kind == step.fresh.kind && now.size_bytes == step.fresh.size_bytes &&
                      now.checksum == step.fresh.checksum;
    if (!same) return refusal("'" + PlaceOf(record, step) + "' is not as the repair left it");
    if (step.fresh.kind != RepairSide::Kind::kDirectory || step.old.kind == step.fresh.kind) {
      continue;
    }
    for (const DirectoryEntry& entry : TRY(steps.List(step.root, step.path))) {
      const std::string path = step.path + "/" + entry.name;
      const auto is_it = [&](const RepairStep& other) {
        return other.root == step.root && other.path == path;
      };
      if (std::ranges::none_of(record.steps, is_it)) {
        return refusal("'" + PlaceOf(record, step) + "' holds '" + entry.name + "'");
      }
    }
  }
  if (TRY(steps.WalNames()) != record.wal_names) {
    return refusal("other files are in its WAL directory, so it was started");
  }
  return {};
}

Status CheckCopies(const RepairRecord& record, const Directory& old) {
  for (const RepairStep& step : record.steps) {
    if (step.old.kind != RepairSide::Kind::kFile) continue;
    const std::unique_ptr<File> copy = TRY(old.Open(step.old.copy, OpenFor::kRead));
    if (TRY(SumOf(*copy)) == ContentSum{step.old.size_bytes, step.old.checksum}) continue;
    return Error{ErrorCode::kCorruption,
                 "the copy of '" + PlaceOf(record, step) + "' in '" + old.path() +
                     "' is damaged, so this repair cannot be undone",
                 "nothing has changed"};
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Directory>> RepairJournal::Begin(const std::string& id) {
  if (!IsRepairId(id)) {
    return Error{ErrorCode::kInvalidArgument, "'" + id + "' is not an id of a repair",
                 "1 to 64 of a-z, A-Z, 0-9, - and _"};
  }
  const Status made = data_dir_.CreateDirectory(kQuarantineName);
  if (!made.ok() && made.error().code != ErrorCode::kAlreadyExists) return made.error();
  TRY(data_dir_.Sync());
  const std::unique_ptr<Directory> quarantine = TRY(data_dir_.OpenDirectory(kQuarantineName));
  // No PENDING may come back after what it needs was removed.
  TRY(quarantine->Sync());
  if (TRY(IsPending(*quarantine))) {
    return Error{ErrorCode::kInUse, "another repair of this store is not finished",
                 "start the store, or finish that repair"};
  }
  for (const DirectoryEntry& entry : TRY(quarantine->List())) {
    if (entry.is_directory && IsRepairId(entry.name)) {
      TRY(RemoveLeftovers(*quarantine, entry.name));
    }
  }
  TRY(quarantine->CreateDirectory(id));
  const std::unique_ptr<Directory> bundle = TRY(quarantine->OpenDirectory(id));
  for (const char* name : {kNewName, kOldName}) TRY(bundle->CreateDirectory(name));
  TRY(bundle->Sync());
  TRY(quarantine->Sync());
  return bundle->OpenDirectory(kNewName);
}

Status RepairJournal::Discard(const std::string& id) {
  const std::unique_ptr<Directory> quarantine = TRY(data_dir_.OpenDirectory(kQuarantineName));
  TRY(quarantine->Sync());  // As in Begin.
  if (TRY(IsPending(*quarantine))) {
    return Error{ErrorCode::kInUse, "a repair is pending, so nothing is discarded", ""};
  }
  return RemoveLeftovers(*quarantine, id);
}

Status RepairJournal::Commit(const Plan& plan) {
  const std::unique_ptr<Directory> quarantine = TRY(data_dir_.OpenDirectory(kQuarantineName));
  if (TRY(IsPending(*quarantine))) {
    return Error{ErrorCode::kInUse, "another repair of this store is not finished",
                 "start the store, or finish that repair"};
  }
  Result<std::vector<UnreadableOriginal>> planned =
      WritePlan(file_system_, data_dir_, *quarantine, plan);
  if (planned.ok()) unreadable_ = std::move(*planned);
  const Status committed =
      planned.ok() ? WritePending(*quarantine, {.id = plan.id}) : Status(planned.error());
  // Which it refuses as long as PENDING is there or may come back.
  if (!committed.ok()) (void)Discard(plan.id);
  return committed;
}

Status RepairJournal::Finish() {
  const std::unique_ptr<Directory> quarantine = TRY(OpenQuarantine(data_dir_));
  if (quarantine == nullptr) return {};
  // What is acted on must be durable: PENDING, so that half a repair is always finished, and its
  // absence, so that a finished one is not carried out again over what is written from now on.
  TRY(quarantine->Sync());
  const std::optional<PendingRepair> pending = TRY(ReadPending(*quarantine));
  if (!pending) return {};
  const bool apply = pending->direction == RepairDirection::kApply;
  const std::string way_out = "the originals are in '" + quarantine->path() + "/" + pending->id +
                              "/old'; remove '" + quarantine->path() +
                              "/PENDING' to go on with the files as they are now";
  const Result<std::unique_ptr<Directory>> opened = quarantine->OpenDirectory(pending->id);
  if (!opened.ok()) return WithHint(opened.error(), way_out);
  Directory* const bundle = opened->get();
  const Result<Journal> journal = ReadJournal(*bundle, pending->id);
  if (!journal.ok()) return WithHint(journal.error(), way_out);
  if (apply && journal->name == kPlanName) TRY(bundle->Rename(kPlanName, kJournalName));
  if (journal->name != kUndoneName) {
    const std::unique_ptr<Directory> copies =
        TRY(bundle->OpenDirectory(apply ? kNewName : kOldName));
    const Status carried =
        RepairSteps(file_system_, data_dir_, journal->record).Carry(pending->direction, *copies);
    if (!carried.ok()) {
      return WithHint(carried.error(), "try again; repair --undo " + pending->id +
                                           " --force puts the old files back");
    }
  }
  if (!apply && journal->name != kUndoneName) TRY(bundle->Rename(journal->name, kUndoneName));
  TRY(bundle->Sync());  // Also of a name that an interrupted run has left in the page cache.
  TRY(quarantine->Remove(kPendingName));
  TRY(quarantine->Sync());
  (void)RemoveLeftovers(*quarantine, pending->id);  // Else the next Begin does.
  return {};
}

Result<std::string> RepairJournal::Undo(const std::string& id, bool force) {
  const Error unknown{ErrorCode::kNotFound, "there is no repair '" + id + "' to undo here", ""};
  const std::unique_ptr<Directory> quarantine = TRY(OpenQuarantine(data_dir_));
  if (quarantine == nullptr || !IsRepairId(id)) return unknown;
  const std::optional<PendingRepair> pending = TRY(ReadPending(*quarantine));
  bool stuck = false;
  if (pending) {
    const bool same = pending->id == id;
    const bool undoing = pending->direction == RepairDirection::kUndo;
    const Status finished = Finish();
    stuck = !finished.ok() && force && same && !undoing;
    if (!finished.ok() && !stuck) return finished.error();
    if (same && undoing) return std::string();
  }
  const Result<std::unique_ptr<Directory>> bundle = quarantine->OpenDirectory(id);
  if (!bundle.ok()) return IsMissing(bundle.error()) ? unknown : bundle.error();
  const Result<Journal> journal = ReadJournal(**bundle, id);
  if (!journal.ok()) return IsMissing(journal.error()) ? unknown : journal.error();
  if (journal->name == kUndoneName) {
    return Error{ErrorCode::kNotFound, "the repair '" + id + "' was undone already", ""};
  }
  if (journal->name == kPlanName && !stuck) return unknown;  // It changed nothing.
  RepairSteps steps(file_system_, data_dir_, journal->record);
  const Status unchanged = stuck ? Status() : CheckUnchanged(steps, journal->record);
  const bool changed = !unchanged.ok() && unchanged.error().code == ErrorCode::kRefused;
  if (!unchanged.ok() && !(changed && force)) return unchanged.error();
  const std::unique_ptr<Directory> old = TRY((*bundle)->OpenDirectory(kOldName));
  TRY(CheckCopies(journal->record, *old));
  if (changed) return RollBack(journal->record, *old);
  const PendingRepair undo{.id = id, .direction = RepairDirection::kUndo};
  // Where the repair is stuck half way one PENDING follows the other: there is always one.
  TRY(stuck ? ReplaceFile(*quarantine, kPendingName, EncodePendingRepair(undo))
            : WritePending(*quarantine, undo));
  TRY(Finish());
  return std::string();
}

Result<std::string> RepairJournal::RollBack(const RepairRecord& record, const Directory& old) {
  std::string id = record.id + kUndoSuffix;
  for (const RepairBundle& bundle : TRY(List())) {
    if (bundle.id == id && bundle.state != RepairBundle::State::kUndone) {
      return Error{ErrorCode::kRefused, "the repair '" + record.id + "' was undone already",
                   "--undo " + id + " takes that back"};
    }
    if (bundle.id == id) id += "-";
  }
  const std::unique_ptr<Directory> staging = TRY(Begin(id));
  Result<std::vector<OverlayChange>> changes =
      PlanRollback(record, {file_system_, data_dir_, old, *staging});
  if (!changes.ok()) {
    (void)Discard(id);
    return std::move(changes).error();
  }
  if (changes->empty()) {
    TRY(Discard(id));
    return std::string();
  }
  TRY(Commit({.id = id,
              .wal_dir = record.wal_dir,
              .created_unix_ms = record.created_unix_ms,
              .changes = std::move(*changes)}));
  TRY(Finish());
  return id;
}

Result<std::vector<RepairBundle>> RepairJournal::List() {
  std::vector<RepairBundle> bundles;
  const std::unique_ptr<Directory> quarantine = TRY(OpenQuarantine(data_dir_));
  if (quarantine == nullptr) return bundles;
  const std::optional<PendingRepair> pending = TRY(ReadPending(*quarantine));
  for (const DirectoryEntry& entry : TRY(quarantine->List())) {
    if (!entry.is_directory || !IsRepairId(entry.name)) continue;
    RepairBundle bundle;
    bundle.id = entry.name;
    const bool is_pending = pending && pending->id == entry.name;
    const std::unique_ptr<Directory> directory = TRY(quarantine->OpenDirectory(entry.name));
    const Result<Journal> journal = ReadJournal(*directory, entry.name);
    if (!journal.ok() && IsMissing(journal.error())) continue;
    if (journal.ok()) {
      if (journal->name == kPlanName && !is_pending) continue;
      bundle.created_unix_ms = journal->record.created_unix_ms;
      bundle.steps = journal->record.steps.size();
      bundle.state = journal->name == kUndoneName ? RepairBundle::State::kUndone
                                                  : RepairBundle::State::kApplied;
      if (is_pending) {
        bundle.state = pending->direction == RepairDirection::kApply
                           ? RepairBundle::State::kApplying
                           : RepairBundle::State::kUndoing;
      }
    }
    bundles.push_back(std::move(bundle));
  }
  return bundles;
}

Status FinishPendingRepair(FileSystem& file_system, Directory& data_dir) {
  return RepairJournal(file_system, data_dir).Finish();
}

}  // namespace duramen::log
