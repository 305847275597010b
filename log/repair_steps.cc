#include "log/repair_steps.h"

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "log/file_copy.h"
#include "log/system_file.h"

namespace duramen::log {
namespace {

constexpr char kTemporarySuffix[] = ".repair-tmp";
constexpr char kWalName[] = "wal";
constexpr char kLockName[] = "LOCK";

using Kind = RepairSide::Kind;

std::string NameOf(const RepairStep& step) {
  const std::size_t slash = step.path.rfind('/');
  return slash == std::string::npos ? step.path : step.path.substr(slash + 1);
}

std::string ParentPathOf(const RepairStep& step) {
  const std::size_t slash = step.path.rfind('/');
  return slash == std::string::npos ? "" : step.path.substr(0, slash);
}

/// A file's size and checksum are left out.
Result<Kind> KindOf(const Directory& parent, const std::string& name) {
  const Result<std::unique_ptr<Directory>> directory = parent.OpenDirectory(name);
  if (directory.ok()) return Kind::kDirectory;
  if (directory.error().code == ErrorCode::kNotFound) return Kind::kAbsent;
  if (directory.error().code != ErrorCode::kInvalidArgument) return directory.error();
  const Result<std::unique_ptr<File>> file = parent.Open(name, OpenFor::kRead);
  if (!file.ok()) return file.error();
  return Kind::kFile;
}

const RepairSide& TargetOf(const RepairStep& step, RepairDirection direction) {
  return direction == RepairDirection::kApply ? step.fresh : step.old;
}

}  // namespace

std::string PlaceOf(const RepairRecord& record, const RepairStep& step) {
  return step.root == 0 ? step.path : record.wal_dir + "/" + step.path;
}

std::string RepairSteps::RootPath(std::size_t root) const {
  return root == 0 ? data_dir_.path() : record_.wal_dir;
}

/// Null where there is no such directory, or a file in its place.
Result<Directory*> RepairSteps::ParentOf(const RepairStep& step) {
  const std::string place = std::to_string(step.root) + ":" + ParentPathOf(step);
  if (parent_ != nullptr && parent_place_ == place) return parent_.get();
  parent_ = nullptr;
  // A root that is missing is no reason to take its steps for done.
  std::unique_ptr<Directory> directory = TRY(file_system_.Open(RootPath(step.root)));
  const std::string path = ParentPathOf(step);
  std::string_view rest = path;
  while (!rest.empty()) {  // Name by name, so that no symlink is followed.
    const std::size_t end = std::min(rest.find('/'), rest.size());
    Result<std::unique_ptr<Directory>> child = directory->OpenDirectory(rest.substr(0, end));
    if (!child.ok() && (child.error().code == ErrorCode::kNotFound ||
                        child.error().code == ErrorCode::kInvalidArgument)) {
      return static_cast<Directory*>(nullptr);
    }
    directory = TRY(std::move(child));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  parent_ = std::move(directory);
  parent_place_ = place;
  return parent_.get();
}

Result<std::unique_ptr<File>> RepairSteps::OpenFile(const RepairStep& step) {
  const Directory* parent = TRY(ParentOf(step));
  if (parent == nullptr) {
    return Error{ErrorCode::kNotFound, "'" + PlaceOf(record_, step) + "' is not there", ""};
  }
  return parent->Open(NameOf(step), OpenFor::kRead);
}

Result<RepairSide> RepairSteps::Look(const RepairStep& step) {
  RepairSide found;
  const Directory* parent = TRY(ParentOf(step));
  if (parent == nullptr) return found;
  found.kind = TRY(KindOf(*parent, NameOf(step)));
  if (found.kind != Kind::kFile) return found;
  const std::unique_ptr<File> file = TRY(OpenFile(step));
  const ContentSum sum = TRY(SumOf(*file));
  found.size_bytes = sum.size_bytes;
  found.checksum = sum.checksum;
  return found;
}

Status RepairSteps::Carry(RepairDirection direction, const Directory& copies) {
  TRY(CheckWalDirectory());
  parent_ = nullptr;
  // Backwards: what is in a directory goes before it.
  for (auto step = record_.steps.rbegin(); step != record_.steps.rend(); ++step) {
    TRY(Clear(*step, TargetOf(*step, direction).kind));
  }
  parent_ = nullptr;  // It may be another directory by now.
  for (const RepairStep& step : record_.steps) TRY(Put(step, direction, copies));
  return SyncParents();
}

/// Removes what has to go, and what an interrupted run has left.
Status RepairSteps::Clear(const RepairStep& step, Kind wanted) {
  Directory* parent = TRY(ParentOf(step));
  if (parent == nullptr) return {};
  const std::string name = NameOf(step);
  TRY(RemoveIfThere(*parent, name + kTemporarySuffix));
  const Kind now = TRY(KindOf(*parent, name));
  if (now == Kind::kAbsent || now == wanted) return {};
  return now == Kind::kFile ? parent->Remove(name) : parent->RemoveDirectory(name);
}

Status RepairSteps::Put(const RepairStep& step, RepairDirection direction,
                        const Directory& copies) {
  const RepairSide& target = TargetOf(step, direction);
  if (target.kind == Kind::kAbsent) return {};
  const RepairSide now = TRY(Look(step));
  Directory* parent = TRY(ParentOf(step));
  if (parent == nullptr) {
    return Error{ErrorCode::kNotFound,
                 "the directory of '" + PlaceOf(record_, step) + "' is not there", ""};
  }
  const std::string name = NameOf(step);
  if (target.kind == Kind::kDirectory) {
    return now.kind == Kind::kDirectory ? Status() : parent->CreateDirectory(name);
  }
  if (now.kind == Kind::kFile && now.size_bytes == target.size_bytes &&
      now.checksum == target.checksum) {
    return {};
  }
  const std::string temporary = name + kTemporarySuffix;
  const std::unique_ptr<File> from = TRY(copies.Open(target.copy, OpenFor::kRead));
  const std::unique_ptr<File> to = TRY(parent->Create(temporary));
  // The store counts on space behind its files; what is put back may have been a hole of any size.
  if (direction == RepairDirection::kApply) TRY(to->Allocate(target.size_bytes));
  const ContentSum copied = TRY(CopyContent(*from, *to));
  if (copied != ContentSum{target.size_bytes, target.checksum}) {
    (void)parent->Remove(temporary);
    return Error{ErrorCode::kCorruption,
                 "the copy of '" + PlaceOf(record_, step) + "' in '" + copies.path() +
                     "' is not what the journal says",
                 ""};
  }
  TRY(to->SyncAll());
  return parent->Rename(temporary, name);
}

/// Also of what an interrupted run has changed.
Status RepairSteps::SyncParents() {
  std::string synced;
  for (const RepairStep& step : record_.steps) {
    Directory* parent = TRY(ParentOf(step));
    if (parent == nullptr || parent_place_ == synced) continue;
    TRY(parent->Sync());
    synced = parent_place_;
  }
  return {};
}

Result<std::vector<DirectoryEntry>> RepairSteps::List(std::uint8_t root, const std::string& path) {
  RepairStep inside;
  inside.root = root;
  inside.path = path.empty() ? "-" : path + "/-";
  const Directory* directory = TRY(ParentOf(inside));
  if (directory == nullptr) return std::vector<DirectoryEntry>();
  return directory->List();
}

Result<std::vector<std::string>> RepairSteps::WalNames() {
  const bool inside = record_.wal_dir.empty();
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : TRY(List(inside ? 0 : 1, inside ? kWalName : ""))) {
    if (entry.name != kLockName) names.push_back(entry.name);
  }
  return names;
}

/// An empty mount point must not pass for a WAL directory whose files are gone [A14].
Status RepairSteps::CheckWalDirectory() {
  const auto is_it = [](const RepairStep& step) { return NameOf(step) == kIdentityName; };
  const auto has = [](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), kIdentityName) != names.end();
  };
  if (std::any_of(record_.steps.begin(), record_.steps.end(), is_it)) return {};
  if (!has(record_.wal_names) || has(TRY(WalNames()))) return {};
  return Error{ErrorCode::kNotFound,
               "the WAL directory has no IDENTITY any more: it is not the one that is repaired",
               "mount or restore the directory that belongs to this system"};
}

}  // namespace duramen::log
