#include "tools/stat.h"

#include <algorithm>
#include <deque>
#include <map>

#include "base/try.h"
#include "tools/device_facts.h"
#include "tools/findings.h"
#include "tools/log_ranges.h"
#include "tools/segment_walk.h"
#include "tools/server_names.h"
#include "tools/text.h"
#include "tools/wal_walk.h"

namespace duramen::tools {
namespace {

/// One server's log, folded: which runs still hold live entries.
class ServerFold {
 public:
  struct Piece {
    Index first = 0;
    Index end = 0;
    double bytes_per_entry = 0;
    std::size_t file = 0;
  };

  /// As of the end of `covered_file`: what runs in files up to it say is in here already.
  void Seed(const wal::SlotBounds& bounds, std::uint64_t covered_file) {
    begin_ = bounds.begin;
    end_ = bounds.end;
    known_ = true;
    covered_file_ = covered_file;
  }

  void OnRun(const wal::RunView& run, std::size_t file, std::uint64_t number) {
    const wal::RunHeader& header = run.header;
    written_bytes_ += wal::kRunHeaderBytes + header.bytes;
    if (number <= covered_file_) return;
    switch (header.kind) {
      case wal::RunKind::kNext:
      case wal::RunKind::kOverwrite:
        return Add(header, file);
      case wal::RunKind::kJump:
        pieces_.clear();
        begin_ = end_ = header.first;
        return Add(header, file);
      case wal::RunKind::kTruncateSuffix:
        return Cut(header.first);
      case wal::RunKind::kReset:
        pieces_.clear();
        begin_ = end_ = header.first;
        return;
      case wal::RunKind::kFloor:
        return Raise(header.first);
      case wal::RunKind::kBounds:
        if (!known_) end_ = header.first;
        known_ = true;
        return Raise(header.first);
      case wal::RunKind::kSparse:
      case wal::RunKind::kRows:
        break;
    }
  }

  Index begin() const { return begin_; }
  Index end() const { return end_; }
  std::uint64_t written_bytes() const { return written_bytes_; }
  const std::deque<Piece>& pieces() const { return pieces_; }
  std::uint64_t live_entries() const {
    std::uint64_t entries = 0;
    for (const Piece& piece : pieces_) entries += piece.end - piece.first;
    return entries;
  }
  static std::uint64_t LiveBytes(const Piece& piece) {
    return static_cast<std::uint64_t>(static_cast<double>(piece.end - piece.first) *
                                      piece.bytes_per_entry);
  }
  std::uint64_t live_bytes() const {
    std::uint64_t bytes = 0;
    for (const Piece& piece : pieces_) bytes += LiveBytes(piece);
    return bytes;
  }

 private:
  void Add(const wal::RunHeader& run, std::size_t file) {
    if (!known_) begin_ = run.first;  // Older files are gone: it begins with what is left.
    known_ = true;
    Cut(run.first);
    end_ = run.first + run.count;
    pieces_.push_back({run.first, end_, static_cast<double>(run.bytes) / run.count, file});
  }
  void Cut(Index end) {
    while (!pieces_.empty() && pieces_.back().first >= end) pieces_.pop_back();
    if (!pieces_.empty()) pieces_.back().end = std::min(pieces_.back().end, end);
    end_ = std::min(end_, end);
    if (begin_ > end_) begin_ = end_;
  }
  void Raise(Index begin) {
    while (!pieces_.empty() && pieces_.front().end <= begin) pieces_.pop_front();
    if (!pieces_.empty()) pieces_.front().first = std::max(pieces_.front().first, begin);
    begin_ = std::max(begin_, begin);
    end_ = std::max(end_, begin_);
  }

  bool known_ = false;
  Index begin_ = 1;
  Index end_ = 1;
  std::deque<Piece> pieces_;
  std::uint64_t written_bytes_ = 0;
  std::uint64_t covered_file_ = 0;
};

/// What one server has in segments.
struct SegmentTotals {
  std::vector<SegmentUse> files;
  std::vector<std::pair<std::string, std::uint64_t>> leftovers;  // name, bytes
  Index flushed_end = 0;
  std::uint64_t bytes = 0;
  std::uint64_t live_bytes = 0;
  std::uint64_t live_entries = 0;
};

struct FileUse {
  std::uint64_t batches = 0;
  std::uint64_t first_batch = 0;
  std::uint64_t last_batch = 0;
  std::uint64_t batch_bytes = 0;
};

class Folder final : public WalVisitor {
 public:
  explicit Folder(const StoreImage& image) : image_(image.wal), files_(image.wal.files.size()) {
    if (image.state == nullptr) return;
    for (const wal::LogSeed& seed : image.state->seeds) {
      servers_[seed.owner.uid].Seed(seed.bounds, seed.covered_file);
    }
  }
  void OnBatch(const WalkedBatch& batch) override {
    FileUse& use = files_[batch.file];
    if (use.batches++ == 0) use.first_batch = batch.number;
    use.last_batch = batch.last_number;
    use.batch_bytes += batch.bytes;
  }
  void OnRun(const WalkedRun& walked) override {
    if (walked.owner == nullptr) return;
    servers_[walked.owner->uid].OnRun(walked.run, walked.batch.file,
                                      image_.summaries[walked.batch.file].number);
  }
  void OnSkipped(const WalkedBatch&, std::uint64_t bytes, bool) override { skipped_ += bytes; }

