#include "tools/du.h"

#include <algorithm>
#include <vector>

#include "base/try.h"
#include "log/quarantine.h"
#include "tools/read_only.h"
#include "tools/read_only_directory.h"
#include "tools/server_names.h"
#include "tools/store_image.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

struct Usage {
  std::string name;
  std::string uid;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

constexpr int kDepthMax = 8;  // a repair's own bundle has two levels

/// Of the files in it and below it: what they take of the disk, which is not how long they are.
Result<Usage> UsageOf(const Directory& directory, int depth = 0) {
  Usage usage;
  for (const DirectoryEntry& entry : TRY(directory.List())) {
    if (entry.is_regular) {
      ++usage.files;
      usage.bytes += AllocatedBytes(directory.path() + "/" + entry.name);
    }
    if (!entry.is_directory || depth == kDepthMax) continue;
    const auto below = directory.OpenDirectory(entry.name);
    if (!below.ok()) continue;  // Somebody has removed it.
    const Usage inside = TRY(UsageOf(**below, depth + 1));
    usage.files += inside.files;
    usage.bytes += inside.bytes;
  }
  return usage;
}

/// Every directory below servers/, whoever it belongs to.
Result<std::vector<Usage>> ServersOf(const StoreImage& image, const ServerNames& names) {
  std::vector<Usage> all;
  if (image.state == nullptr || image.state->servers_dir == nullptr) return all;
  for (const DirectoryEntry& entry : TRY(image.state->servers_dir->List())) {
    const Result<Uid128> uid = Uid128::Parse(entry.name);
    if (!uid.ok() || !entry.is_directory) continue;
    const auto directory = image.state->servers_dir->OpenDirectory(entry.name);
    if (!directory.ok()) continue;  // A running store has removed it.
    Usage usage = TRY(UsageOf(**directory));
    usage.name = names.NameOf(ServerUid{*uid});
    usage.uid = entry.name;
    all.push_back(std::move(usage));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Usage& a, const Usage& b) { return a.bytes > b.bytes; });
  return all;
}

/// What starts have kept of damage [PW7]: it counts until somebody removes it.
Status AddKept(const std::string& path, const StoreImage& image, std::vector<Usage>& all) {
  const auto quarantine = ReadOnlyDirectory::Open(path + "/" + log::kQuarantineName);
  if (quarantine.ok()) {
    const Usage copies = TRY(UsageOf(**quarantine));
    all.push_back({"(quarantine)", "", copies.files, copies.bytes});
  }
  if (!image.wal.whole) return {};
  const std::unique_ptr<Directory> wal = TRY(ReadOnlyDirectory::Open(image.wal.path));
  Usage files{.name = "(kept WAL files)"};
  for (const DirectoryEntry& entry : TRY(wal->List())) {
    if (!entry.is_regular || !entry.name.ends_with(wal::kKeptSuffix)) continue;
    ++files.files;
    files.bytes += AllocatedBytes(wal->path() + "/" + entry.name);
  }
  if (files.files > 0) all.push_back(files);
  return {};
}

}  // namespace

ExitCode RunDu(const DuOptions& options, Terminal& terminal) {
  const auto refuse = [&](const Error& error) {
    terminal.Complain(error);
    return ExitCodeOf(error.code);
  };
  ReadProgress progress(terminal);
  const Result<StoreImage> image = ReadStoreImage(options.path, &progress);
  if (!image.ok()) return refuse(image.error());
  const ServerNames names = ServerNames::Of(*image, {});
  Result<std::vector<Usage>> all = ServersOf(*image, names);
  if (!all.ok()) return refuse(all.error());
  const std::uint64_t servers = all->size();
  Usage wal{.name = "(wal)"};
  for (const ImageFile& file : image->wal.files) {
    ++wal.files;
    wal.bytes += file.file->allocated_bytes();
  }
  all->push_back(wal);
  if (image->state != nullptr && image->state->meta_dir != nullptr) {
    const Result<Usage> meta = UsageOf(*image->state->meta_dir);
    if (!meta.ok()) return refuse(meta.error());
    all->push_back({"(checkpoints)", "", meta->files, meta->bytes});
  }
  const Status kept = AddKept(options.path, *image, *all);
  if (!kept.ok() && !image->interrupted()) return refuse(kept.error());
  Sheet sheet(terminal, options.output, "usage",
              {{"server", ColumnType::kText},
               {"uid", ColumnType::kText, false},
               {"files", ColumnType::kCount},
               {"bytes", ColumnType::kSize}});
  std::uint64_t total = 0;
  for (const Usage& usage : *all) {
    const Cell row[] = {usage.name, usage.uid, usage.files, usage.bytes};
    sheet.Add(row);
    total += usage.bytes;
  }
  std::vector<Field> summary = VerdictFields(*image);
  summary.insert(summary.begin(), {{"servers", ColumnType::kCount, servers},
                                   {"total_bytes", ColumnType::kSize, total}});
  const std::string size = options.output.exact_bytes ? std::to_string(total) : HumanBytes(total);
  const std::string partly = image->interrupted() ? ": " + VerdictSentence(*image) : "";
  sheet.Finish(Plural(servers, "server") + " with segments, " + size + " in all" + partly, summary);
  return ConcludeOn(*image, terminal);
}

}  // namespace duramen::tools
