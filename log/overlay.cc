#include "log/overlay.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/try.h"
#include "log/file_copy.h"

namespace duramen::log {
namespace {

std::string Below(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + "/" + std::string(name);
}

Error Failure(ErrorCode code, const std::string& path, const char* what) {
  return {code, "'" + path + "' " + what, ""};
}

bool IsPlainName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

class NoLock final : public FileLock {};

}  // namespace

/// A name in the overlay, or one that is gone and still open.
struct OverlayFileSystem::Node {
  enum class Kind : std::uint8_t { kFile, kDirectory, kOther };
  Kind kind = Kind::kFile;
  std::string base_path;         // where the base has it; empty: it was made here
  std::uint64_t size_bytes = 0;  // of a file
  std::string staged;            // where its bytes are; empty: in the base
  bool loaded = false;           // of a directory: `children` has what the base has too
  bool unlinked = false;
  std::uint64_t open_files = 0;
  std::map<std::string, std::shared_ptr<Node>, std::less<>> children;
};

struct OverlayFileSystem::Comparison {
  std::size_t root;
  const std::string& root_path;
  std::vector<OverlayChange>& changes;
  void Tell(OverlayChange::Kind kind, const std::string& path, const Node& node) const {
    changes.push_back({.root = root,
                       .path = path,
                       .kind = kind,
                       .is_directory = node.kind == Node::Kind::kDirectory,
                       .staged = node.staged});
  }
};

class OverlayFile final : public File {
 public:
  using Node = OverlayFileSystem::Node;
  /// With the overlay's mutex held. `base` is null where the bytes are staged.
  OverlayFile(OverlayFileSystem& overlay, std::shared_ptr<Node> node, std::unique_ptr<File> base,
              OpenFor mode)
      : overlay_(overlay), node_(std::move(node)), base_(std::move(base)), mode_(mode) {
    ++node_->open_files;
  }
  ~OverlayFile() override {
    const std::lock_guard guard(overlay_.mutex_);
    if (--node_->open_files == 0 && node_->unlinked) overlay_.Forget(*node_);
  }

  Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    const std::lock_guard guard(overlay_.mutex_);
    if (node_->staged.empty()) return base_->Read(offset, bytes);
    TRY(OpenStaged());
    return staged_->Read(offset, bytes);
  }
  Result<std::uint64_t> NextData(std::uint64_t offset) const override {
    const std::lock_guard guard(overlay_.mutex_);
    if (node_->staged.empty()) return base_->NextData(offset);
    TRY(OpenStaged());
    return staged_->NextData(offset);
  }
  Status Write(std::uint64_t offset, Bytes bytes) override {
    const std::lock_guard guard(overlay_.mutex_);
    TRY(Own(UINT64_MAX));
    const Status written = staged_->Write(offset, bytes);
    node_->size_bytes = TRY(staged_->SizeBytes());  // A failed write may have written a part.
    return written;
  }
  Status SyncData() override { return {}; }
  Status SyncAll() override { return {}; }
  /// Takes no space: how much the staging needs is known when it is written.
  Status Allocate(std::uint64_t size_bytes) override { return Truncate(size_bytes); }
  Status Truncate(std::uint64_t size_bytes) override {
    const std::lock_guard guard(overlay_.mutex_);
    TRY(Own(size_bytes));
    TRY(staged_->Truncate(size_bytes));
    node_->size_bytes = size_bytes;
    return {};
  }
  Result<std::uint64_t> SizeBytes() const override {
    const std::lock_guard guard(overlay_.mutex_);
    return node_->size_bytes;
  }

 private:
  Status OpenStaged() const {
    if (staged_ != nullptr) return {};
    staged_ = TRY(overlay_.staging_.Open(node_->staged, OpenFor::kReadWrite));
    return {};
  }
  Status Own(std::uint64_t keep_bytes) {
    if (mode_ == OpenFor::kRead) {
      return Error{ErrorCode::kPermission, "the file was opened for reading", ""};
    }
    TRY(overlay_.Stage(*node_, keep_bytes));
    return OpenStaged();
  }

