#include "base/file_system_kind.h"

namespace duramen {
namespace {

struct Known {
  std::uint64_t magic;
  FileSystemClass what;
  const char* name;
};

// As in statfs(2) and linux/magic.h; not all of them are in the headers of Debian 12.
constexpr Known kKnown[] = {
    {0x0000EF53, FileSystemClass::kOther, "ext4"},
    {0x58465342, FileSystemClass::kOther, "xfs"},
    {0x9123683E, FileSystemClass::kOther, "btrfs"},
    {0xF2F52010, FileSystemClass::kOther, "f2fs"},
    {0xCA451A4E, FileSystemClass::kOther, "bcachefs"},
    {0x2FC12FC1, FileSystemClass::kOther, "zfs"},
    {0x01021994, FileSystemClass::kMemory, "tmpfs"},
    {0x858458F6, FileSystemClass::kMemory, "ramfs"},
    {0x794C7630, FileSystemClass::kOverlay, "overlay"},
    {0x61756673, FileSystemClass::kOverlay, "aufs"},
    {0x00006969, FileSystemClass::kNetwork, "nfs"},
    {0xFF534D42, FileSystemClass::kNetwork, "cifs"},
    {0xFE534D42, FileSystemClass::kNetwork, "smb2"},
    {0x0000517B, FileSystemClass::kNetwork, "smb"},
    {0x01021997, FileSystemClass::kNetwork, "9p"},
    {0x00C36400, FileSystemClass::kNetwork, "ceph"},
    {0x5346414F, FileSystemClass::kNetwork, "afs"},
    {0x47504653, FileSystemClass::kNetwork, "gpfs"},
    {0x0BD00BD0, FileSystemClass::kNetwork, "lustre"},
    {0x65735546, FileSystemClass::kNetwork, "fuse"},
    {0x786F4256, FileSystemClass::kNetwork, "vboxsf"},
    {0xBACBACBC, FileSystemClass::kNetwork, "vmhgfs"},
};

}  // namespace

FileSystemKind FileSystemOf(std::uint64_t magic) {
  for (const Known& known : kKnown) {
    if (known.magic == (magic & 0xFFFFFFFF)) return {known.what, known.name};
  }
  return {};
}

std::string MeaningOf(const FileSystemKind& kind, const std::string& path) {
  const std::string where = "'" + path + "' is on " + kind.name;
  switch (kind.what) {
    case FileSystemClass::kMemory:
      return where +
             ", which is memory: a sync means nothing there, and everything is lost when "
             "the machine stops";
    case FileSystemClass::kOverlay:
      return where +
             ", the layers of a container: a sync is worth what the file system below makes "
             "of it, and the data goes when the container is removed";
    case FileSystemClass::kNetwork:
      return where +
             ": a sync is worth what the server or program behind it makes of it, and "
             "that cannot be seen from here";
    case FileSystemClass::kOther:
      break;
  }
  return "";
}

}  // namespace duramen
