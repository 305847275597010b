// What `repair` works on: directories as they are on disk, with changes that the disk does not see.
// A store opened on an overlay reads the base and writes files of its own; what differs in the end
// is what the repair would change, and log/repair_journal.h carries it out.
//
// The base is never written. A file made or written here has its bytes in a staging file (a base
// file is copied there, holes left out, before its first write), named by a number. Names live in
// memory. Open files survive Rename and Remove as on POSIX. What is no regular file (a symlink) is
// listed, and neither opened, renamed nor removed. Locks are not taken: the owner holds the real
// ones. Syncs do nothing until SyncStaged(), because a repair commits by its journal alone.
//
// Owned by the repair; outlives every File and Directory of it. Any thread. Requires: nobody else
// changes the base meanwhile, but for the staging directory, which nobody lists through the
// overlay.
// Errors: those of base/io.h; a full disk under the staging files is kDiskFull.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/io.h"

namespace duramen::log {

struct OverlayChange {
  enum class Kind : std::uint8_t { kAdded, kReplaced, kRemoved };
  std::size_t root = 0;  // position among the roots
  std::string path;      // below the root: "servers/UID/1.seg"
  Kind kind = Kind::kAdded;
  bool is_directory = false;
  std::string staged;  // the staging file with the new bytes; empty for directories and removals
  bool operator==(const OverlayChange&) const = default;
};

class OverlayFileSystem final : public FileSystem {
 public:
  /// Over `roots`, paths of existing directories without a '/' at the end. `staging` is empty.
  /// All outlive it.
  OverlayFileSystem(FileSystem& base, const std::vector<std::string>& roots, Directory& staging);
  ~OverlayFileSystem() override;
  OverlayFileSystem(const OverlayFileSystem&) = delete;
  OverlayFileSystem& operator=(const OverlayFileSystem&) = delete;

  /// Errors: kInvalidArgument outside of the roots.
  Result<std::unique_ptr<Directory>> Open(const std::string& path) override;
  Status CreateDirectories(const std::string& path) override;

  /// Makes the staging files durable.
  Status SyncStaged();
  /// How the overlay differs from the base, in order of root and path; at one path the removal
  /// comes first. A file with the bytes of the base is no change. Requires: nothing is open.
  Result<std::vector<OverlayChange>> Changes();

 private:
  friend class OverlayFile;
  friend class OverlayDirectory;
  struct Node;
  struct Comparison;
  struct Root {
    std::string path;
    std::shared_ptr<Node> node;
  };

  // Everything below is called with mutex_ held.
  const Root* RootOf(const std::string& path) const;
  Result<std::shared_ptr<Node>> Walk(const std::string& path, bool make);
  Status Load(Node& directory);
  Result<std::shared_ptr<Node>> Find(Node& directory, std::string_view name);
  std::shared_ptr<Node> MakeDirectoryNode(Node& parent, std::string_view name);
  Result<std::unique_ptr<File>> OpenBase(const std::string& path) const;
  Result<std::unique_ptr<File>> OpenBytes(const Node& file) const;
  Status Stage(Node& file, std::uint64_t keep_bytes);
  void Unlink(Node& node);
  void Forget(Node& file);
  Status Compare(const Comparison& at, Node& directory, const std::string& path, bool in_base);
  Status CompareEntry(const Comparison& at, Node& mine, const std::string& path,
                      const DirectoryEntry* theirs);
  Status RemoveTree(const Comparison& at, const std::string& path, const DirectoryEntry& theirs);
  Status SyncTree(const Node& directory);

  FileSystem& base_;
  Directory& staging_;
  std::mutex mutex_;
  std::vector<Root> roots_;
  std::uint64_t staged_files_ = 0;  // ever; the next one's name
};

}  // namespace duramen::log