  OverlayFileSystem& overlay_;
  const std::shared_ptr<Node> node_;
  const std::unique_ptr<File> base_;
  mutable std::unique_ptr<File> staged_;  // opened when first needed
  const OpenFor mode_;
};

class OverlayDirectory final : public Directory {
 public:
  using Node = OverlayFileSystem::Node;
  OverlayDirectory(OverlayFileSystem& overlay, std::shared_ptr<Node> node, std::string path)
      : overlay_(overlay), node_(std::move(node)), path_(std::move(path)) {}

  const std::string& path() const override { return path_; }

  Result<std::unique_ptr<File>> Create(std::string_view name) override {
    const std::lock_guard guard(overlay_.mutex_);
    TRY(CheckFree(name));
    auto node = std::make_shared<Node>();
    TRY(overlay_.Stage(*node, 0));
    node_->children.emplace(name, node);
    return Handle(std::move(node), nullptr, OpenFor::kReadWrite);
  }

  Result<std::unique_ptr<File>> Open(std::string_view name, OpenFor mode) const override {
    const std::lock_guard guard(overlay_.mutex_);
    std::shared_ptr<Node> node = TRY(FindPresent(name));
    if (node->kind != Node::Kind::kFile) {
      return Failure(ErrorCode::kInvalidArgument, PathOf(name), "is not a regular file");
    }
    std::unique_ptr<File> base;
    if (node->staged.empty()) base = TRY(overlay_.OpenBase(node->base_path));
    return Handle(std::move(node), std::move(base), mode);
  }

  Status Rename(std::string_view from, std::string_view to) override {
    const std::lock_guard guard(overlay_.mutex_);
    const std::shared_ptr<Node> node = TRY(FindPresent(from));
    TRY(CheckName(to));
    TRY(CheckOurs(*node, from));
    const std::shared_ptr<Node> target = TRY(overlay_.Find(*node_, to));
    if (target == node) return {};
    if (target != nullptr) {
      TRY(CheckOurs(*target, to));
      if (target->kind == Node::Kind::kDirectory || node->kind == Node::Kind::kDirectory) {
        return Failure(ErrorCode::kAlreadyExists, PathOf(to), "is there already");
      }
      overlay_.Unlink(*target);
    }
    node_->children.erase(node_->children.find(from));
    node_->children.insert_or_assign(std::string(to), node);
    return {};
  }

  Status Remove(std::string_view name) override {
    const std::lock_guard guard(overlay_.mutex_);
    const std::shared_ptr<Node> node = TRY(FindPresent(name));
    TRY(CheckOurs(*node, name));
    if (node->kind == Node::Kind::kDirectory) {
      return Failure(ErrorCode::kIo, PathOf(name), "is a directory");
    }
    overlay_.Unlink(*node);
    node_->children.erase(node_->children.find(name));
    return {};
  }

  Result<std::vector<DirectoryEntry>> List() const override {
    const std::lock_guard guard(overlay_.mutex_);
    TRY(CheckThere());
    std::vector<DirectoryEntry> found;
    for (const auto& [name, node] : node_->children) {
      found.push_back({.name = name,
                       .size_bytes = node->size_bytes,
                       .is_directory = node->kind == Node::Kind::kDirectory,
                       .is_regular = node->kind == Node::Kind::kFile});
    }
    return found;
  }

  Status Sync() override { return {}; }
  Status SyncFileSystem() override { return {}; }

  Status CreateDirectory(std::string_view name) override {
    const std::lock_guard guard(overlay_.mutex_);
    TRY(CheckFree(name));
    overlay_.MakeDirectoryNode(*node_, name);
    return {};
  }

