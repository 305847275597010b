#include "log/repair_rollback.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/try.h"
#include "log/durable_state.h"
#include "log/file_copy.h"
#include "log/repair_steps.h"

namespace duramen::log {
namespace {

using Kind = RepairSide::Kind;

class Rollback {
 public:
  Rollback(const RepairRecord& record, const RollbackPlaces& places)
      : record_(record),
        places_(places),
        steps_(places.file_system, places.data_dir, record),
        wal_root_(record.wal_dir.empty() ? 0 : 1),
        wal_path_(record.wal_dir.empty() ? "wal" : "") {}

  Result<std::vector<OverlayChange>> Run() {
    for (const RepairStep& step : record_.steps) TRY(PutBack(step));
    if (wal_steps_.empty()) return std::move(changes_);
    TRY(RemoveLaterWal());
    TRY(RemoveLaterServers());
    return std::move(changes_);
  }

 private:
  Status PutBack(const RepairStep& step) {
    if (const std::string name = WalNameOf(step); !name.empty()) wal_steps_.insert(name);
    const RepairSide now = TRY(steps_.Look(step));
    const RepairSide& target = step.old;
    if (now.kind == target.kind && now.size_bytes == target.size_bytes &&
        now.checksum == target.checksum) {
      if (target.kind == Kind::kFile) came_back_.insert(WalNameOf(step));
      return {};
    }
    if (target.kind == Kind::kAbsent) return Remove(step.root, step.path, now.kind);
    if (now.kind == Kind::kDirectory) TRY(RemoveContents(step.root, step.path));
    OverlayChange change{.root = step.root, .path = step.path};
    change.kind =
        now.kind == Kind::kAbsent ? OverlayChange::Kind::kAdded : OverlayChange::Kind::kReplaced;
    change.is_directory = target.kind == Kind::kDirectory;
    if (target.kind == Kind::kFile) {
      change.staged = TRY(Stage(target.copy));
      came_back_.insert(WalNameOf(step));
    }
    changes_.push_back(std::move(change));
    return {};
  }

  /// Of a WAL file: "3.wal"; else nothing.
  std::string WalNameOf(const RepairStep& step) const {
    const std::string below = wal_path_.empty() ? "" : wal_path_ + "/";
    if (step.root != wal_root_ || !step.path.starts_with(below)) return "";
    const std::string name = step.path.substr(below.size());
    return IsWalName(name) ? name : "";
  }
  static bool IsWalName(std::string_view name) {
    return name.ends_with(".wal") && name.find('/') == std::string_view::npos;
  }

  Result<std::string> Stage(const std::string& copy) {
    const std::unique_ptr<File> from = TRY(places_.old.Open(copy, OpenFor::kRead));
    std::string name = std::to_string(++staged_);
    const std::unique_ptr<File> to = TRY(places_.staging.Create(name));
    TRY(CopyContent(*from, *to));
    return name;
  }

  Status Remove(std::uint8_t root, const std::string& path, Kind kind) {
    if (!removed_.insert({root, path}).second) return {};
    changes_.push_back({.root = root,
                        .path = path,
                        .kind = OverlayChange::Kind::kRemoved,
                        .is_directory = kind == Kind::kDirectory});
    return kind == Kind::kDirectory ? RemoveContents(root, path) : Status();
  }

  Status RemoveContents(std::uint8_t root, const std::string& path) {
    for (const DirectoryEntry& entry : TRY(steps_.List(root, path))) {
      const std::string inside = path + "/" + entry.name;
      if (!entry.is_directory && !entry.is_regular) {
        return Error{ErrorCode::kRefused,
                     "'" + inside + "' is neither a file nor a directory, and '" + path +
                         "' was not there before the repair",
                     "move it out of the store, and undo again"};
      }
      TRY(Remove(root, inside, entry.is_directory ? Kind::kDirectory : Kind::kFile));
    }
    return {};
  }

  /// The chain of WAL files is read from the newest: one that is newer would hide the old ones.
  Status RemoveLaterWal() {
    const std::vector<DirectoryEntry> now = TRY(steps_.List(wal_root_, wal_path_));
    std::set<std::string> left_alone;
    for (const std::string& name : record_.wal_names) {
      if (IsWalName(name) && !wal_steps_.contains(name)) left_alone.insert(name);
    }
    for (const DirectoryEntry& entry : now) {
      const bool known = left_alone.erase(entry.name) > 0 || came_back_.contains(entry.name);
      if (known || !IsWalName(entry.name)) continue;
      const std::string path = wal_path_.empty() ? entry.name : wal_path_ + "/" + entry.name;
      TRY(Remove(wal_root_, path, entry.is_directory ? Kind::kDirectory : Kind::kFile));
    }
    if (left_alone.empty()) return {};
    return Gone(*left_alone.begin(), "the old WAL cannot come back");
  }

  /// Logs that were made since: the old rows do not know them. What they do know has to be there.
  Status RemoveLaterServers() {
    std::set<std::string> left_alone(record_.server_names.begin(), record_.server_names.end());
    std::set<std::string> known = left_alone;
    for (const RepairStep& step : record_.steps) {
      known.insert(BelowServers(step));
      left_alone.erase(BelowServers(step));
    }
    for (const DirectoryEntry& entry : TRY(steps_.List(0, kServersName))) {
      const std::string path = std::string(kServersName) + "/" + entry.name;
      left_alone.erase(entry.name);
      if (!entry.is_directory) continue;
      if (!known.contains(entry.name)) {
        TRY(Remove(0, path, Kind::kDirectory));
        continue;
      }
      for (const DirectoryEntry& inside : TRY(steps_.List(0, path))) {
        left_alone.erase(entry.name + "/" + inside.name);
      }
    }
    if (left_alone.empty()) return {};
    return Gone(std::string(kServersName) + "/" + *left_alone.begin(),
                "entries of its log cannot come back");
  }
  static std::string BelowServers(const RepairStep& step) {
    const std::string below = std::string(kServersName) + "/";
    if (step.root != 0 || !step.path.starts_with(below)) return "";
    return step.path.substr(below.size());
  }

  Error Gone(const std::string& path, const std::string& consequence) const {
    return {ErrorCode::kRefused,
            "'" + path + "', which the repair had left alone, is gone: " + consequence,
            "the originals are in quarantine/" + record_.id + "/old"};
  }

  const RepairRecord& record_;
  const RollbackPlaces& places_;
  RepairSteps steps_;
  std::uint8_t wal_root_;
  std::string wal_path_;
  std::vector<OverlayChange> changes_;
  std::set<std::pair<std::uint8_t, std::string>> removed_;
  std::set<std::string> wal_steps_;  // WAL files that the repair touched
  std::set<std::string> came_back_;  // files that are there afterwards as they were before it
  std::uint64_t staged_ = 0;
};

}  // namespace

Result<std::vector<OverlayChange>> PlanRollback(const RepairRecord& record,
                                                const RollbackPlaces& places) {
  return Rollback(record, places).Run();
}

}  // namespace duramen::log
