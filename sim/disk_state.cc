#include "sim/disk_state.h"

#include <algorithm>

#include "base/check.h"

namespace duramen::sim {

const char* OpKindName(OpKind kind) {
  static constexpr const char* kNames[] = {
      "create",       "mkdir",      "write",     "allocate", "truncate",       "rename",
      "remove",       "rmdir",      "sync data", "sync all", "sync directory", "sync file system",
      "write direct", "direct done"};
  return kNames[static_cast<std::size_t>(kind)];
}

bool IsDataChange(OpKind kind) {
  return kind == OpKind::kWrite || kind == OpKind::kAllocate || kind == OpKind::kTruncate;
}

bool IsNameChange(OpKind kind) {
  return kind == OpKind::kCreate || kind == OpKind::kMakeDirectory || kind == OpKind::kRename ||
         kind == OpKind::kRemove || kind == OpKind::kRemoveDirectory;
}

bool IsWrite(OpKind kind) { return kind == OpKind::kWrite || kind == OpKind::kWriteDirect; }

bool IsSync(OpKind kind) {
  return kind == OpKind::kSyncData || kind == OpKind::kSyncAll || kind == OpKind::kSyncDirectory ||
         kind == OpKind::kSyncFileSystem;
}

std::string Describe(const Op& op) {
  std::string text = std::string(OpKindName(op.kind)) + " node " + std::to_string(op.node);
  if (!op.name.empty()) text += " '" + op.name + "' in " + std::to_string(op.directory);
  if (!op.to.empty()) text += " to '" + op.to + "'";
  if (IsWrite(op.kind)) {
    text += " [" + std::to_string(op.offset) + ", " + std::to_string(op.offset + op.bytes->size()) +
            ")";
  }
  if (op.size_bytes > 0) text += " size " + std::to_string(op.size_bytes);
  return op.failed ? text + " (failed)" : text;
}

std::size_t SectorCount(const Op& op) {
  if (!IsWrite(op.kind) || op.bytes->empty()) return 0;
  const std::uint64_t first = op.offset / kSectorBytes;
  const std::uint64_t last = (op.offset + op.bytes->size() - 1) / kSectorBytes;
  return last - first + 1;
}

void ApplyChange(Image& image, const Op& op) {
  switch (op.kind) {
    case OpKind::kCreate:
      image.MakeFile(op.node);
      image.Link(op.directory, op.name, op.node);
      return;
    case OpKind::kMakeDirectory:
      image.MakeDirectory(op.node);
      image.Link(op.directory, op.name, op.node);
      return;
    case OpKind::kWrite:
    case OpKind::kWriteDirect:
      image.MutableContent(op.node).Write(op.offset, *op.bytes);
      return;
    case OpKind::kAllocate:
      if (image.content(op.node).size_bytes() < op.size_bytes) {
        image.MutableContent(op.node).Resize(op.size_bytes);
      }
      return;
    case OpKind::kTruncate:
      image.MutableContent(op.node).Resize(op.size_bytes);
      return;
    case OpKind::kRename:
      // The source may name another node by now, or nothing, where an earlier change is missing.
      if (image.Find(op.directory, op.name) == op.node) image.Unlink(op.directory, op.name);
      image.Link(op.directory, op.to, op.node);
      return;
    case OpKind::kRemove:
    case OpKind::kRemoveDirectory:
      if (image.Find(op.directory, op.name) == op.node) image.Unlink(op.directory, op.name);
      return;
    case OpKind::kSyncData:
    case OpKind::kSyncAll:
    case OpKind::kSyncDirectory:
    case OpKind::kSyncFileSystem:
    case OpKind::kDirectDone:
      return;
  }
}

void DiskState::Apply(const Op& op) {
  if (op.kind == OpKind::kSyncDirectory) {
    if (!op.failed) SyncDirectory(op.node);
    for (Pending& change : pending_) {
      const bool mine = change.op.directory == op.node && IsNameChange(change.op.kind);
      if (op.failed && loses_names_ && mine) change.clean = true;
    }
    return;
  }
  if (op.kind == OpKind::kSyncFileSystem) return SyncFileSystem(op);
  if (op.kind == OpKind::kWriteDirect) return Begin(op);
  if (op.kind == OpKind::kDirectDone) return Land(op);
  if (IsSync(op.kind)) return SyncFile(op);
  if (op.failed && op.kind != OpKind::kWrite) return;
  if (op.kind == OpKind::kWrite && op.bytes->empty()) return;
  // A node exists on the disk as soon as anything may name it.
  if (op.kind == OpKind::kCreate) durable_.MakeFile(op.node);
  if (op.kind == OpKind::kMakeDirectory) durable_.MakeDirectory(op.node);
  if (op.kind == OpKind::kRemove) removed_.push_back(op.node);
  const std::uint64_t size_before =
      IsDataChange(op.kind) ? visible_.content(op.node).size_bytes() : 0;
  ApplyChange(visible_, op);
  if (op.kind == OpKind::kWrite) {
    bad_.erase(bad_.lower_bound({op.node, op.offset / kSectorBytes}),
               bad_.lower_bound({op.node, (op.offset + op.bytes->size() - 1) / kSectorBytes + 1}));
  }
  pending_.push_back({.op = op, .size_before_bytes = size_before, .overwritten = {}});
}

void DiskState::Begin(const Op& op) {
  if (op.failed) return;
  pending_.push_back({.op = op,
                      .size_before_bytes = visible_.content(op.node).size_bytes(),
                      .in_flight = true,
                      .overwritten = {}});
}

void DiskState::Land(const Op& op) {
  const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& change) {
    return change.in_flight && change.op.flight == op.flight;
  });
  CHECK(found != pending_.end());
  if (op.failed) {
    found->in_flight = false;
    found->clean = true;
    found->overwritten.assign(SectorCount(found->op), false);
    return;
  }
  const Op landed = found->op;
  pending_.erase(found);
  ApplyChange(visible_, landed);
  MakeDurable(landed);
}

