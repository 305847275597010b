#include "tools/lone_file.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/try.h"
#include "log/durable_state.h"
#include "segments/run_walk.h"
#include "tools/read_only_directory.h"
#include "tools/system_check.h"

namespace duramen::tools {
namespace {

/// What follows the last slash, and what stands before it.
struct PathParts {
  std::string directory = ".";
  std::string name;
};

PathParts Split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {.name = path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

/// The rows that the checkpoints of a data directory have; empty when `data_path` is none.
meta::Table TableOf(const std::string& data_path, SystemUuid& system) {
  meta::Table table;
  const Result<log::Copies<log::SystemFile>> system_file = ReadSystemFile(data_path);
  if (!system_file.ok()) return table;
  system = system_file->content.system;
  const Result<std::unique_ptr<Directory>> directory =
      ReadOnlyDirectory::Open(data_path + "/" + log::kMetaName);
  if (!directory.ok()) return table;
  const Result<meta::LoadedCheckpoints> loaded = meta::CheckpointFiles(**directory, system).Load();
  if (!loaded.ok()) return table;
  const meta::MergedCheckpoints merged = meta::MergeCheckpoints(loaded->files[0], loaded->files[1]);
  for (const meta::MergedServer& server : merged.servers) table.Restore(server.uid, server.rows);
  return table;
}

Status OpenSegment(LoneFile& lone) {
  const PathParts parts = Split(lone.path);
  segments::ServerIdentity beside;
  const meta::Table table = TableOf(parts.directory + "/../..", beside.system);
  lone.names.Learn(table);
  const Result<Uid128> uid = Uid128::Parse(Split(parts.directory).name);
  if (uid.ok()) beside.uid = ServerUid{*uid};
  const meta::ServerRows* rows = table.Find(beside.uid);
  const bool known = rows != nullptr && rows->has(meta::RowKind::kIdentity);
  if (known) beside.cluster_id = rows->identity.cluster_id;
  lone.segment = TRY(LoneSegment(*lone.file, known ? &beside : nullptr,
                                 segments::ParseFileName(parts.name).value_or(0)));
  lone.segment->shown_prefix = parts.name;
  lone.names.seen().insert(lone.segment->identity.uid);
  return {};
}

Status OpenCheckpoint(LoneFile& lone, Bytes front) {
  SystemUuid system = SystemOfCheckpoint(front);
  if (system.is_nil()) {
    const Result<log::Copies<log::SystemFile>> beside =
        ReadSystemFile(Split(lone.path).directory + "/..");
    if (beside.ok()) system = beside->content.system;
  }
  Result<CheckpointImage> image = ReadCheckpointImage(*lone.file, system);
  if (!image.ok()) {
    return Error{
        image.error().code, lone.path + ": " + image.error().message,
        image.error().hint.empty() ? "the other checkpoint file may be whole" : image.error().hint};
  }
  meta::Table table;
  for (const meta::CheckpointServer& server : image->content.servers) {
    table.Restore(server.uid, server.rows);
  }
  lone.names.Learn(table);
  lone.checkpoint = std::move(*image);
  return {};
}

}  // namespace

Result<std::optional<LoneFile>> OpenLoneFile(const std::string& path) {
  Result<std::unique_ptr<ReadOnlyFile>> file = ReadOnlyFile::Open(path);
  // A directory, a symlink, nothing at all: the reader of WALs has the words for it.
  if (!file.ok()) return std::optional<LoneFile>();
  const std::vector<std::byte> front =
      TRY(segments::ReadUpTo(**file, 0, meta::kCheckpointHeaderBytes));
  const std::string name = Split(path).name;
  const bool segment =
      (front.size() >= 8 && LoadLe<std::uint64_t>(front.data()) == segments::kFileMagic) ||
      segments::ParseFileName(name).has_value();
  const bool checkpoint =
      !SystemOfCheckpoint(front).is_nil() ||
      std::ranges::find(meta::kCheckpointNames, name) != std::end(meta::kCheckpointNames);
  if (!segment && !checkpoint) return std::optional<LoneFile>();
  std::optional<LoneFile> lone(std::in_place);
  lone->path = path;
  lone->file = std::move(*file);
  TRY(segment ? OpenSegment(*lone) : OpenCheckpoint(*lone, front));
  return lone;
}

}  // namespace duramen::tools
