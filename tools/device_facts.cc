#include "tools/device_facts.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "base/posix_io.h"
#include "base/try.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

namespace fs = std::filesystem;

constexpr int kStackMax = 8;              // devices upon devices
constexpr std::size_t kStatWrites = 4;    // fields of /sys/block/*/stat
constexpr std::size_t kStatFlushes = 15;  // since Linux 5.5

std::string ReadText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The first word; nothing where there is no such file.
std::optional<std::string> ReadLine(const fs::path& path) {
  std::string text = ReadText(path);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) return std::nullopt;
  return text;
}

std::optional<std::uint64_t> ReadNumber(const fs::path& path) {
  const std::optional<std::string> text = ReadLine(path);
  return text ? ParseCount(*text) : std::nullopt;
}

std::optional<bool> ReadFlag(const fs::path& path) {
  const std::optional<std::uint64_t> number = ReadNumber(path);
  if (!number) return std::nullopt;
  return *number != 0;
}

/// mountinfo writes blanks, tabs, line breaks and backslashes as \040 and the like.
std::string Unescaped(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto digit = [&](std::size_t place) {
      const char letter = at + place < text.size() ? text[at + place] : 'x';
      return letter >= '0' && letter <= '7' ? letter - '0' : -1;
    };
    if (text[at] == '\\' && digit(1) >= 0 && digit(2) >= 0 && digit(3) >= 0) {
      out.push_back(static_cast<char>(digit(1) * 64 + digit(2) * 8 + digit(3)));
      at += 3;
    } else {
      out.push_back(text[at]);
    }
  }
  return out;
}

/// "ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAG...] - TYPE SOURCE SUPER_OPTIONS".
std::optional<Mount> ParseMount(const std::string& line) {
  std::istringstream words(line);
  std::string word;
  std::vector<std::string> before;
  while (words >> word && word != "-") before.push_back(word);
  Mount mount;
  std::string super_options;
  if (before.size() < 6 || !(words >> mount.file_system >> mount.source)) return std::nullopt;
  words >> super_options;
  mount.point = Unescaped(before[4]);
  mount.source = Unescaped(mount.source);
  mount.options = before[5] + (super_options.empty() ? "" : ",") + super_options;
  return mount;
}

bool IsBelow(const std::string& path, const std::string& point) {
  if (point == "/" || path == point) return true;
  return path.starts_with(point) && path[point.size()] == '/';
}

/// The disks that the one at `device` (its entry in /sys, all links followed) is made of.
void AddLeaves(const fs::path& device, int depth, std::vector<fs::path>& leaves) {
  std::error_code error;
  // A partition counts its writes, but queues and flushes are its disk's.
  const fs::path disk = fs::exists(device / "partition", error) ? device.parent_path() : device;
  std::vector<fs::path> below;
  if (depth < kStackMax) {
    for (const auto& entry : fs::directory_iterator(disk / "slaves", error)) {
      const fs::path one = fs::canonical(entry.path(), error);
      if (!error) below.push_back(one);
    }
  }
  std::sort(below.begin(), below.end());
  for (const fs::path& one : below) AddLeaves(one, depth + 1, leaves);
  if (below.empty() && std::find(leaves.begin(), leaves.end(), disk) == leaves.end()) {
    leaves.push_back(disk);
  }
}

std::vector<std::uint64_t> StatFields(const fs::path& disk) {
  std::istringstream words(ReadText(disk / "stat"));
  return {std::istream_iterator<std::uint64_t>(words), {}};
}

bool IsVirtual(const fs::path& disk) {
  const std::string path = disk.string();
  return path.find("/virtio") != std::string::npos || path.find("/vbd-") != std::string::npos ||
         path.find("/vmbus") != std::string::npos;
}

/// The device that is mounted; some file systems (btrfs) do not give its number as theirs.
std::optional<BlockDevice> DeviceOf(const std::string& path, const std::optional<Mount>& mount) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  dev_t device = status.st_dev;
  if (major(device) == 0) {
    if (!mount || ::stat(mount->source.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) {
      return std::nullopt;
    }
    device = status.st_rdev;
  }
  return FindDevice("/sys", major(device), minor(device));
}

}  // namespace

bool Mount::Has(std::string_view option) const {
  std::istringstream words(options);
  std::string word;
  while (std::getline(words, word, ',')) {
    if (word == option) return true;
  }
  return false;
}