  Status RemoveDirectory(std::string_view name) override {
    const std::lock_guard guard(overlay_.mutex_);
    const std::shared_ptr<Node> node = TRY(FindPresent(name));
    if (node->kind != Node::Kind::kDirectory) {
      return Failure(ErrorCode::kInvalidArgument, PathOf(name), "is not a directory");
    }
    TRY(overlay_.Load(*node));
    if (!node->children.empty()) return Failure(ErrorCode::kIo, PathOf(name), "is not empty");
    overlay_.Unlink(*node);
    node_->children.erase(node_->children.find(name));
    return {};
  }

  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) const override {
    const std::lock_guard guard(overlay_.mutex_);
    std::shared_ptr<Node> node = TRY(FindPresent(name));
    if (node->kind != Node::Kind::kDirectory) {
      return Failure(ErrorCode::kInvalidArgument, PathOf(name), "is not a directory");
    }
    return std::unique_ptr<Directory>(
        std::make_unique<OverlayDirectory>(overlay_, std::move(node), PathOf(name)));
  }

  Result<std::unique_ptr<FileLock>> Lock(std::string_view) override {
    return std::unique_ptr<FileLock>(std::make_unique<NoLock>());
  }

 private:
  std::string PathOf(std::string_view name) const { return path_ + "/" + std::string(name); }
  Status CheckName(std::string_view name) const {
    if (IsPlainName(name)) return {};
    return Failure(ErrorCode::kInvalidArgument, PathOf(name), "is not the name of a file");
  }
  Status CheckThere() const {
    if (node_->unlinked) return Failure(ErrorCode::kNotFound, path_, "was removed");
    return overlay_.Load(*node_);
  }
  Status CheckFree(std::string_view name) const {
    TRY(CheckName(name));
    TRY(CheckThere());
    if (!node_->children.contains(name)) return {};
    return Failure(ErrorCode::kAlreadyExists, PathOf(name), "is there already");
  }
  /// What could not be put back is not touched.
  Status CheckOurs(const Node& node, std::string_view name) const {
    if (node.kind != Node::Kind::kOther) return {};
    return Failure(ErrorCode::kUnsupported, PathOf(name), "is neither a file nor a directory");
  }
  Result<std::shared_ptr<Node>> FindPresent(std::string_view name) const {
    TRY(CheckName(name));
    TRY(CheckThere());
    std::shared_ptr<Node> node = TRY(overlay_.Find(*node_, name));
    if (node == nullptr) return Failure(ErrorCode::kNotFound, PathOf(name), "is not there");
    return node;
  }
  std::unique_ptr<File> Handle(std::shared_ptr<Node> node, std::unique_ptr<File> base,
                               OpenFor mode) const {
    return std::make_unique<OverlayFile>(overlay_, std::move(node), std::move(base), mode);
  }

  OverlayFileSystem& overlay_;
  const std::shared_ptr<Node> node_;
  const std::string path_;
};

OverlayFileSystem::OverlayFileSystem(FileSystem& base, const std::vector<std::string>& roots,
                                     Directory& staging)
    : base_(base), staging_(staging) {
  for (const std::string& path : roots) {
    auto node = std::make_shared<Node>();
    node->kind = Node::Kind::kDirectory;
    node->base_path = path;
    roots_.push_back({.path = path, .node = std::move(node)});
  }
}

OverlayFileSystem::~OverlayFileSystem() = default;

/// The innermost one; null outside of all.
const OverlayFileSystem::Root* OverlayFileSystem::RootOf(const std::string& path) const {
  const Root* best = nullptr;
  for (const Root& root : roots_) {
    const bool inside = path == root.path || path.starts_with(root.path + "/");
    if (inside && (best == nullptr || best->path.size() < root.path.size())) best = &root;
  }
  return best;
}

Result<std::unique_ptr<Directory>> OverlayFileSystem::Open(const std::string& path) {
  const std::lock_guard guard(mutex_);
  std::shared_ptr<Node> node = TRY(Walk(path, false));
  return std::unique_ptr<Directory>(
      std::make_unique<OverlayDirectory>(*this, std::move(node), path));
}

Status OverlayFileSystem::CreateDirectories(const std::string& path) {
  const std::lock_guard guard(mutex_);
  TRY(Walk(path, true));
  return {};
}

