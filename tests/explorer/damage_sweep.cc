#include "tests/explorer/damage_sweep.h"

#include <algorithm>
#include <set>

#include "base/check.h"

namespace duramen::explorer {
namespace {

constexpr std::size_t kSweptWalFiles = 2;

bool IsLoss(const Finding& finding) {
  return finding.kind == FindingKind::kDamage || finding.kind == FindingKind::kMissingFile ||
         finding.kind == FindingKind::kUnprovenTail;
}

std::string FindingsText(const LogStore& store) {
  std::string text = "findings:";
  for (const Finding& finding : store.recovery_report().findings) {
    text += std::string("\n    ") + FindingKindName(finding.kind) + " in " + finding.file + " at " +
            std::to_string(finding.offset_bytes) + ": " + finding.sentence;
    for (const TouchedRange& range : finding.touched) {
      text += "; " + range.log + " [" + std::to_string(range.first) + ", " +
              std::to_string(range.last) + "]" + (range.rows ? " rows" : "");
    }
  }
  return text;
}

/// The error of a read names the server by its directory, and the entry.
bool Names(const Error& error, const std::string& uid, Index index) {
  const std::string entry = "entry " + std::to_string(index) + ":";
  return error.message.find("/" + uid + "/") != std::string::npos &&
         error.message.find(entry) != std::string::npos;
}

bool Hit(const Piece& piece, const std::vector<Change>& changes) {
  return std::any_of(changes.begin(), changes.end(), [&piece](const Change& change) {
    return change.begin < piece.end && piece.begin < change.end;
  });
}

bool Covers(const LogStore& store, const std::string& name, const std::string& uid, Index index) {
  for (const Finding& finding : store.recovery_report().findings) {
    if (!IsLoss(finding)) continue;
    for (const TouchedRange& range : finding.touched) {
      if (range.log != name && range.log != uid) continue;
      if (index == 0 && range.rows) return true;
      if (index != 0 && range.first <= index && (range.last == 0 || index <= range.last))
        return true;
    }
  }
  return false;
}

}  // namespace

const char* DamageName(Damage damage) {
  static constexpr const char* kNames[] = {
      "one bit flipped", "byte 0x00",       "byte 0xFF",           "cut here",
      "sector zeroed",   "sectors swapped", "other file's sector", "garbage appended"};
  return kNames[static_cast<std::size_t>(damage)];
}

const SpecimenFile& DamageSweep::FileAt(std::size_t file) const {
  const std::size_t wal_files = specimen_.wal_files.size();
  return file < wal_files ? specimen_.wal_files[file] : specimen_.other_files[file - wal_files];
}

std::vector<std::byte> DamageSweep::Damaged(const SpecimenFile& file, Damage damage,
                                            std::uint64_t offset) const {
  std::vector<std::byte> bytes = file.bytes;
  const std::uint64_t sector = offset / sim::kSectorBytes * sim::kSectorBytes;
  const std::uint64_t sector_end =
      std::min<std::uint64_t>(sector + sim::kSectorBytes, bytes.size());
  const auto at = [&bytes](std::uint64_t place) {
    return bytes.begin() + static_cast<std::ptrdiff_t>(place);
  };
  switch (damage) {
    case Damage::kBitFlipped:
      bytes[offset] ^= std::byte{1} << (offset % 8);
      break;
    case Damage::kZeroByte:
      bytes[offset] = std::byte{0};
      break;
    case Damage::kOnesByte:
      bytes[offset] = std::byte{0xFF};
      break;
    case Damage::kCutHere:
      bytes.resize(offset);
      break;
    case Damage::kSectorZeroed:
      std::fill(at(sector), at(sector_end), std::byte{0});
      break;
    case Damage::kSectorsSwapped:
      if (sector_end + sim::kSectorBytes > bytes.size()) break;
      std::swap_ranges(at(sector), at(sector_end), at(sector_end));
      break;
    case Damage::kOtherFilesSector: {
      const std::vector<std::byte>& other = OtherOf(file).bytes;
      if (sector_end > other.size()) break;
      std::copy(other.begin() + static_cast<std::ptrdiff_t>(sector),
                other.begin() + static_cast<std::ptrdiff_t>(sector_end), at(sector));
      break;
    }
    case Damage::kGarbageAppended:
      for (std::size_t i = 0; i < 5000; ++i) bytes.push_back(static_cast<std::byte>(i * 37 + 11));
      break;
    case Damage::kCount:
      break;
  }
  return bytes;
}

bool DamageSweep::IsLive(const Piece& piece) const {
  if (piece.log >= specimen_.logs.size() || piece.index == 0) return false;
  const LogState& log = specimen_.logs[piece.log];
  if (piece.index < log.begin || piece.index >= log.end()) return false;
  return log.entries[piece.index - log.begin] == ModelEntry{piece.term, piece.hash};
}

DamageSweep::Expected DamageSweep::ExpectedFrom(const SpecimenFile& file,
                                                const std::vector<Change>& changes) const {
  Expected expected;
  std::map<std::uint64_t, std::pair<bool, bool>> batches;  // number -> {front hit, closing hit}
  std::size_t headers_hit = 0;
  for (const Piece& piece : file.map.pieces) {
    if (!Hit(piece, changes)) continue;
    if (piece.part == Part::kFileHeader) ++headers_hit;
    if (piece.part == Part::kBatchHeader || piece.part == Part::kBinding ||
        piece.part == Part::kRunHeader) {
      batches[piece.batch].first = true;
    }
    if (piece.part == Part::kClosing) batches[piece.batch].second = true;
    if (piece.part != Part::kRecordHeader && piece.part != Part::kPayload) continue;
    if (piece.row) {
      expected.rows[piece.log] = true;
      continue;
    }
    if (piece.index == 0) continue;
    if (IsLive(piece)) expected.lost[piece.log].push_back(piece.index);
    const Index last = piece.part == Part::kRecordHeader ? piece.run_last : piece.index;
    auto [range, added] = expected.touched.emplace(piece.log, std::pair{piece.index, last});
    if (!added) {
      range->second.first = std::min(range->second.first, piece.index);
      range->second.second = std::max(range->second.second, last);
    }
  }
  for (const auto& [batch, hit] : batches) expected.anything |= hit.first && hit.second;
  expected.anything |= headers_hit > 1;
  return expected;
}

const SpecimenFile& DamageSweep::OtherOf(const SpecimenFile& file) const {
  const auto& files = file.sort == FileSort::kWal ? specimen_.wal_files : specimen_.other_files;
  const SpecimenFile* before = nullptr;
  for (const SpecimenFile& other : files) {
    if (other.sort != file.sort) continue;
    if (before == &file) return other;
    before = &other;
  }
  for (const SpecimenFile& other : files) {
    if (other.sort == file.sort && &other != &file) return other;
  }
  return specimen_.wal_files.front();
}

DamageSweep::Expected DamageSweep::ExpectedOf(const SpecimenFile& file,
                                              const std::vector<Change>& changes,
                                              std::uint64_t size_bytes) const {
  if (file.sort == FileSort::kWal) return ExpectedFrom(file, changes);
  if (file.sort == FileSort::kSegment) return ExpectedOfSegment(file, changes, size_bytes);
  Expected expected;
  expected.exact = true;
  return expected;
}

DamageSweep::Expected DamageSweep::ExpectedOfSegment(const SpecimenFile& file,
                                                     const std::vector<Change>& changes,
                                                     std::uint64_t size_bytes) const {
  Expected expected;
  expected.exact = true;
  const auto touch = [&](Index first, Index last) {
    auto& range = expected.touched.try_emplace(file.segment.log, first, last).first->second;
    range = {std::min(range.first, first), std::max(range.second, last)};
  };
  std::vector<int> ends_lost(file.segment.runs.size());
  for (const Piece& piece : file.map.pieces) {
    const bool end = piece.part == Part::kRunHeader || piece.part == Part::kClosing;
    if (end && Hit(piece, changes)) ++ends_lost[piece.batch - 1];
  }
  for (const Piece& piece : file.map.pieces) {
    if (piece.index == 0) continue;
    // Of a run that the file ends in the start names what is behind its last whole record.
    if (piece.end > size_bytes) touch(piece.index, file.segment.runs[piece.batch - 1].last);
    if (!IsLive(piece)) continue;
    if (Hit(piece, changes) || ends_lost[piece.batch - 1] == 2) {
      std::vector<Index>& lost = expected.lost[piece.log];
      if (lost.empty() || lost.back() != piece.index) lost.push_back(piece.index);
    }
  }
  TouchLostRuns(file, ends_lost, expected);
  return expected;
}

/// Every cut raises the epoch. A run of which nothing is left may have cut as far down as its file
/// reaches; in an unchanged epoch nothing was cut, so that it lacks its own entries alone.
void DamageSweep::TouchLostRuns(const SpecimenFile& file, const std::vector<int>& ends_lost,
                                Expected& expected) const {
  std::uint64_t epoch = EpochBefore(file);
  std::uint64_t newest = epoch;
  std::pair<Index, Index> lost{UINT64_MAX, 0};
  Index lowest = UINT64_MAX;
  for (std::size_t i = 0; i < ends_lost.size(); ++i) {
    const SegmentRun& run = file.segment.runs[i];
    newest = std::max(newest, run.epoch);
    lowest = std::min(lowest, run.cut);
    if (ends_lost[i] == 2) {
      lost = {std::min(lost.first, run.cut), std::max(lost.second, run.last)};
    } else if (lost.second == 0) {
      epoch = std::max(epoch, run.epoch);
    }
  }
  if (lost.second == 0) return;
  if (newest != epoch) lost.first = std::min(lost.first, lowest);
  expected.exact = false;  // The run may have been one that cuts nothing (segments/scan.h).
  auto& range = expected.touched.try_emplace(file.segment.log, lost).first->second;
  range = {std::min(range.first, lost.first), std::max(range.second, lost.second)};
}

std::uint64_t DamageSweep::EpochBefore(const SpecimenFile& file) const {
  std::uint64_t epoch = 0;
  for (const SpecimenFile& other : specimen_.other_files) {
    const bool earlier = other.sort == FileSort::kSegment &&
                         other.segment.log == file.segment.log &&
                         other.segment.number < file.segment.number;
    if (!earlier) continue;
    for (const SegmentRun& run : other.segment.runs) epoch = std::max(epoch, run.epoch);
  }
  return epoch;
}

LogNumber DamageSweep::NumberOf(const TouchedRange& range) const {
  const auto uid = specimen_.uids.find(range.log);
  return uid != specimen_.uids.end() ? uid->second : ParseLogName(range.log);
}

std::string DamageSweep::JudgeFindings(const LogStore& store, const Expected& expected) const {
  if (expected.anything) return "";
  for (const Finding& finding : store.recovery_report().findings) {
    if (!IsLoss(finding)) continue;
    if (expected.exact && finding.touched.empty()) return "reports damage that touches nobody";
    for (const TouchedRange& range : finding.touched) {
      const LogNumber log = NumberOf(range);
      const std::string name = log == UINT32_MAX ? "'" + range.log + "'" : LogName(log);
      const auto entries = expected.touched.find(log);
      if (range.first != 0 || range.last != 0) {
        if (entries == expected.touched.end())
          return "names " + name + ", of which nothing was hit";
        const Index last = range.last == 0 ? UINT64_MAX : range.last;
        const bool inside = range.first >= entries->second.first && last <= entries->second.second;
        if (!inside) {
          return "names " + name + " [" + std::to_string(range.first) + ", " +
                 std::to_string(range.last) + "], but only [" +
                 std::to_string(entries->second.first) + ", " +
                 std::to_string(entries->second.second) + "] was hit";
        }
      } else if (entries == expected.touched.end() && !expected.rows.contains(log)) {
        return "names " + name + ", of which nothing was hit";
      }
      if (range.rows && !expected.rows.contains(log))
        return "names rows of " + name + ", none were hit";
    }
  }
  return "";
}

std::string DamageSweep::JudgeLog(const LogStore& store, LogNumber log, const Expected& expected,
                                  bool& identical) const {
  const LogState& pristine = specimen_.logs[log];
  const std::string name = LogName(log);
  std::string uid;
  for (const auto& [text, number] : specimen_.uids) {
    if (number == log) uid = text;
  }
  LogRef ref;
  bool found = false;
  for (const LogInfo& info : store.Logs()) {
    if (info.name != name && info.uid != uid) continue;
    ref = info.log;
    found = true;
  }
  if (!found) {
    if (pristine.exists && !Covers(store, name, uid, 0)) return name + " is gone without a finding";
    identical = identical && !pristine.exists;
    return "";
  }
  std::string ignored;
  const LogState rows = ReadLog(store, ref, ignored);
  const auto lost = expected.lost.find(log);
  const auto was_hit = [&](Index index) {
    return lost != expected.lost.end() &&
           std::find(lost->second.begin(), lost->second.end(), index) != lost->second.end();
  };
  std::set<Index> named;  // by the errors of reads
  if (rows.vote_term != pristine.vote_term || rows.voted_for != pristine.voted_for ||
      rows.values != pristine.values) {
    identical = false;
    if (!Covers(store, name, uid, 0)) return name + " has other rows without a finding";
  }
  for (Index index = pristine.begin; index < pristine.end(); ++index) {
    const Result<Pin> pin = store.Read(ref, index, index + 1, SIZE_MAX);
    const bool there = pin.ok() && !pin->entries().empty() && pin->entries()[0].index == index;
    if (there) {
      const EntryView& entry = pin->entries()[0];
      const ModelEntry seen{entry.term, EntryHash(entry.kind, entry.payload)};
      if (seen != pristine.entries[index - pristine.begin]) {
        return name + " serves wrong bytes at " + std::to_string(index);
      }
      continue;
    }
    identical = false;
    if (!pin.ok() && was_hit(index) && Names(pin.error(), uid, index)) {
      named.insert(index);
    } else if (!Covers(store, name, uid, index)) {
      return name + " lacks " + std::to_string(index) + " without a finding" +
             (pin.ok() ? "" : ": " + pin.error().message);
    }
  }
  if (lost == expected.lost.end()) return "";
  for (const Index index : lost->second) {
    if (!named.contains(index) && !Covers(store, name, uid, index)) {
      return name + " " + std::to_string(index) + " was hit and no finding says so";
    }
  }
  return "";
}

std::string DamageSweep::JudgeOpened(const LogStore& store, const Expected& expected,
                                     bool& identical) const {
  for (LogNumber log = 0; log < specimen_.logs.size(); ++log) {
    const std::string verdict = JudgeLog(store, log, expected, identical);
    if (!verdict.empty()) return verdict;
  }
  return JudgeFindings(store, expected);
}

std::vector<Change> DamageSweep::ChangesOf(Bytes before, Bytes after) {
  std::vector<Change> changes;
  const std::uint64_t common = std::min(before.size(), after.size());
  for (std::uint64_t at = 0; at < common;) {
    const auto differs = std::mismatch(before.begin() + static_cast<std::ptrdiff_t>(at),
                                       before.begin() + static_cast<std::ptrdiff_t>(common),
                                       after.begin() + static_cast<std::ptrdiff_t>(at));
    const auto begin = static_cast<std::uint64_t>(differs.first - before.begin());
    at = begin;
    while (at < common && before[at] != after[at]) ++at;
    if (at > begin) changes.push_back({begin, at});
  }
  if (common < before.size()) changes.push_back({common, before.size()});
  return changes;
}

sim::Image DamageSweep::ImageWith(const SpecimenFile& file, Bytes bytes,
                                  const std::vector<Change>& changes) const {
  sim::Image image = specimen_.image;
  sim::FileContent& content = image.MutableContent(image.FindPath(file.path));
  content.Resize(bytes.size());
  for (const Change& change : changes) {
    const std::uint64_t end = std::min<std::uint64_t>(change.end, bytes.size());
    if (change.begin < end)
      content.Write(change.begin, bytes.subspan(change.begin, end - change.begin));
  }
  if (bytes.size() > file.bytes.size()) {
    content.Write(file.bytes.size(), bytes.subspan(file.bytes.size()));
  }
  return image;
}

std::optional<sim::Image> DamageSweep::DamagedImage(std::size_t file_number, Damage damage,
                                                    std::uint64_t offset) const {
  const SpecimenFile& file = FileAt(file_number);
  const std::vector<std::byte> bytes = Damaged(file, damage, offset);
  if (bytes == file.bytes) return std::nullopt;
  return ImageWith(file, bytes, ChangesOf(file.bytes, bytes));
}

void DamageSweep::Try(std::size_t file_number, Damage damage, std::uint64_t offset) {
  const SpecimenFile& file = FileAt(file_number);
  const std::vector<std::byte> bytes = Damaged(file, damage, offset);
  if (bytes == file.bytes) {
    ++tally_.unchanged;
    return;
  }
  const std::vector<Change> changes = ChangesOf(file.bytes, bytes);
  Expected expected = ExpectedOf(file, changes, bytes.size());
  expected.anything |= damage == Damage::kCutHere && file.sort == FileSort::kWal;

  sim::SiteTable sites;
  sim::SimFileSystem machine(sim::DiskState(ImageWith(file, bytes, changes)), sites);
  Subject subject(machine, offset * 31 + static_cast<std::uint64_t>(damage), specimen_.sizes);
  const Status opened = subject.Open();
  ++tally_.opens;
  ++tally_.by_damage[DamageName(damage)];
  std::string verdict;
  bool identical = true;
  if (opened.ok()) {
    verdict = JudgeOpened(subject.store(), expected, identical);
    if (verdict.empty()) ++(identical ? tally_.identical : tally_.reported);
  } else if (file.sort == FileSort::kSystem &&
             opened.error().message.find("SYSTEM") != std::string::npos) {
    ++tally_.refused;
  } else {
    verdict = "the store does not open: " + opened.error().message;
  }
  if (verdict.empty()) return;
  if (opened.ok()) verdict += "\n  " + FindingsText(subject.store());
  std::string sort = DamageName(damage);
  if (file.sort != FileSort::kSystem && offset < file.bytes.size()) {
    sort += std::string(" in a ") + PartName(file.map.At(offset).part);
  }
  Fail(sort, file.path + " byte " + std::to_string(offset) + ": " + verdict);
}

void DamageSweep::RunRows() {
  std::map<std::pair<LogNumber, std::uint64_t>, std::vector<Place>> rows;
  const auto collect = [&rows](const SpecimenFile& file) {
    for (const Piece& piece : file.map.pieces) {
      if (piece.part != Part::kPayload || !piece.row) continue;
      const bool in_checkpoint = file.sort == FileSort::kCheckpoint;
      rows[{piece.log, piece.hash}].push_back({file.path, piece.begin, in_checkpoint});
    }
  };
  for (const SpecimenFile& file : specimen_.wal_files) collect(file);
  for (const SpecimenFile& file : specimen_.other_files) collect(file);
  for (const auto& [row, copies] : rows) {
    TryRow(row.first, copies);
  }
}

void DamageSweep::TryRow(LogNumber log, const std::vector<Place>& copies) {
  sim::Image image = specimen_.image;
  std::string where = "all " + std::to_string(copies.size()) + " copies of a row,";
  for (const Place& copy : copies) {
    sim::FileContent& content = image.MutableContent(image.FindPath(copy.path));
    std::byte byte{};
    content.Read(copy.offset, {&byte, 1});
    byte ^= std::byte{0x10};
    content.Write(copy.offset, {&byte, 1});
    where += " " + copy.path + " byte " + std::to_string(copy.offset);
  }
  Expected expected;
  expected.rows[log] = true;
  // A server's rows in a checkpoint stand under one checksum; without them nobody knows its log.
  const bool unknown = std::any_of(copies.begin(), copies.end(),
                                   [](const Place& copy) { return copy.in_checkpoint; });
  if (unknown) expected.touched[log] = {1, UINT64_MAX};
  sim::SiteTable sites;
  sim::SimFileSystem machine(sim::DiskState(image), sites);
  Subject subject(machine, copies.front().offset, specimen_.sizes);
  const Status opened = subject.Open();
  ++tally_.opens;
  if (!opened.ok()) return Fail(where, "the store does not open: " + opened.error().message);
  bool identical = true;
  const std::string verdict = JudgeOpened(subject.store(), expected, identical);
  if (!verdict.empty()) return Fail(where, verdict + "\n  " + FindingsText(subject.store()));
  ++(identical ? tally_.identical : tally_.reported);
}

void DamageSweep::Fail(const std::string& where, const std::string& text) {
  std::string sort = where + ": ";
  for (const char c : text.substr(0, text.find('\n'))) {
    if (c < '0' || c > '9') sort += c;
  }
  ++tally_.failures.try_emplace(sort, where + ", " + text, 0).first->second.second;
}

void DamageSweep::RotUnderAnOpenStore(std::uint64_t stride) {
  sim::SiteTable sites;
  sim::SimFileSystem machine(sim::DiskState(specimen_.image), sites);
  Subject subject(machine, stride, specimen_.sizes);
  const Status opened = subject.Open();
  if (!opened.ok()) return Fail("rot", "the store does not open: " + opened.error().message);
  const std::vector<LogInfo> logs = subject.store().Logs();
  const sim::Image before = machine.disk().visible();
  const auto rot = [&](const SpecimenFile& file) {
    const sim::Node node = before.FindPath(file.path);
    for (std::uint64_t at = 0; node != 0 && at < before.content(node).size_bytes(); at += stride) {
      std::byte byte{};
      before.content(node).Read(at, {&byte, 1});
      machine.Rot(file.path, at, byte ^ std::byte{0x10});
    }
  };
  const std::string wal = std::string(kDataDir) + "/wal";
  for (const auto& [name, node] : before.entries(before.FindPath(wal))) {
    if (!before.IsDirectory(node))
      rot({.path = wal + "/" + name, .bytes = {}, .map = {}, .segment = {}});
  }
  for (const SpecimenFile& file : specimen_.other_files) {
    if (file.sort == FileSort::kSegment) rot(file);
  }
  for (const LogInfo& info : logs) {
    const LogNumber log = ParseLogName(info.name);
    const LogState& pristine = specimen_.logs[log];
    for (Index index = pristine.begin; index < pristine.end(); ++index) {
      ++tally_.opens;
      const Result<Pin> pin = subject.store().Read(info.log, index, index + 1, SIZE_MAX);
      if (!pin.ok()) {
        ++tally_.reported;
        continue;
      }
      const EntryView& entry = pin->entries()[0];
      const ModelEntry seen{entry.term, EntryHash(entry.kind, entry.payload)};
      if (seen == pristine.entries[index - pristine.begin]) continue;
      Fail("rot under an open store",
           info.name + " serves wrong bytes at " + std::to_string(index));
    }
  }
}

void DamageSweep::Run(std::uint64_t stride) {
  CHECK(specimen_.wal_files.size() > kSweptWalFiles);
  for (std::size_t file = 0; file < kSweptWalFiles; ++file) SweepFile(file, stride);
  for (std::size_t i = 0; i < specimen_.other_files.size(); ++i) {
    const bool system = specimen_.other_files[i].sort == FileSort::kSystem;
    if (system) SweepFile(specimen_.wal_files.size() + i, stride);
  }
}

void DamageSweep::RunFlushed(std::uint64_t stride) {
  for (std::size_t i = 0; i < specimen_.other_files.size(); ++i) {
    const bool system = specimen_.other_files[i].sort == FileSort::kSystem;
    if (!system) SweepFile(specimen_.wal_files.size() + i, stride);
  }
}

void DamageSweep::SweepFile(std::size_t file, std::uint64_t stride) {
  const std::uint64_t size = FileAt(file).bytes.size();
  for (std::uint64_t offset = 0; offset < size; ++offset) {
    const bool sector_start = offset % sim::kSectorBytes == 0;
    // The room behind a checkpoint is larger than all the rest.
    const bool room = FileAt(file).sort == FileSort::kCheckpoint &&
                      FileAt(file).map.At(offset).part == Part::kUnused;
    if (room && !sector_start) continue;
    for (const Damage damage :
         {Damage::kSectorZeroed, Damage::kSectorsSwapped, Damage::kOtherFilesSector}) {
      if (sector_start) Try(file, damage, offset);
    }
    if (offset % stride != 0) continue;
    Try(file, Damage::kBitFlipped, offset);
    if (offset / stride % 2 == 0) Try(file, Damage::kCutHere, offset);
    if (offset / stride % 3 != 0) continue;
    Try(file, Damage::kZeroByte, offset);
    Try(file, Damage::kOnesByte, offset);
  }
  Try(file, Damage::kGarbageAppended, size);
}

}  // namespace duramen::explorer
