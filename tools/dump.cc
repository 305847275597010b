#include "tools/dump.h"

#include <map>

#include "base/try.h"
#include "tools/dump_filter.h"
#include "tools/dump_printer.h"
#include "tools/interrupt.h"
#include "tools/log_ranges.h"
#include "tools/lone_file.h"
#include "tools/store_image.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

ExitCode Refuse(Terminal& terminal, const Error& error) {
  terminal.Complain(error);
  return ExitCodeOf(error.code);
}

std::optional<Error> NoSuchServer(const DumpOptions& options, const ServerNames& names) {
  if (options.server.empty() || !names.Find(options.server).empty()) return std::nullopt;
  const std::string nearest = names.Nearest(options.server);
  return Error{ErrorCode::kInvalidArgument, "no record of a server '" + options.server + "'",
               (nearest.empty() ? "" : "did you mean " + nearest + "? ") +
                   std::string("duramen names ") + options.path + " lists them"};
}

/// The segments of all servers of a store.
class SegmentDump {
 public:
  SegmentDump(const DumpOptions& options, DumpPrinter& printer)
      : options_(options), printer_(printer) {}

  Status Run(const StoreImage& image, const LogRanges& ranges) {
    if (image.path.empty() || image.state == nullptr) return {};
    for (const auto& [uid, server] : image.state->servers) {
      if (!printer_.wants_more()) break;
      if (!printer_.filter().WantsServer(&uid)) continue;
      if (image.state->candidates().count(uid) != 0) {
        if (options_.all) TRY(Stranger(image, uid));
        continue;
      }
      TRY(Server(image, server, ranges.Of(uid)));
    }
    return {};
  }

 private:
  struct Seen {
    std::uint64_t number = 0;
    std::uint64_t bytes = 0;
  };

  Status Server(const StoreImage& image, const log::ServerSegments& server, IndexRange live) {
    if (server.list.empty()) return {};
    const ServerUid& uid = server.identity.uid;
    const std::unique_ptr<Directory> directory =
        TRY(image.state->servers_dir->OpenDirectory(uid.ToString()));
    Seen& seen = seen_[uid];
    TRY(WalkSegments({.directory = directory.get(),
                      .shown_prefix = PrefixOf(uid),
                      .identity = server.identity,
                      .list = server.list,
                      .live = live,
                      .all = options_.all,
                      .after_number = seen.number,
                      .after_bytes = seen.bytes},
                     printer_));
    if (seen.number == 0) printer_.CountSegments(server.list.segments().size());
    seen = {server.list.last()->number, server.list.last()->bytes};
    return {};
  }

  /// With a directory and without a row: each file tells for itself.
  Status Stranger(const StoreImage& image, const ServerUid& uid) {
    const std::unique_ptr<Directory> directory =
        TRY(image.state->servers_dir->OpenDirectory(uid.ToString()));
    for (const DirectoryEntry& entry : TRY(directory->List())) {
      const auto number = segments::ParseFileName(entry.name);
      if (!number || !entry.is_regular) continue;
      const std::unique_ptr<File> file = TRY(directory->Open(entry.name, OpenFor::kRead));
      Result<SegmentWalk> walk = LoneSegment(*file, nullptr, *number);
      if (!walk.ok() && walk.error().code != ErrorCode::kCorruption) return walk.error();
      if (!walk.ok()) {
        printer_.OnSegmentSkipped(PrefixOf(uid) + entry.name, 0, entry.size_bytes);
        continue;
      }
      walk->shown_prefix = PrefixOf(uid) + entry.name;
      walk->live = {};  // Nothing says that any of it counts.
      walk->all = true;
      TRY(WalkOneSegment(*file, *walk, printer_));
      printer_.CountSegments(1);
    }
    return {};
  }

  static std::string PrefixOf(const ServerUid& uid) {
    return std::string(log::kServersName) + "/" + uid.ToString() + "/";
  }

  const DumpOptions& options_;
  DumpPrinter& printer_;
  std::map<ServerUid, Seen> seen_;
};