std::optional<Mount> FindMount(std::string_view mountinfo, const std::string& path) {
  std::istringstream lines{std::string(mountinfo)};
  std::optional<Mount> found;
  std::string line;
  while (std::getline(lines, line)) {
    const std::optional<Mount> mount = ParseMount(line);
    if (!mount || !IsBelow(path, mount->point)) continue;
    // Of two at one point the later covers the earlier.
    if (!found || mount->point.size() >= found->point.size()) found = mount;
  }
  return found;
}

std::optional<DeviceCounters> BlockDevice::Count() const {
  DeviceCounters sum;
  for (const std::string& path : leaf_paths) {
    const std::vector<std::uint64_t> fields = StatFields(path);
    if (fields.size() <= kStatWrites) return std::nullopt;
    sum.writes += fields[kStatWrites];
    if (fields.size() > kStatFlushes) sum.flushes += fields[kStatFlushes];
  }
  if (leaf_paths.empty()) return std::nullopt;
  return sum;
}

std::optional<BlockDevice> FindDevice(const std::string& sys, unsigned major, unsigned minor) {
  std::error_code error;
  const std::string number = std::to_string(major) + ":" + std::to_string(minor);
  const fs::path entry = fs::canonical(fs::path(sys) / "dev" / "block" / number, error);
  if (error) return std::nullopt;
  const bool partition = fs::exists(entry / "partition", error);
  const fs::path queue = (partition ? entry.parent_path() : entry) / "queue";
  BlockDevice device{.name = entry.filename().string()};
  if (const auto cache = ReadLine(queue / "write_cache")) {
    device.volatile_cache = *cache == "write back";
  }
  device.fua = ReadFlag(queue / "fua");
  device.rotational = ReadFlag(queue / "rotational");
  device.logical_block_bytes = ReadNumber(queue / "logical_block_size");
  device.physical_block_bytes = ReadNumber(queue / "physical_block_size");
  std::vector<fs::path> leaves;
  AddLeaves(entry, 0, leaves);
  device.counts_flushes = true;
  for (const fs::path& leaf : leaves) {
    device.leaves.push_back(leaf.filename().string());
    device.leaf_paths.push_back(leaf.string());
    device.is_virtual = device.is_virtual || IsVirtual(leaf);
    // Only drivers with request queues have each of their flushes counted.
    if (StatFields(leaf).size() <= kStatFlushes || !fs::exists(leaf / "mq", error)) {
      device.counts_flushes = false;
    }
    // The host of a loop device, and drivers that are stacked otherwise, tell nothing of below.
    const auto cache = ReadLine(leaf / "queue" / "write_cache");
    if (cache && *cache == "write back") device.volatile_cache = true;
  }
  return device;
}

Result<DeviceFacts> FactsOf(const std::string& directory) {
  PosixFileSystem file_system;
  const std::unique_ptr<Directory> opened = TRY(file_system.Open(directory));
  DeviceFacts facts{.path = directory};
  std::error_code error;
  const fs::path real = fs::canonical(directory, error);
  if (!error) facts.path = real.string();
  facts.kind = opened->Kind();
  facts.mount = FindMount(ReadText("/proc/self/mountinfo"), facts.path);
  facts.file_system = facts.mount ? facts.mount->file_system : facts.kind.name;
  if (facts.file_system.empty()) facts.file_system = "unknown";
  facts.device = DeviceOf(facts.path, facts.mount);
  return facts;
}

void WarnOfFileSystems(const std::vector<std::string>& directories, Terminal& terminal) {
  PosixFileSystem file_system;
  std::vector<std::pair<std::string, std::string>> said;  // path, file system
  for (const std::string& path : directories) {
    const Result<std::unique_ptr<Directory>> directory = file_system.Open(path);
    if (!directory.ok()) continue;  // Whoever reads it says so.
    const FileSystemKind kind = (*directory)->Kind();
    const std::string meaning = MeaningOf(kind, path);
    const bool again = std::any_of(said.begin(), said.end(), [&](const auto& other) {
      return kind.name == other.second && IsBelow(path, other.first);
    });
    if (meaning.empty() || again) continue;
    said.emplace_back(path, kind.name);
    terminal.Say("warning: " + meaning);
  }
}

}  // namespace duramen::tools
