#include "tools/demo_frame.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include "base/bytes.h"
#include "base/posix_io.h"
#include "base/rng.h"
#include "base/try.h"
#include "tools/interrupt.h"
#include "tools/line_reader.h"
#include "tools/read_only.h"

namespace duramen::tools {
namespace {

constexpr const char* kLicences = "/usr/share/common-licenses";
constexpr std::uint64_t kInputBytesMax = 1ULL << 30;
constexpr std::uint64_t kRepeatedBytesMax = 64 << 20;

Result<std::string> ReadWhole(const std::string& path) {
  // Through a LineReader's rules: the operator's own FILE may be a symlink or a pipe.
  LineReader reader = TRY(LineReader::Open(path));
  std::string text;
  while (true) {
    const std::uint64_t before = reader.bytes();
    const std::optional<std::string_view> line = TRY(reader.Next());
    if (!line) return text;
    text += *line;
    // Only a last line without a newline counts as many bytes as it has.
    if (reader.bytes() - before > line->size()) text.push_back('\n');
    if (text.size() > kInputBytesMax) {
      return Error{ErrorCode::kTooLarge, path + " is larger than 1 GiB",
                   "duramen load DIR --servers 1000 " + path};
    }
  }
}

/// All licences of Debian, one after the other; its links to them are left out.
Result<std::string> LicenceTexts() {
  PosixFileSystem file_system;
  const Result<std::unique_ptr<Directory>> directory = file_system.Open(kLicences);
  if (!directory.ok()) {
    return Error{ErrorCode::kNotFound, std::string(kLicences) + " is not there",
                 "duramen demo FILE, with a text of your own"};
  }
  std::string text;
  for (const DirectoryEntry& entry : TRY((*directory)->List())) {
    if (!entry.is_regular) continue;
    text += TRY(ReadWhole(std::string(kLicences) + "/" + entry.name));
    if (!text.ends_with('\n')) text.push_back('\n');
  }
  return text;
}

}  // namespace

Result<DemoText> ReadDemoText(const std::string& file, std::uint64_t lines_min) {
  DemoText read;
  read.text = file.empty() ? TRY(LicenceTexts()) : TRY(ReadWhole(file));
  auto lines = static_cast<std::uint64_t>(std::count(read.text.begin(), read.text.end(), '\n'));
  if (!read.text.empty() && !read.text.ends_with('\n')) ++lines;
  if (lines == 0 || lines >= lines_min) return read;
  if (!read.text.ends_with('\n')) read.text.push_back('\n');
  // Few long lines stay few.
  const std::uint64_t fit = std::max<std::uint64_t>(kRepeatedBytesMax / read.text.size(), 1);
  read.copies = std::min((lines_min + lines - 1) / lines, fit);
  const std::string once = read.text;
  for (std::uint64_t i = 1; i < read.copies; ++i) read.text += once;
  return read;
}

Result<std::string> MakeDemoDirectory(const std::string& wanted) {
  PosixFileSystem file_system;
  std::string path = wanted;
  if (path.empty()) {
    path = "duramen-demo-" + Rng::FromSystem().NextUid().ToString().substr(0, 8);
  }
  TRY(file_system.CreateDirectories(path));
  const std::unique_ptr<Directory> directory = TRY(file_system.Open(path));
  if (!TRY(directory->List()).empty()) {
    return Error{ErrorCode::kRefused, path + " is not empty", "name a new directory with --dir"};
  }
  return path;
}

Status WriteDemoFile(const std::string& dir, const std::string& name, const std::string& text) {
  PosixFileSystem file_system;
  const std::unique_ptr<Directory> directory = TRY(file_system.Open(dir));
  const std::unique_ptr<File> file = TRY(directory->Create(name));
  return file->Write(0, AsBytes(text));
}

ExitCode EndDemo(const Result<ExitCode>& exit, Terminal& terminal) {
  ExitCode code = exit.ok() ? *exit : ExitCodeOf(exit.error().code);
  if (Interrupted()) {
    code = ExitCode::kInterrupted;
    if (!exit.ok()) terminal.Say("interrupted");
  } else if (!exit.ok()) {
    terminal.Complain(exit.error());
  }
  const Status flushed = terminal.Flush();
  if (flushed.ok()) return code;
  terminal.Complain(flushed.error());
  return ExitCodeOf(flushed.error().code);
}

void CleanUpDemo(const std::string& dir, bool keep, Terminal& terminal) {
  if (dir.empty()) return;
  if (keep) return terminal.Say("the files are in " + dir);
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
}

}  // namespace duramen::tools
