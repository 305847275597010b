// What a directory shows, as a value: the bytes of each file by its path, and its directories. For
// tests that compare whole stores.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/io.h"
#include "sim/disk_image.h"

namespace duramen::log {

/// By path below what was asked for; a directory's path ends in '/', and its text is empty.
using Tree = std::map<std::string, std::string>;

inline void AddToTree(const sim::Image& image, sim::Node directory, const std::string& prefix,
                      Tree& tree) {
  for (const auto& [name, node] : image.entries(directory)) {
    if (image.IsDirectory(node)) {
      tree[prefix + name + "/"] = "";
      AddToTree(image, node, prefix + name + "/", tree);
      continue;
    }
    std::string text(image.content(node).size_bytes(), '\0');
    image.content(node).Read(0, std::as_writable_bytes(std::span(text)));
    tree[prefix + name] = std::move(text);
  }
}

/// Everything below `path`; empty where it is not there.
inline Tree TreeOf(const sim::Image& image, const std::string& path) {
  Tree tree;
  const sim::Node node = image.FindPath(path);
  if (node != 0) AddToTree(image, node, "", tree);
  return tree;
}

/// The same through the port.
inline void AddToTree(const Directory& directory, const std::string& prefix, Tree& tree) {
  const std::vector<DirectoryEntry> entries = directory.List().value();
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory) {
      tree[prefix + entry.name + "/"] = "";
      AddToTree(*directory.OpenDirectory(entry.name).value(), prefix + entry.name + "/", tree);
    } else if (entry.is_regular) {
      const std::unique_ptr<File> file = directory.Open(entry.name, OpenFor::kRead).value();
      std::string text(file->SizeBytes().value(), '\0');
      CHECK(text.size() == entry.size_bytes);
      CHECK(file->Read(0, std::as_writable_bytes(std::span(text))).value() == text.size());
      tree[prefix + entry.name] = std::move(text);
    }
  }
}
inline Tree TreeOf(FileSystem& file_system, const std::string& path) {
  Tree tree;
  AddToTree(*file_system.Open(path).value(), "", tree);
  return tree;
}

/// A new file. Errors: those of the disk.
inline Status WriteFile(Directory& directory, const std::string& name, const std::string& text) {
  const Result<std::unique_ptr<File>> file = directory.Create(name);
  return file.ok() ? (*file)->Write(0, AsBytes(text)) : Status(file.error());
}

/// Without the quarantine and the lock.
inline Tree StoreOnly(Tree tree) {
  for (auto at = tree.begin(); at != tree.end();) {
    const bool aside = at->first.starts_with("quarantine/") || at->first == "LOCK";
    at = aside ? tree.erase(at) : std::next(at);
  }
  return tree;
}

/// Names only, with sizes: what a failed comparison prints.
inline std::vector<std::string> Differences(const Tree& a, const Tree& b) {
  std::vector<std::string> found;
  for (const auto& [path, text] : a) {
    const auto other = b.find(path);
    if (other == b.end()) {
      found.push_back("-" + path);
    } else if (other->second != text) {
      found.push_back("*" + path);
    }
  }
  for (const auto& [path, text] : b) {
    if (!a.contains(path)) found.push_back("+" + path);
  }
  return found;
}

}  // namespace duramen::log