Result<std::shared_ptr<OverlayFileSystem::Node>> OverlayFileSystem::Walk(const std::string& path,
                                                                         bool make) {
  const Root* root = RootOf(path);
  if (root == nullptr) {
    return Failure(ErrorCode::kInvalidArgument, path, "is outside of what is being repaired");
  }
  std::shared_ptr<Node> node = root->node;
  TRY(Load(*node));
  std::size_t begin = root->path.size();
  while (begin < path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = std::string_view(path).substr(begin, end - begin);
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    std::shared_ptr<Node> child = TRY(Find(*node, name));
    if (child == nullptr && make) child = MakeDirectoryNode(*node, name);
    if (child == nullptr) return Failure(ErrorCode::kNotFound, path, "is not there");
    if (child->kind != Node::Kind::kDirectory) {
      return Failure(ErrorCode::kInvalidArgument, path, "is not a directory");
    }
    node = std::move(child);
    TRY(Load(*node));
  }
  return node;
}

Status OverlayFileSystem::Load(Node& directory) {
  if (directory.loaded || directory.base_path.empty()) return {};
  const std::unique_ptr<Directory> base = TRY(base_.Open(directory.base_path));
  for (const DirectoryEntry& entry : TRY(base->List())) {
    auto node = std::make_shared<Node>();
    node->kind = entry.is_directory ? Node::Kind::kDirectory
                 : entry.is_regular ? Node::Kind::kFile
                                    : Node::Kind::kOther;
    node->base_path = Below(directory.base_path, entry.name);
    node->size_bytes = entry.size_bytes;
    directory.children.emplace(entry.name, std::move(node));
  }
  directory.loaded = true;
  return {};
}

/// Null when there is none.
Result<std::shared_ptr<OverlayFileSystem::Node>> OverlayFileSystem::Find(Node& directory,
                                                                         std::string_view name) {
  TRY(Load(directory));
  const auto found = directory.children.find(name);
  return found == directory.children.end() ? std::shared_ptr<Node>() : found->second;
}

std::shared_ptr<OverlayFileSystem::Node> OverlayFileSystem::MakeDirectoryNode(
    Node& parent, std::string_view name) {
  auto node = std::make_shared<Node>();
  node->kind = Node::Kind::kDirectory;
  parent.children.emplace(name, node);
  return node;
}

Result<std::unique_ptr<File>> OverlayFileSystem::OpenBase(const std::string& path) const {
  const std::size_t slash = path.rfind('/');
  const std::unique_ptr<Directory> parent = TRY(base_.Open(path.substr(0, slash)));
  return parent->Open(path.substr(slash + 1), OpenFor::kRead);
}

Result<std::unique_ptr<File>> OverlayFileSystem::OpenBytes(const Node& file) const {
  if (file.staged.empty()) return OpenBase(file.base_path);
  return staging_.Open(file.staged, OpenFor::kRead);
}

/// Gives `file` bytes of its own: the first `keep_bytes` of those that it shows.
Status OverlayFileSystem::Stage(Node& file, std::uint64_t keep_bytes) {
  if (!file.staged.empty()) return {};
  const std::string name = std::to_string(++staged_files_);
  const std::unique_ptr<File> staged = TRY(staging_.Create(name));
  if (!file.base_path.empty()) {
    const std::unique_ptr<File> base = TRY(OpenBase(file.base_path));
    const Result<ContentSum> copied = CopyContent(*base, *staged, {.bytes_max = keep_bytes});
    if (!copied.ok()) {
      (void)staging_.Remove(name);
      return copied.error();
    }
    file.size_bytes = copied->size_bytes;
  }
  file.staged = name;
  return {};
}

void OverlayFileSystem::Unlink(Node& node) {
  node.unlinked = true;
  if (node.open_files == 0) Forget(node);
}

/// The bytes of a file that is gone take space for nothing.
void OverlayFileSystem::Forget(Node& file) {
  if (file.staged.empty()) return;
  (void)staging_.Remove(file.staged);
  file.staged.clear();
}

Status OverlayFileSystem::SyncStaged() {
  const std::lock_guard guard(mutex_);
  for (const Root& root : roots_) TRY(SyncTree(*root.node));
  return staging_.Sync();
}

