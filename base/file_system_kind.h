// What a file system is, as far as it bears on what a sync is worth. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

namespace duramen {

enum class FileSystemClass : std::uint8_t {
  kOther,    // on a device of this machine, or not known
  kMemory,   // gone with the power, whatever was synced
  kOverlay,  // layers over others, as in containers
  kNetwork,  // a server, or a program, is behind it
};

struct FileSystemKind {
  FileSystemClass what = FileSystemClass::kOther;
  std::string name = {};  // "ext4"; empty: not known
};

/// By the `f_type` of statfs.
FileSystemKind FileSystemOf(std::uint64_t magic);

/// What it means for data in directory `path`, in one sentence; empty where there is nothing to
/// say.
std::string MeaningOf(const FileSystemKind& kind, const std::string& path);

}  // namespace duramen