  const std::map<ServerUid, ServerFold>& servers() const { return servers_; }
  const std::vector<FileUse>& files() const { return files_; }
  std::uint64_t skipped() const { return skipped_; }

 private:
  const WalImage& image_;
  std::map<ServerUid, ServerFold> servers_;
  std::vector<FileUse> files_;
  std::uint64_t skipped_ = 0;
};

using Rows = std::vector<std::vector<Cell>>;

const std::vector<Column> kFileColumns = {
    {"file", ColumnType::kText},          {"state", ColumnType::kText},
    {"size", ColumnType::kSize},          {"used", ColumnType::kSize},
    {"fill_percent", ColumnType::kCount}, {"batches", ColumnType::kCount},
    {"first_batch", ColumnType::kCount},  {"last_batch", ColumnType::kCount},
    {"live", ColumnType::kSize},          {"garbage", ColumnType::kSize}};
const std::vector<Column> kServerColumns = {
    {"server", ColumnType::kText},       {"uid", ColumnType::kText, false},
    {"begin", ColumnType::kCount},       {"end", ColumnType::kCount},
    {"flushed_end", ColumnType::kCount}, {"entries", ColumnType::kCount},
    {"wal", ColumnType::kSize},          {"segments", ColumnType::kSize},
    {"live", ColumnType::kSize},         {"garbage", ColumnType::kSize},
    {"files", ColumnType::kCount}};

/// Numbers from the highest, text from the lowest; where there is no such column, as they stand.
void SortRows(Rows& rows, const std::vector<Column>& columns, const std::string& by) {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const Column& column) { return column.name == by; });
  if (found == columns.end()) return;
  const auto place = static_cast<std::size_t>(found - columns.begin());
  const auto number = [&](const std::vector<Cell>& row) {
    const auto* value = std::get_if<std::uint64_t>(&row[place]);
    return value == nullptr ? 0 : *value;
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const auto& a, const auto& b) {
    const auto* text = std::get_if<std::string>(&a[place]);
    const auto* other = std::get_if<std::string>(&b[place]);
    if (text != nullptr && other != nullptr) return *text < *other;
    return number(a) > number(b);
  });
}

const std::vector<Column>& ColumnsOf(const StatOptions& options) {
  return options.by == "file" ? kFileColumns : kServerColumns;
}

void Print(const StatOptions& options, Terminal& terminal, const StoreImage& image, Rows rows) {
  SortRows(rows, ColumnsOf(options), options.sort);
  Sheet sheet(terminal, options.output, options.by, ColumnsOf(options));
  for (const auto& row : rows) sheet.Add(row);
  sheet.Finish(Plural(rows.size(), options.by) + ": " + VerdictSentence(image),
               VerdictFields(image));
}

const char* FileState(const WalImage& image, std::size_t file) {
  const wal::TailVerdict& verdict = image.verdict;
  for (const wal::ChainFile& chain : verdict.chain) {
    if (chain.file == file) return chain.end_batch == UINT64_MAX ? "in service" : "live";
  }
  if (std::ranges::find(verdict.orphans, file) != verdict.orphans.end()) return "orphan";
  if (std::ranges::find(verdict.covered, file) != verdict.covered.end()) return "covered";
  return "spare";
}

using ServerSegmentTotals = std::map<ServerUid, SegmentTotals>;