std::size_t DiskState::in_flight() const {
  return static_cast<std::size_t>(std::count_if(
      pending_.begin(), pending_.end(), [](const Pending& change) { return change.in_flight; }));
}

void DiskState::SettleFlight(std::uint64_t done) {
  std::vector<Op> landed;
  std::size_t number = 0;
  std::erase_if(pending_, [&](const Pending& change) {
    if (!change.in_flight) return false;
    if (((done >> (number++ % 64)) & 1) != 0) landed.push_back(change.op);
    return true;
  });
  for (const Op& op : landed) {
    ApplyChange(visible_, op);
    MakeDurable(op);
  }
}

void DiskState::Rot(Node file, std::uint64_t offset, std::byte value) {
  visible_.MutableContent(file).Write(offset, Bytes(&value, 1));
  if (offset < durable_.content(file).size_bytes()) {
    durable_.MutableContent(file).Write(offset, Bytes(&value, 1));
  }
}

void DiskState::MakeBad(Node file, std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t sector = begin / kSectorBytes; sector * kSectorBytes < end; ++sector) {
    bad_.emplace(file, sector);
  }
}

bool DiskState::IsBad(Node file, std::uint64_t begin, std::uint64_t end) const {
  const auto first = bad_.lower_bound({file, begin / kSectorBytes});
  return first != bad_.end() && first->first == file && first->second * kSectorBytes < end;
}

void DiskState::MakeDurable(const Op& op) {
  ApplyChange(durable_, op);
  if (IsWrite(op.kind)) HideBelow(op);
}

/// Bytes made durable lie above those that an earlier, failed sync left behind.
void DiskState::HideBelow(const Op& op) {
  for (Pending& below : pending_) {
    if (!below.clean || below.op.node != op.node || !IsWrite(below.op.kind)) continue;
    const std::uint64_t begin = op.offset / kSectorBytes;
    const std::uint64_t end = (op.offset + op.bytes->size() + kSectorBytes - 1) / kSectorBytes;
    const std::uint64_t first = below.op.offset / kSectorBytes;
    for (std::uint64_t sector = begin; sector < end; ++sector) {
      if (sector >= first && sector - first < below.overwritten.size()) {
        below.overwritten[sector - first] = true;
      }
    }
  }
}

void DiskState::SyncFile(const Op& op) {
  bool changed_metadata = op.kind == OpKind::kSyncAll;
  std::vector<Pending> rest;
  rest.reserve(pending_.size());
  std::vector<Pending> taken;
  for (Pending& change : pending_) {
    const bool mine = change.op.node == op.node && IsDataChange(change.op.kind) && !change.clean;
    if (!mine) {
      if (change.op.node == op.node && change.op.kind == OpKind::kCreate) changed_metadata = true;
      rest.push_back(std::move(change));
      continue;
    }
    if (change.op.kind != OpKind::kWrite) changed_metadata = true;
    if (op.failed) {
      change.clean = change.op.kind == OpKind::kWrite;
      change.overwritten.assign(SectorCount(change.op), false);
      rest.push_back(std::move(change));
    } else {
      taken.push_back(std::move(change));
    }
  }
  pending_ = std::move(rest);
  for (const Pending& change : taken) MakeDurable(change.op);
  if (!op.failed && changed_metadata) CommitJournal();
}

void DiskState::SyncDirectory(Node directory) {
  std::vector<Pending> rest;
  rest.reserve(pending_.size());
  for (Pending& change : pending_) {
    if (change.op.directory == directory && IsNameChange(change.op.kind) && !change.clean) {
      ApplyChange(durable_, change.op);
    } else {
      rest.push_back(std::move(change));
    }
  }
  pending_ = std::move(rest);
  CommitJournal();
}

void DiskState::SyncFileSystem(const Op& op) {
  std::vector<Pending> rest;
  std::vector<Op> taken;
  for (Pending& change : pending_) {
    if (op.failed) {
      if (change.op.kind == OpKind::kWrite && !change.clean && IsBelow(op.node, change.op.node)) {
        change.clean = true;
        change.overwritten.assign(SectorCount(change.op), false);
      }
      const Node named_in = change.op.directory;
      const bool below = named_in == op.node || IsBelow(op.node, named_in);
      if (loses_names_ && IsNameChange(change.op.kind) && below) change.clean = true;
      rest.push_back(std::move(change));
    } else if (change.clean || change.in_flight) {
      rest.push_back(std::move(change));
    } else {
      taken.push_back(std::move(change.op));
    }
  }
  pending_ = std::move(rest);
  for (const Op& change : taken) MakeDurable(change);
}

/// As names are now.
bool DiskState::IsBelow(Node directory, Node node) const {
  for (const auto& [name, child] : visible_.entries(directory)) {
    if (child == node) return true;
    if (visible_.IsDirectory(child) && IsBelow(child, node)) return true;
  }
  return false;
}

/// Under ext4 one commit makes all metadata before it durable, whoever asked for it.
void DiskState::CommitJournal() {
  for (Pending& change : pending_) {
    if (!IsWrite(change.op.kind)) change.journaled = true;
  }
}

}  // namespace duramen::sim
