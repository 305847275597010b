#include "sim/disk_image.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"

namespace duramen::sim {
namespace {

constexpr std::uint64_t kZeroBlockHash = 0x5A65726F426C6F63ULL;

std::uint64_t Mix(std::uint64_t a, std::uint64_t b) {
  return Checksum(std::as_bytes(std::span(&a, 1)), b);
}

}  // namespace

std::size_t FileContent::Read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset >= size_bytes_) return 0;
  const std::size_t total = std::min<std::uint64_t>(out.size(), size_bytes_ - offset);
  std::size_t done = 0;
  while (done < total) {
    const std::size_t number = (offset + done) / kImageBlockBytes;
    const std::size_t within = (offset + done) % kImageBlockBytes;
    const std::size_t part = std::min<std::size_t>(total - done, kImageBlockBytes - within);
    if (number < blocks_.size() && blocks_[number] != nullptr) {
      std::memcpy(out.data() + done, blocks_[number]->bytes.data() + within, part);
    } else {
      std::memset(out.data() + done, 0, part);
    }
    done += part;
  }
  return total;
}

FileContent::Block& FileContent::Own(std::size_t number) {
  if (number >= blocks_.size()) blocks_.resize(number + 1);
  std::shared_ptr<Block>& block = blocks_[number];
  if (block == nullptr) {
    block = std::make_shared<Block>();
  } else if (block.use_count() > 1) {
    block = std::make_shared<Block>(*block);
  }
  block->hash = 0;
  return *block;
}

std::uint64_t FileContent::NextData(std::uint64_t offset) const {
  for (std::size_t block = offset / kImageBlockBytes; block < blocks_.size(); ++block) {
    if (blocks_[block] != nullptr) return std::max<std::uint64_t>(offset, block * kImageBlockBytes);
  }
  return UINT64_MAX;
}

void FileContent::Write(std::uint64_t offset, Bytes bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t within = (offset + done) % kImageBlockBytes;
    const std::size_t part = std::min<std::size_t>(bytes.size() - done, kImageBlockBytes - within);
    Block& block = Own((offset + done) / kImageBlockBytes);
    std::memcpy(block.bytes.data() + within, bytes.data() + done, part);
    done += part;
  }
  size_bytes_ = std::max(size_bytes_, offset + bytes.size());
}

void FileContent::Resize(std::uint64_t size_bytes) {
  if (size_bytes < size_bytes_) {
    const std::size_t keep = (size_bytes + kImageBlockBytes - 1) / kImageBlockBytes;
    if (blocks_.size() > keep) blocks_.resize(keep);
    const std::size_t within = size_bytes % kImageBlockBytes;
    if (within != 0 && keep <= blocks_.size() && blocks_[keep - 1] != nullptr) {
      Block& block = Own(keep - 1);
      std::fill(block.bytes.begin() + static_cast<std::ptrdiff_t>(within), block.bytes.end(),
                std::byte{0});
    }
  }
  size_bytes_ = size_bytes;
}

std::uint64_t FileContent::Hash() const {
  std::uint64_t hash = Mix(size_bytes_, 0x66696C65);
  const std::size_t count = (size_bytes_ + kImageBlockBytes - 1) / kImageBlockBytes;
  static constexpr std::array<std::byte, kImageBlockBytes> kZeros{};
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t block_hash = kZeroBlockHash;
    if (i < blocks_.size() && blocks_[i] != nullptr) {
      const Block& block = *blocks_[i];
      if (block.hash == 0) {
        // A block of written zeros is the same image as a hole.
        const bool zero = std::memcmp(block.bytes.data(), kZeros.data(), kZeros.size()) == 0;
        block.hash = zero ? kZeroBlockHash : Checksum(block.bytes, 0) | 1;
      }
      block_hash = block.hash;
    }
    hash = hash * 0x9E3779B97F4A7C15ULL + (block_hash ^ (hash >> 29));
  }
  return hash;
}

Image::Image() { MakeDirectory(kRootNode); }

Image::Slot& Image::Grow(Node node) {
  if (node >= nodes_.size()) nodes_.resize(node + 1);
  return nodes_[node];
}

const Image::Entries& Image::entries(Node directory) const {
  CHECK(Exists(directory) && IsDirectory(directory));
  return *nodes_[directory].entries;
}

const FileContent& Image::content(Node file) const {
  CHECK(Exists(file) && !IsDirectory(file));
  return *nodes_[file].content;
}

Node Image::Find(Node directory, std::string_view name) const {
  const Entries& names = entries(directory);
  const auto found = names.find(name);
  return found == names.end() ? 0 : found->second;
}

Node Image::FindPath(std::string_view path) const {
  Node node = kRootNode;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (name.empty() || name == ".") continue;
    if (!IsDirectory(node)) return 0;
    node = Find(node, name);
    if (node == 0) return 0;
  }
  return node;
}

void Image::MakeFile(Node node) {
  Slot& slot = Grow(node);
  if (slot.kind == Kind::kFile) return;
  slot.kind = Kind::kFile;
  slot.content = std::make_shared<FileContent>();
}

void Image::MakeDirectory(Node node) {
  Slot& slot = Grow(node);
  if (slot.kind == Kind::kDirectory) return;
  slot.kind = Kind::kDirectory;
  slot.entries = std::make_shared<Entries>();
}

Image::Entries& Image::MutableEntries(Node directory) {
  Slot& slot = nodes_[directory];
  if (slot.entries.use_count() > 1) slot.entries = std::make_shared<Entries>(*slot.entries);
  return *slot.entries;
}

void Image::Link(Node directory, const std::string& name, Node node) {
  MutableEntries(directory)[name] = node;
}

void Image::Unlink(Node directory, const std::string& name) {
  MutableEntries(directory).erase(name);
}

FileContent& Image::MutableContent(Node file) {
  CHECK(Exists(file) && !IsDirectory(file));
  Slot& slot = nodes_[file];
  if (slot.content.use_count() > 1) slot.content = std::make_shared<FileContent>(*slot.content);
  return *slot.content;
}

std::uint64_t Image::HashDirectory(Node directory) const {
  std::uint64_t hash = 0x64697265;
  for (const auto& [name, node] : entries(directory)) {
    const std::uint64_t below = IsDirectory(node) ? HashDirectory(node) : content(node).Hash();
    hash = Mix(hash ^ below, Checksum(AsBytes(name), 0));
  }
  return hash;
}

std::uint64_t Image::Hash() const { return HashDirectory(kRootNode); }

}  // namespace duramen::sim
