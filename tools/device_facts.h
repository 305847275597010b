// What is below a directory: its file system, the device under that, and what the device says of
// itself. Read from statfs, /proc/self/mountinfo and /sys; what is not told there is left unsaid.
//
// Plain values; any thread. Nothing is changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system_kind.h"
#include "duramen/result.h"
#include "tools/terminal.h"

namespace duramen::tools {

/// One line of /proc/self/mountinfo.
struct Mount {
  std::string point;
  std::string file_system;  // "ext4"
  std::string source;       // "/dev/vda"
  std::string options;      // of the mount and of the file system: "rw,relatime,data=ordered"
  /// Whether `option` is among them: "nobarrier", "data=journal".
  bool Has(std::string_view option) const;
};

/// The mount that the absolute `path` is on; nothing where `mountinfo` has none.
std::optional<Mount> FindMount(std::string_view mountinfo, const std::string& path);

/// What a block device, or those that it is made of, had counted at one moment.
struct DeviceCounters {
  std::uint64_t writes = 0;
  std::uint64_t flushes = 0;
};

/// A block device as its entry in /sys tells it.
struct BlockDevice {
  std::string name;                    // "vda2"
  std::vector<std::string> leaves;     // the disks below it, itself if there are none: "vda"
  bool is_virtual = false;             // a virtual machine's: what it says is its host's word
  std::optional<bool> volatile_cache;  // "write back"; false: "write through"
  std::optional<bool> fua;             // a single write can be forced through that cache
  std::optional<bool> rotational;      // it has, or says that it has, moving parts
  std::optional<std::uint64_t> logical_block_bytes;
  std::optional<std::uint64_t> physical_block_bytes;
  std::vector<std::string> leaf_paths;  // in /sys
  bool counts_flushes = false;          // every leaf does

  /// Of all leaves together, now. Nothing where /sys has no numbers.
  std::optional<DeviceCounters> Count() const;
};

/// Device `major`:`minor` below `sys` ("/sys"); nothing where there is no such entry.
std::optional<BlockDevice> FindDevice(const std::string& sys, unsigned major, unsigned minor);

struct DeviceFacts {
  std::string path;  // absolute
  FileSystemKind kind;
  std::string file_system;  // as it is mounted; else as statfs names it; "unknown"
  std::optional<Mount> mount;
  std::optional<BlockDevice> device;
};

/// Errors: kNotFound, kPermission, kInvalidArgument (not a directory).
Result<DeviceFacts> FactsOf(const std::string& directory);

/// "warning: SENTENCE" for each of `directories` whose file system bears on what its data is worth,
/// but for one below another that is the same.
void WarnOfFileSystems(const std::vector<std::string>& directories, Terminal& terminal);

}  // namespace duramen::tools
