#include "tools/dump.h"

#include <algorithm>
#include <iterator>
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
        printer_.OnFileSkipped(PrefixOf(uid) + entry.name, entry.size_bytes, walk.error().message);
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

Result<CheckpointImage> ReadCheckpoint(const StoreImage& image, const std::string& name) {
  const std::unique_ptr<File> file = TRY(image.state->meta_dir->Open(name, OpenFor::kRead));
  return ReadCheckpointImage(*file, image.system);
}

/// The rows of both checkpoint files.
Status DumpCheckpoints(const StoreImage& image, DumpPrinter& printer) {
  if (image.path.empty() || image.state == nullptr || image.state->meta_dir == nullptr) return {};
  for (const DirectoryEntry& entry : TRY(image.state->meta_dir->List())) {
    if (std::ranges::find(meta::kCheckpointNames, entry.name) == std::end(meta::kCheckpointNames)) {
      continue;
    }
    const std::string shown = std::string(log::kMetaName) + "/" + entry.name;
    const Result<CheckpointImage> checkpoint = ReadCheckpoint(image, entry.name);
    if (checkpoint.ok()) {
      printer.OnCheckpoint(shown, *checkpoint);
      continue;
    }
    if (checkpoint.error().code == ErrorCode::kUnknownVersion) return checkpoint.error();
    // A running store may be writing it; what is wrong with it was wrong before.
    const bool damaged = std::ranges::any_of(
        image.state->findings, [&](const Finding& finding) { return finding.file == shown; });
    if (damaged) printer.OnFileSkipped(shown, entry.size_bytes, checkpoint.error().message);
  }
  return {};
}

/// The verdict of the last line, and the exit that goes with it.
struct Ending {
  std::string verdict;
  ExitCode exit = ExitCode::kClean;
};

/// `found`: what stands in the files apart from what was skipped.
Ending EndingOf(const DumpPrinter& printer, const std::string& found, bool damaged) {
  if (Interrupted()) return {"interrupted, and not all of it was read", ExitCode::kInterrupted};
  if (damaged) return {found, ExitCode::kDamage};
  if (printer.skipped_any()) return {"damage", ExitCode::kDamage};
  return {found, ExitCode::kClean};
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
  const Ending ending = EndingOf(printer, "clean", false);
  printer.Finish(ending.verdict, {{"verdict", ColumnType::kText, ending.verdict}});
  const Status flushed = terminal.Flush();
  return flushed.ok() ? ending.exit : Refuse(terminal, flushed.error());
}

/// What was flushed while the WAL was read stands in segments by now.
Status DumpFlushedSince(const DumpOptions& options, SegmentDump& segments, DumpPrinter& printer,
                        ReadProgress& progress) {
  if (!printer.recycled() || !printer.wants_more()) return {};
  const StoreImage now = TRY(ReadStoreImage(options.path, &progress));
  progress.Begin("", 0);
  LogRanges ranges(now);
  WalkWal(now.wal, {}, ranges);
  return segments.Run(now, ranges);
}

ExitCode DumpStore(const DumpOptions& options, const StoreImage& image, ReadProgress& progress,
                   Terminal& terminal) {
  LogRanges ranges(image);
  const WalkOptions walk{.all = options.all};
  const ServerNames names = ServerNames::Of(image, walk, options.all ? nullptr : &ranges);
  if (options.all) WalkWal(image.wal, {}, ranges);
  const std::optional<Error> wrong = NoSuchServer(options, names);
  if (wrong && !Interrupted()) return Refuse(terminal, *wrong);
  DumpPrinter printer(options, names, terminal, &image.wal);
  SegmentDump segments(options, printer);
  Status status = segments.Run(image, ranges);
  if (status.ok()) {
    WalkWal(image.wal, walk, printer);
    status = DumpFlushedSince(options, segments, printer, progress);
  }
  if (status.ok() && printer.wants_more()) status = DumpCheckpoints(image, printer);
  if (!status.ok() && !Interrupted()) return Refuse(terminal, status.error());
  const Ending ending = EndingOf(printer, VerdictSentence(image), image.damaged());
  printer.Finish(ending.verdict, {HalfRepairField(image.half_repair),
                                  {"verdict", ColumnType::kText, ending.verdict}});
  SayNotes(image, terminal);
  const Status flushed = terminal.Flush();
  return flushed.ok() ? ending.exit : Refuse(terminal, flushed.error());
}

}  // namespace

Status CheckUsage(const DumpOptions& options) {
  if (DumpFilter::KnownKind(options.kind)) return {};
  return Error{ErrorCode::kInvalidArgument, "no record is of kind '" + options.kind + "'",
               "entry, row, mark, a run kind such as overwrite, a row kind such as vote, or the "
               "number of an entry kind"};
}

ExitCode RunDump(const DumpOptions& options, Terminal& terminal) {
  const Status usage = CheckUsage(options);
  if (!usage.ok()) return Refuse(terminal, usage.error());
  Result<std::optional<LoneFile>> lone = OpenLoneFile(options.path);
  if (!lone.ok()) return Refuse(terminal, lone.error());
  if (*lone) return DumpLone(options, **lone, terminal);
  ReadProgress progress(terminal);
  const Result<StoreImage> image = ReadStoreImage(options.path, &progress);
  if (!image.ok()) return Refuse(terminal, image.error());
  progress.Begin("", 0);  // From here on rows show how far it is.
  return DumpStore(options, *image, progress, terminal);
}

}  // namespace duramen::tools