Result<SegmentTotals> TotalsOf(const StoreImage& image, const ServerUid& uid, IndexRange live) {
  const log::ServerSegments& server = image.state->servers.at(uid);
  const std::unique_ptr<Directory> directory =
      TRY(image.state->servers_dir->OpenDirectory(uid.ToString()));
  SegmentTotals totals{.flushed_end = server.flushed.segment == 0 ? 0 : server.flushed.end};
  totals.files = TRY(MeasureSegments({.directory = directory.get(),
                                      .identity = server.identity,
                                      .list = server.list,
                                      .live = live}));
  for (const SegmentUse& use : totals.files) {
    totals.live_bytes += use.live_bytes;
    totals.live_entries += use.live_entries;
  }
  for (const DirectoryEntry& entry : TRY(directory->List())) {
    if (!entry.is_regular) continue;
    totals.bytes += entry.size_bytes;
    const auto number = segments::ParseFileName(entry.name);
    if (number && server.list.FindNumber(*number) != nullptr) continue;
    totals.leftovers.emplace_back(entry.name, entry.size_bytes);
  }
  return totals;
}

Result<ServerSegmentTotals> SegmentsOf(const StoreImage& image, const LogRanges& ranges) {
  ServerSegmentTotals all;
  if (image.path.empty() || image.state == nullptr) return all;
  for (const auto& [uid, server] : image.state->servers) {
    Result<SegmentTotals> totals = TotalsOf(image, uid, ranges.Of(uid));
    // A running store removed the directory of a server that was deleted.
    if (!totals.ok() && totals.error().code == ErrorCode::kNotFound) continue;
    if (!totals.ok()) return totals.error();
    all[uid] = std::move(*totals);
  }
  return all;
}

std::vector<Cell> FileRow(std::string name, std::string state, std::uint64_t size) {
  return {std::move(name), std::move(state), size,   Cell{}, Cell{},
          Cell{},          Cell{},           Cell{}, Cell{}, Cell{}};
}

Rows FileRows(const WalImage& image, const Folder& fold) {
  std::vector<std::uint64_t> live(image.files.size());
  for (const auto& [uid, server] : fold.servers()) {
    for (const ServerFold::Piece& piece : server.pieces()) {
      live[piece.file] += ServerFold::LiveBytes(piece);
    }
  }
  Rows rows;
  for (std::size_t i = 0; i < image.files.size(); ++i) {
    const FileUse& use = fold.files()[i];
    const std::uint64_t used = use.batches == 0 ? 0 : use.batch_bytes + wal::kFirstBatchOffset;
    const std::uint64_t size = image.files[i].size_bytes;
    std::vector<Cell> row = FileRow(image.files[i].name, FileState(image, i), size);
    row[3] = used;
    row[4] = size == 0 ? std::uint64_t{0} : used * 100 / size;
    row[5] = use.batches;
    if (use.batches > 0) {
      row[6] = use.first_batch;
      row[7] = use.last_batch;
    }
    row[8] = live[i];
    row[9] = used > live[i] ? used - live[i] : 0;
    rows.push_back(std::move(row));
  }
  return rows;
}

void AddSegmentRows(const ServerSegmentTotals& servers, Rows& rows) {
  for (const auto& [uid, totals] : servers) {
    const std::string prefix = std::string(log::kServersName) + "/" + uid.ToString() + "/";
    for (const SegmentUse& use : totals.files) {
      const bool live = use.live_bytes > 0;
      std::vector<Cell> row = FileRow(prefix + segments::FileName(use.number),
                                      live ? "segment" : "dead segment", use.bytes);
      row[3] = use.bytes;
      row[8] = use.live_bytes;
      row[9] = use.bytes > use.live_bytes ? use.bytes - use.live_bytes : 0;
      rows.push_back(std::move(row));
    }
    for (const auto& [name, bytes] : totals.leftovers) {
      rows.push_back(FileRow(prefix + name, "leftover", bytes));
      rows.back()[9] = bytes;
    }
  }
}

Rows ServerRows(const Folder& fold, const ServerNames& names, const ServerSegmentTotals& segments) {
  std::set<ServerUid> uids;
  for (const auto& [uid, server] : fold.servers()) uids.insert(uid);
  for (const auto& [uid, totals] : segments) uids.insert(uid);
  Rows rows;
  for (const ServerUid& uid : uids) {
    const auto folded = fold.servers().find(uid);
    const ServerFold server = folded == fold.servers().end() ? ServerFold() : folded->second;
    const auto flushed = segments.find(uid);
    const SegmentTotals in_segments = flushed == segments.end() ? SegmentTotals() : flushed->second;
    std::set<std::size_t> files;
    for (const ServerFold::Piece& piece : server.pieces()) files.insert(piece.file);
    const std::uint64_t live = server.live_bytes() + in_segments.live_bytes;
    const std::uint64_t stored = server.written_bytes() + in_segments.bytes;
    rows.push_back({names.NameOf(uid), uid.ToString(), server.begin(), server.end(), Cell{},
                    server.live_entries() + in_segments.live_entries, server.written_bytes(),
                    in_segments.bytes, live, stored > live ? stored - live : 0,
                    std::uint64_t{files.size() + in_segments.files.size()}});
    if (in_segments.flushed_end != 0) rows.back()[4] = in_segments.flushed_end;
  }
  // By name; of one name the incarnations as the uids fall.
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return std::get<std::string>(a[0]) < std::get<std::string>(b[0]);
  });
  return rows;
}

