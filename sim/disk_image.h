// What a disk shows: directories, files and their bytes, as a value. Copies are cheap, because
// blocks of 4 KiB are shared and immutable while shared; an image is hashed from the cached hashes
// of its blocks, so that the explorer can count distinct images at thousands a second.
//
// Owned by whoever holds it; one thread at a time. What stays true: a node number names one file or
// directory for the whole lineage of an image and is never used again, also after its removal.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "duramen/types.h"

namespace duramen::sim {

inline constexpr std::uint64_t kSectorBytes = 512;
inline constexpr std::uint64_t kImageBlockBytes = 4096;

/// Number of a file or directory; 0 is "none", kRootNode is "/".
using Node = std::uint32_t;
inline constexpr Node kRootNode = 1;

/// The bytes of one file. A block that was never written is absent and reads as zeros.
class FileContent {
 public:
  std::uint64_t size_bytes() const { return size_bytes_; }
  /// Fills `out` from `offset`; returns how many bytes were there.
  std::size_t Read(std::uint64_t offset, std::span<std::byte> out) const;
  /// Where the first block that was written begins, at `offset` or behind it, or `offset` inside of
  /// one; UINT64_MAX: nowhere.
  std::uint64_t NextData(std::uint64_t offset) const;
  /// Writes and grows as needed; a gap reads as zeros.
  void Write(std::uint64_t offset, Bytes bytes);
  /// Growth reads as zeros; bytes behind a smaller size are gone for good.
  void Resize(std::uint64_t size_bytes);
  std::uint64_t Hash() const;

 private:
  struct Block {
    std::array<std::byte, kImageBlockBytes> bytes{};
    mutable std::uint64_t hash = 0;  // 0: not computed
  };
  Block& Own(std::size_t number);
  std::vector<std::shared_ptr<Block>> blocks_;
  std::uint64_t size_bytes_ = 0;
};

class Image {
 public:
  using Entries = std::map<std::string, Node, std::less<>>;
  Image();

  bool Exists(Node node) const { return node < nodes_.size() && nodes_[node].kind != Kind::kNone; }
  bool IsDirectory(Node node) const { return nodes_[node].kind == Kind::kDirectory; }
  const Entries& entries(Node directory) const;
  const FileContent& content(Node file) const;
  /// The node that `name` names in `directory`; 0 when there is none.
  Node Find(Node directory, std::string_view name) const;
  /// The node at a path from the root ("/data/wal"); 0 when there is none.
  Node FindPath(std::string_view path) const;

  /// Makes a node under a number that the caller chose; nothing names it yet.
  void MakeFile(Node node);
  void MakeDirectory(Node node);
  void Link(Node directory, const std::string& name, Node node);
  void Unlink(Node directory, const std::string& name);
  FileContent& MutableContent(Node file);

  /// Over names, sizes and bytes of everything that the root reaches.
  std::uint64_t Hash() const;
  /// One past the largest node number in use.
  Node end_node() const { return static_cast<Node>(nodes_.size()); }

 private:
  enum class Kind : std::uint8_t { kNone, kFile, kDirectory };
  struct Slot {
    Kind kind = Kind::kNone;
    std::shared_ptr<FileContent> content;
    std::shared_ptr<Entries> entries;
  };
  Slot& Grow(Node node);
  Entries& MutableEntries(Node directory);
  std::uint64_t HashDirectory(Node directory) const;
  std::vector<Slot> nodes_;
};

}  // namespace duramen::sim