Status OverlayFileSystem::SyncTree(const Node& directory) {
  for (const auto& [name, node] : directory.children) {
    TRY(SyncTree(*node));
    if (node->staged.empty()) continue;
    const std::unique_ptr<File> file = TRY(staging_.Open(node->staged, OpenFor::kReadWrite));
    TRY(file->SyncAll());
  }
  return {};
}

Result<std::vector<OverlayChange>> OverlayFileSystem::Changes() {
  const std::lock_guard guard(mutex_);
  std::vector<OverlayChange> changes;
  for (std::size_t root = 0; root < roots_.size(); ++root) {
    const Comparison at{root, roots_[root].path, changes};
    TRY(Compare(at, *roots_[root].node, "", true));
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const OverlayChange& a, const OverlayChange& b) {
                     const bool stays_a = a.kind != OverlayChange::Kind::kRemoved;
                     const bool stays_b = b.kind != OverlayChange::Kind::kRemoved;
                     return std::tie(a.root, a.path, stays_a) < std::tie(b.root, b.path, stays_b);
                   });
  return changes;
}

Status OverlayFileSystem::Compare(const Comparison& at, Node& directory, const std::string& path,
                                  bool in_base) {
  const std::string place = path.empty() ? at.root_path : at.root_path + "/" + path;
  if (!directory.loaded && directory.base_path == place) return {};  // Nobody looked into it.
  TRY(Load(directory));
  std::map<std::string, DirectoryEntry> theirs;
  if (in_base) {
    const std::unique_ptr<Directory> base = TRY(base_.Open(place));
    for (DirectoryEntry& entry : TRY(base->List())) theirs.emplace(entry.name, entry);
  }
  for (const auto& [name, child] : directory.children) {
    const auto found = theirs.find(name);
    const DirectoryEntry* their = found == theirs.end() ? nullptr : &found->second;
    TRY(CompareEntry(at, *child, Below(path, name), their));
    if (their != nullptr) theirs.erase(found);
  }
  for (const auto& [name, entry] : theirs) TRY(RemoveTree(at, Below(path, name), entry));
  return {};
}

Status OverlayFileSystem::CompareEntry(const Comparison& at, Node& mine, const std::string& path,
                                       const DirectoryEntry* theirs) {
  const std::string place = at.root_path + "/" + path;
  const bool is_directory = mine.kind == Node::Kind::kDirectory;
  if (!is_directory && mine.staged.empty() && mine.base_path == place) return {};
  CHECK(mine.kind != Node::Kind::kOther);  // It was neither moved nor written.
  if (theirs != nullptr && theirs->is_directory && is_directory) {
    return Compare(at, mine, path, true);
  }
  if (theirs != nullptr && theirs->is_regular && !is_directory) {
    {
      const std::unique_ptr<File> now = TRY(OpenBytes(mine));
      const std::unique_ptr<File> before = TRY(OpenBase(place));
      if (TRY(SameContent(*now, *before))) return {};
    }
    TRY(Stage(mine, UINT64_MAX));
    at.Tell(OverlayChange::Kind::kReplaced, path, mine);
    return {};
  }
  if (theirs != nullptr) TRY(RemoveTree(at, path, *theirs));
  if (!is_directory) TRY(Stage(mine, UINT64_MAX));
  at.Tell(OverlayChange::Kind::kAdded, path, mine);
  return is_directory ? Compare(at, mine, path, false) : Status();
}

Status OverlayFileSystem::RemoveTree(const Comparison& at, const std::string& path,
                                     const DirectoryEntry& theirs) {
  at.changes.push_back({.root = at.root,
                        .path = path,
                        .kind = OverlayChange::Kind::kRemoved,
                        .is_directory = theirs.is_directory,
                        .staged = ""});
  if (!theirs.is_directory) return {};
  const std::unique_ptr<Directory> base = TRY(base_.Open(at.root_path + "/" + path));
  for (const DirectoryEntry& entry : TRY(base->List())) {
    TRY(RemoveTree(at, path + "/" + entry.name, entry));
  }
  return {};
}

}  // namespace duramen::log