/// The rows of both checkpoint files.
Status DumpCheckpoints(const StoreImage& image, DumpPrinter& printer) {
  if (image.path.empty() || image.state == nullptr || image.state->meta_dir == nullptr) return {};
  for (const char* name : meta::kCheckpointNames) {
    const Result<std::unique_ptr<File>> file = image.state->meta_dir->Open(name, OpenFor::kRead);
    if (!file.ok()) continue;  // Missing, or among the findings.
    const Result<CheckpointImage> checkpoint = ReadCheckpointImage(**file, image.system);
    if (!checkpoint.ok() && checkpoint.error().code == ErrorCode::kUnknownVersion) {
      return checkpoint.error();
    }
    if (!checkpoint.ok()) {
      printer.OnSegmentSkipped(std::string(log::kMetaName) + "/" + name, 0,
                               TRY((*file)->SizeBytes()));
      continue;
    }
    printer.OnCheckpoint(std::string(log::kMetaName) + "/" + name, *checkpoint);
  }
  return {};
}

ExitCode DumpLone(const DumpOptions& options, LoneFile& lone, Terminal& terminal) {
  if (const std::optional<Error> wrong = NoSuchServer(options, lone.names)) {
    return Refuse(terminal, *wrong);
  }
  DumpPrinter printer(options, lone.names, terminal, nullptr);
  if (lone.segment) {
    lone.segment->all = options.all;
    printer.CountSegments(1);
    const Status walked = WalkOneSegment(*lone.file, *lone.segment, printer);
    if (!walked.ok()) return Refuse(terminal, walked.error());
  } else {
    printer.OnCheckpoint(lone.path.substr(lone.path.rfind('/') + 1), *lone.checkpoint);
  }
  const bool whole = printer.totals().skipped_bytes == 0;
  printer.Finish(whole ? "clean" : "damage");
  const Status flushed = terminal.Flush();
  if (!flushed.ok()) return Refuse(terminal, flushed.error());
  if (Interrupted()) return ExitCode::kInterrupted;
  return whole ? ExitCode::kClean : ExitCode::kDamage;
}

/// What was flushed while the WAL was read stands in segments by now.
Status DumpFlushedSince(const DumpOptions& options, SegmentDump& segments, DumpPrinter& printer) {
  if (!printer.recycled() || !printer.wants_more()) return {};
  const StoreImage now = TRY(ReadStoreImage(options.path));
  LogRanges ranges(now);
  WalkWal(now.wal, {}, ranges);
  return segments.Run(now, ranges);
}

ExitCode DumpStore(const DumpOptions& options, const StoreImage& image, Terminal& terminal) {
  LogRanges ranges(image);
  const WalkOptions walk{.all = options.all};
  const ServerNames names = ServerNames::Of(image, walk, options.all ? nullptr : &ranges);
  if (options.all) WalkWal(image.wal, {}, ranges);
  if (const std::optional<Error> wrong = NoSuchServer(options, names)) {
    return Refuse(terminal, *wrong);
  }
  DumpPrinter printer(options, names, terminal, &image.wal);
  SegmentDump segments(options, printer);
  Status status = segments.Run(image, ranges);
  if (status.ok()) {
    WalkWal(image.wal, walk, printer);
    status = DumpFlushedSince(options, segments, printer);
  }
  if (status.ok() && printer.wants_more()) status = DumpCheckpoints(image, printer);
  if (!status.ok()) return Refuse(terminal, status.error());
  printer.Finish(VerdictSentence(image));
  SayNotes(image, terminal);
  const Status flushed = terminal.Flush();
  if (!flushed.ok()) return Refuse(terminal, flushed.error());
  if (Interrupted()) return ExitCode::kInterrupted;
  const bool whole = printer.totals().skipped_bytes == 0 && !image.damaged();
  return whole ? ExitCode::kClean : ExitCode::kDamage;
}

}  // namespace

ExitCode RunDump(const DumpOptions& options, Terminal& terminal) {
  if (!DumpFilter::KnownKind(options.kind)) {
    return Refuse(terminal,
                  {ErrorCode::kInvalidArgument, "no record is of kind '" + options.kind + "'",
                   "entry, row, mark, a run kind such as overwrite, a row kind such as "
                   "vote, or the number of an entry kind"});
  }
  Result<std::optional<LoneFile>> lone = OpenLoneFile(options.path);
  if (!lone.ok()) return Refuse(terminal, lone.error());
  if (*lone) return DumpLone(options, **lone, terminal);
  const Result<StoreImage> image = ReadStoreImage(options.path);
  if (!image.ok()) return Refuse(terminal, image.error());
  return DumpStore(options, *image, terminal);
}

}  // namespace duramen::tools