ExitCode Refuse(Terminal& terminal, const Error& error) {
  terminal.Complain(error);
  return ExitCodeOf(error.code);
}

}  // namespace

Status CheckUsage(const StatOptions& options) {
  if (options.by != "file" && options.by != "server") {
    return Error{ErrorCode::kInvalidArgument, "--by " + options.by + " is not possible",
                 "--by file or --by server"};
  }
  std::string names;
  for (const Column& column : ColumnsOf(options)) {
    if (options.sort.empty() || column.name == options.sort) return {};
    names += " " + std::string(column.name);
  }
  return Error{ErrorCode::kInvalidArgument, "there is no column '" + options.sort + "'",
               "one of:" + names};
}

ExitCode RunStat(const StatOptions& options, Terminal& terminal) {
  const Status usage = CheckUsage(options);
  if (!usage.ok()) return Refuse(terminal, usage.error());
  ReadProgress progress(terminal);
  const Result<StoreImage> image = ReadStoreImage(options.path, &progress);
  if (!image.ok()) return Refuse(terminal, image.error());
  LogRanges ranges(*image);
  const ServerNames names = ServerNames::Of(*image, {}, &ranges);
  Folder fold(*image);
  WalkWal(image->wal, {}, fold);
  const Result<ServerSegmentTotals> segments = SegmentsOf(*image, ranges);
  if (!segments.ok() && !image->interrupted()) return Refuse(terminal, segments.error());
  Rows rows;
  if (!image->interrupted() && options.by == "file") {
    rows = FileRows(image->wal, fold);
    AddSegmentRows(*segments, rows);
  } else if (!image->interrupted()) {
    rows = ServerRows(fold, names, *segments);
  }
  Print(options, terminal, *image, std::move(rows));
  if (!image->path.empty()) WarnOfFileSystems({image->path, image->wal.path}, terminal);
  return ConcludeOn(*image, terminal);
}

ExitCode RunNames(const NamesOptions& options, Terminal& terminal) {
  ReadProgress progress(terminal);
  const Result<StoreImage> image = ReadStoreImage(options.path, &progress);
  if (!image.ok()) return Refuse(terminal, image.error());
  const ServerNames names = ServerNames::Of(*image, {});
  Sheet sheet(terminal, options.output, "server",
              {{"uid", ColumnType::kText},
               {"name", ColumnType::kText},
               {"node", ColumnType::kText},
               {"cluster_id", ColumnType::kCount},
               {"incarnation", ColumnType::kCount},
               {"state", ColumnType::kText}});
  std::uint64_t deleted = 0;
  std::set<ServerUid> seen = names.seen();
  for (const auto& [uid, rows] : names.table().servers()) seen.insert(uid);
  std::vector<ServerUid> uids(seen.begin(), seen.end());
  std::stable_sort(uids.begin(), uids.end(), [&](const ServerUid& a, const ServerUid& b) {
    return names.NameOf(a) < names.NameOf(b);
  });
  for (const ServerUid& uid : uids) {
    const meta::ServerRows* rows = names.table().Find(uid);
    const bool identified = rows != nullptr && rows->has(meta::RowKind::kIdentity);
    std::vector<Cell> cells = {uid.ToString(), Cell{}, Cell{}, Cell{}, Cell{}, Cell{}};
    if (names.NameOf(uid) != uid.ToString()) cells[1] = names.NameOf(uid);
    if (identified) {
      cells[2] = rows->identity.node;
      cells[3] = rows->identity.cluster_id;
      cells[4] = rows->identity.incarnation;
    }
    const bool gone = rows != nullptr && rows->deleted();
    deleted += gone ? 1 : 0;
    const bool faulty = rows != nullptr && rows->faulty.faulty();
    cells[5] = std::string(gone         ? "deleted"
                           : faulty     ? "faulty: " + rows->faulty.reason
                           : identified ? "open"
                                        : "no identity row");
    sheet.Add(cells);
  }
  sheet.Finish(Plural(uids.size(), "server") + ", " + Grouped(deleted) +
                   " of them deleted: " + VerdictSentence(*image),
               VerdictFields(*image));
  return ConcludeOn(*image, terminal);
}

}  // namespace duramen::tools
