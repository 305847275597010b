#include "meta/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/try.h"
#include "meta/checkpoint_server.h"

namespace duramen::meta {
namespace {

constexpr std::uint64_t kMagic = 0x31504B4341525544ULL;  // "DURACKP1"
constexpr std::size_t kChecksumAt = 16;
constexpr std::size_t kUuidAt = 24;
constexpr std::size_t kSequenceAt = 40;
constexpr std::size_t kContentAt = 48;
constexpr std::uint64_t kRecordHeaderBytes = 40;
constexpr std::uint64_t kEntryBytes = 40;
constexpr std::size_t kEntriesPerBlock = (kCheckpointBlockBytes - 8) / kEntryBytes;

/// What a copy of the header says.
struct Header {
  std::uint64_t sequence = 0;
  std::int64_t created_unix_ms = 0;
  std::uint64_t highest_incarnation = 0;
  Covers covers;
  std::uint64_t rows = 0;
  std::uint64_t directory_offset = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t life = 0;
  friend bool operator==(const Header&, const Header&) = default;
};

/// Where one row stands, as its record header and its directory entry both say.
struct Place {
  ServerUid uid;
  std::uint64_t offset = 0;  // of the record header
  std::uint64_t length = 0;  // of the payload
  std::uint64_t payload_checksum = 0;
};

std::uint64_t DirectoryBlocks(std::uint64_t rows) {
  return rows / kEntriesPerBlock + (rows % kEntriesPerBlock != 0 ? 1 : 0);
}

void PutUid(ByteWriter& out, const ServerUid& uid) {
  out.PutBytes(std::as_bytes(std::span(uid.bytes)));
}

ServerUid GetUid(ByteReader& in) {
  ServerUid uid;
  for (std::uint8_t& byte : uid.bytes) byte = in.Get<std::uint8_t>();
  return uid;
}

// The header.

void PutHeader(ByteWriter& out, const Header& header) {
  out.Put(header.created_unix_ms);
  out.Put(header.highest_incarnation);
  out.Put(header.covers.file);
  out.Put(header.covers.batch);
  out.Put(header.covers.batch_checksum);
  out.Put(header.covers.file_life);
  out.Put(header.rows);
  out.Put(header.directory_offset);
  out.Put(header.size_bytes);
  out.Put(header.life);
}

std::uint64_t HeaderChecksum(Bytes block, std::size_t copy) {
  SystemUuid system;
  std::memcpy(system.bytes.data(), block.data() + kUuidAt, 16);
  const auto sequence = LoadLe<std::uint64_t>(block.data() + kSequenceAt);
  const std::uint64_t seed =
      SeedAt(FileSeed(system, FileKind::kCheckpoint, sequence), copy * kCheckpointBlockBytes);
  return ChecksumAround(block, kChecksumAt, seed);
}

void StoreHeaderCopies(std::span<std::byte> bytes, const SystemUuid& system, const Header& header) {
  std::vector<std::byte> content;
  ByteWriter out(content);
  PutHeader(out, header);
  for (std::size_t copy = 0; copy < kCheckpointHeaderCopies; ++copy) {
    const auto block = bytes.subspan(copy * kCheckpointBlockBytes, kCheckpointBlockBytes);
    StoreLe(block.data(), kMagic);
    StoreLe(block.data() + 8, kCheckpointVersion);
    std::memcpy(block.data() + kUuidAt, system.bytes.data(), 16);
    StoreLe(block.data() + kSequenceAt, header.sequence);
    std::memcpy(block.data() + kContentAt, content.data(), content.size());
    StoreLe(block.data() + kChecksumAt, HeaderChecksum(block, copy));
  }
}

/// Whether the parts that the header names can stand where it says, whatever the file's size.
bool Plausible(const Header& header) {
  if (header.sequence == 0 || header.directory_offset < kCheckpointHeaderBytes) return false;
  if (header.directory_offset % kCheckpointBlockBytes != 0) return false;
  if (header.size_bytes < header.directory_offset) return false;
  const std::uint64_t room = header.directory_offset - kCheckpointHeaderBytes;
  if (header.rows > room / kRecordHeaderBytes) return false;
  const std::uint64_t directory_bytes = header.size_bytes - header.directory_offset;
  return directory_bytes == DirectoryBlocks(header.rows) * kCheckpointBlockBytes;
}

Error Corrupt(std::string message) {
  return {ErrorCode::kCorruption, std::move(message), "run `duramen verify` on the directory"};
}

/// Errors: kCorruption, kUnknownVersion.
Result<Header> ReadHeader(Bytes bytes, std::size_t copy, const SystemUuid& system) {
  const std::string name = "header copy " + std::to_string(copy);
  if (bytes.size() < (copy + 1) * kCheckpointBlockBytes) return Corrupt(name + " is cut off");
  const Bytes block = bytes.subspan(copy * kCheckpointBlockBytes, kCheckpointBlockBytes);
  if (LoadLe<std::uint64_t>(block.data()) != kMagic ||
      LoadLe<std::uint64_t>(block.data() + kChecksumAt) != HeaderChecksum(block, copy)) {
    return Corrupt(name + " does not match its checksum");
  }
  const auto version = LoadLe<std::uint32_t>(block.data() + 8);
  if (version != kCheckpointVersion) {
    return Error{ErrorCode::kUnknownVersion,
                 "a checkpoint is of format version " + std::to_string(version) +
                     "; this release reads " + std::to_string(kCheckpointVersion),
                 "open the directory with the release that wrote it or a newer one"};
  }
  if (std::memcmp(block.data() + kUuidAt, system.bytes.data(), 16) != 0) {
    return Corrupt(name + " is of another system");
  }
  ByteReader in(block.subspan(kSequenceAt));
  Header header;
  header.sequence = in.Get<std::uint64_t>();
  header.created_unix_ms = in.Get<std::int64_t>();
  header.highest_incarnation = in.Get<std::uint64_t>();
  header.covers.file = in.Get<std::uint64_t>();
  header.covers.batch = in.Get<std::uint64_t>();
  header.covers.batch_checksum = in.Get<std::uint64_t>();
  header.covers.file_life = in.Get<std::uint64_t>();
  header.rows = in.Get<std::uint64_t>();
  header.directory_offset = in.Get<std::uint64_t>();
  header.size_bytes = in.Get<std::uint64_t>();
  header.life = in.Get<std::uint64_t>();
  if (!Plausible(header)) return Corrupt(name + " names places that cannot be");
  return header;
}

/// What the copies of the header say: each that verifies, the newest first.
struct Headers {
  std::vector<Header> found;
  std::vector<CheckpointDamage> damage;
};

Result<Headers> ReadHeaders(Bytes bytes, const SystemUuid& system) {
  Headers headers;
  for (std::size_t copy = 0; copy < kCheckpointHeaderCopies; ++copy) {
    Result<Header> header = ReadHeader(bytes, copy, system);
    if (header.ok()) {
      headers.found.push_back(*header);
      continue;
    }
    if (header.error().code == ErrorCode::kUnknownVersion) return std::move(header).error();
    headers.damage.push_back({copy * kCheckpointBlockBytes, kCheckpointBlockBytes, false,
                              std::nullopt, header.error().message});
  }
  if (headers.found.empty()) {
    return Corrupt(headers.damage[0].sentence + ", " + headers.damage[1].sentence);
  }
  if (headers.found.size() == 2 && headers.found[0] != headers.found[1]) {
    if (headers.found[0].sequence < headers.found[1].sequence) {
      std::swap(headers.found[0], headers.found[1]);
    }
    headers.damage.push_back(
        {0, kCheckpointHeaderBytes, false, std::nullopt,
         "the copies of the header are of two checkpoints: a write was interrupted"});
  }
  return headers;
}

/// The checksum of all that a checkpoint says; mixed into the seed of every row.
class Life {
 public:
  explicit Life(const Header& header) {
    Header before = header;
    before.life = 0;
    ByteWriter out(digests_);
    out.Put(before.sequence);
    PutHeader(out, before);
  }
  void Add(const ServerUid& uid, Bytes payload) {
    ByteWriter out(digests_);
    PutUid(out, uid);
    out.Put(Checksum(payload, payload.size()));
  }
  std::uint64_t value(const SystemUuid& system) const {
    return Checksum(digests_, FileSeed(system, FileKind::kCheckpoint, 0));
  }

 private:
  std::vector<std::byte> digests_;
};

// Rows and the directory.

std::uint64_t RecordChecksum(Bytes header, std::uint64_t file_seed, std::uint64_t offset) {
  return Checksum(header.first(kRecordHeaderBytes - 8), SeedAt(file_seed, offset));
}

std::uint64_t PayloadChecksum(Bytes payload, std::uint64_t file_seed, std::uint64_t offset) {
  return Checksum(payload, SeedAt(file_seed, offset + kRecordHeaderBytes));
}

void StoreDirectory(std::span<std::byte> bytes, const std::vector<Place>& places,
                    const Header& header, std::uint64_t file_seed) {
  for (std::uint64_t block = 0; block < DirectoryBlocks(places.size()); ++block) {
    const std::uint64_t offset = header.directory_offset + block * kCheckpointBlockBytes;
    std::vector<std::byte> entries;
    ByteWriter out(entries);
    const std::size_t first = block * kEntriesPerBlock;
    const std::size_t end = std::min(places.size(), first + kEntriesPerBlock);
    for (std::size_t row = first; row < end; ++row) {
      PutUid(out, places[row].uid);
      out.Put(places[row].offset);
      out.Put(places[row].length);
      out.Put(places[row].payload_checksum);
    }
    entries.resize(kCheckpointBlockBytes - 8);
    StoreLe(bytes.data() + offset, Checksum(entries, SeedAt(file_seed, offset)));
    std::memcpy(bytes.data() + offset + 8, entries.data(), entries.size());
  }
}

/// Reads the rows that one header speaks of.
class BodyReader {
 public:
  BodyReader(Bytes bytes, const SystemUuid& system, const Header& header)
      : bytes_(bytes.first(std::min<std::uint64_t>(bytes.size(), header.size_bytes))),
        system_(system),
        header_(header),
        seed_(FileSeed(system, FileKind::kCheckpoint, header.life)),
        life_(header) {}

  /// Errors: kUnknownVersion; kCorruption (all rows verify and are not what the life says).
  Result<DecodedCheckpoint> Read() {
    decoded_.sequence = header_.sequence;
    decoded_.covers = header_.covers;
    decoded_.created_unix_ms = header_.created_unix_ms;
    decoded_.highest_incarnation = header_.highest_incarnation;
    decoded_.size_bytes = header_.size_bytes;
    ReadDirectory();
    cursor_ = kCheckpointHeaderBytes;
    for (row_ = 0; row_ < header_.rows;) TRY(ReadRow());
    CheckPadding();
    if (decoded_.whole() && life_.value(system_) != header_.life) {
      return Corrupt("the rows of a checkpoint are not those that its header was made for");
    }
    return std::move(decoded_);
  }

 private:
  /// The directory's entry for row number `row`; none: its block does not verify.
  std::optional<Place> Listed(std::uint64_t row) const {
    const std::uint64_t block = row / kEntriesPerBlock;
    if (block >= block_ok_.size() || !block_ok_[block]) return std::nullopt;
    const std::uint64_t at = header_.directory_offset + block * kCheckpointBlockBytes + 8 +
                             row % kEntriesPerBlock * kEntryBytes;
    ByteReader in(bytes_.subspan(at, kEntryBytes));
    Place place;
    place.uid = GetUid(in);
    place.offset = in.Get<std::uint64_t>();
    place.length = in.Get<std::uint64_t>();
    place.payload_checksum = in.Get<std::uint64_t>();
    const bool inside = place.offset >= cursor_ && Fits(place);
    return inside ? std::optional(place) : std::nullopt;
  }

  /// Whether the row ends before the directory begins.
  bool Fits(const Place& place) const {
    const std::uint64_t end = header_.directory_offset;
    return place.offset <= end && end - place.offset >= kRecordHeaderBytes &&
           end - place.offset - kRecordHeaderBytes >= place.length;
  }

  void ReadDirectory() {
    for (std::uint64_t block = 0; block < DirectoryBlocks(header_.rows); ++block) {
      const std::uint64_t offset = header_.directory_offset + block * kCheckpointBlockBytes;
      const bool there = offset + kCheckpointBlockBytes <= bytes_.size();
      const Bytes entries = there ? bytes_.subspan(offset + 8, kCheckpointBlockBytes - 8) : Bytes{};
      block_ok_.push_back(there && LoadLe<std::uint64_t>(bytes_.data() + offset) ==
                                       Checksum(entries, SeedAt(seed_, offset)));
      if (!block_ok_.back()) {
        Damaged({offset, kCheckpointBlockBytes, false, std::nullopt,
                 there ? "a directory block does not match its checksum"
                       : "a directory block is cut off"});
      }
      if (!there) return;  // Nor are those behind it: one finding says so.
    }
  }

  /// The record header at the cursor.
  std::optional<Place> Recorded() const {
    if (cursor_ > bytes_.size() || bytes_.size() - cursor_ < kRecordHeaderBytes) return {};
    const Bytes record = bytes_.subspan(cursor_, kRecordHeaderBytes);
    ByteReader in(record);
    Place place;
    place.uid = GetUid(in);
    place.offset = cursor_;
    place.length = in.Get<std::uint64_t>();
    place.payload_checksum = in.Get<std::uint64_t>();
    if (in.Get<std::uint64_t>() != RecordChecksum(record, seed_, cursor_)) return {};
    return Fits(place) ? std::optional(place) : std::nullopt;
  }

  /// Takes row number row_, or what is lost up to the next row whose place is known.
  Status ReadRow() {
    const std::optional<Place> recorded = Recorded();
    if (recorded) return Take(*recorded);
    const std::optional<Place> listed = Listed(row_);
    if (listed && listed->offset == cursor_) {
      const std::size_t taken = decoded_.servers.size();
      TRY(Take(*listed));
      if (decoded_.servers.size() != taken) {
        Damaged({listed->offset, kRecordHeaderBytes, false, std::nullopt,
                 "a record header does not match its checksum; the directory has the row's place"});
      }
      return {};
    }
    return Skip();
  }

  Status Take(const Place& place) {
    ++row_;
    cursor_ = place.offset + kRecordHeaderBytes + place.length;
    const std::uint64_t at = place.offset + kRecordHeaderBytes;
    const bool there = cursor_ <= bytes_.size();
    const Bytes payload = there ? bytes_.subspan(at, place.length) : Bytes{};
    if (!there || PayloadChecksum(payload, seed_, place.offset) != place.payload_checksum) {
      Lost(place, there ? "the rows do not match their checksum" : "the rows are cut off");
      return {};
    }
    Result<ServerRows> rows = DecodeServerRows(place.uid, payload, header_.covers.file);
    if (!rows.ok() && rows.error().code == ErrorCode::kUnknownVersion) {
      return std::move(rows).error();
    }
    if (!rows.ok()) {
      Lost(place, rows.error().message);
    } else if (last_ && *last_ >= place.uid) {
      Lost(place, "the server stands out of order");
    } else {
      last_ = place.uid;
      life_.Add(place.uid, payload);
      decoded_.servers.push_back({place.uid, std::move(*rows)});
    }
    return {};
  }

  /// Neither the record header nor the directory says what stands at the cursor.
  Status Skip() {
    std::uint64_t next = row_ + 1;
    std::optional<Place> place;
    while (next < header_.rows && !(place = Listed(next))) {
      // The whole block is unreadable, so its other rows need not be asked for.
      const std::uint64_t block = next / kEntriesPerBlock;
      const bool known = block < block_ok_.size() && block_ok_[block];
      next = known ? next + 1 : std::min(header_.rows, (block + 1) * kEntriesPerBlock);
    }
    const std::uint64_t end = place ? place->offset : header_.directory_offset;
    Damaged({cursor_, end - cursor_, true, std::nullopt,
             "neither record headers nor the directory can be read; servers lost here: " +
                 std::to_string(next - row_)});
    row_ = next;
    cursor_ = end;
    return {};
  }

  /// Zeros between the last row and the directory, under no checksum.
  void CheckPadding() {
    const std::uint64_t end = std::min<std::uint64_t>(header_.directory_offset, bytes_.size());
    if (cursor_ >= end) return;
    const Bytes padding = bytes_.subspan(cursor_, end - cursor_);
    if (std::any_of(padding.begin(), padding.end(),
                    [](std::byte b) { return b != std::byte{0}; })) {
      Damaged(
          {cursor_, padding.size(), false, std::nullopt, "bytes behind the last row, not zero"});
    }
  }

  void Lost(const Place& place, std::string sentence) {
    Damaged(
        {place.offset, kRecordHeaderBytes + place.length, true, place.uid, std::move(sentence)});
  }
  void Damaged(CheckpointDamage damage) { decoded_.damage.push_back(std::move(damage)); }

  const Bytes bytes_;
  const SystemUuid& system_;
  const Header& header_;
  const std::uint64_t seed_;
  Life life_;
  DecodedCheckpoint decoded_;
  std::vector<bool> block_ok_;
  std::uint64_t cursor_ = 0;
  std::uint64_t row_ = 0;
  std::optional<ServerUid> last_;
};

}  // namespace

bool DecodedCheckpoint::whole() const {
  return std::none_of(damage.begin(), damage.end(),
                      [](const CheckpointDamage& one) { return one.row_lost; });
}

bool DecodedCheckpoint::names_all() const {
  return std::none_of(damage.begin(), damage.end(), [](const CheckpointDamage& one) {
    return one.row_lost && !one.uid.has_value();
  });
}

std::vector<std::byte> EncodeCheckpoint(const SystemUuid& system,
                                        const CheckpointContent& content) {
  CHECK(content.sequence >= 1);
  Header header{.sequence = content.sequence,
                .created_unix_ms = content.created_unix_ms,
                .highest_incarnation = content.highest_incarnation,
                .covers = content.covers,
                .rows = content.servers.size()};
  std::vector<std::byte> bytes(kCheckpointHeaderBytes);
  std::vector<Place> places;
  for (const CheckpointServer& server : content.servers) {
    CHECK(places.empty() || places.back().uid < server.uid);
    const std::uint64_t offset = bytes.size();
    bytes.resize(offset + kRecordHeaderBytes);
    AppendServerRows(server.uid, server.rows, bytes);
    places.push_back({server.uid, offset, bytes.size() - offset - kRecordHeaderBytes, 0});
  }
  header.directory_offset = RoundUp(bytes.size(), kCheckpointBlockBytes);
  header.size_bytes =
      header.directory_offset + DirectoryBlocks(header.rows) * kCheckpointBlockBytes;
  bytes.resize(header.size_bytes);

  const auto payload = [&bytes](const Place& place) {
    return Bytes(bytes).subspan(place.offset + kRecordHeaderBytes, place.length);
  };
  Life life(header);
  for (const Place& place : places) life.Add(place.uid, payload(place));
  header.life = life.value(system);

  const std::uint64_t seed = FileSeed(system, FileKind::kCheckpoint, header.life);
  for (Place& place : places) {
    place.payload_checksum = PayloadChecksum(payload(place), seed, place.offset);
    std::byte* const record = bytes.data() + place.offset;
    std::memcpy(record, place.uid.bytes.data(), 16);
    StoreLe(record + 16, place.length);
    StoreLe(record + 24, place.payload_checksum);
    StoreLe(record + 32, RecordChecksum({record, kRecordHeaderBytes}, seed, place.offset));
  }
  StoreDirectory(bytes, places, header, seed);
  StoreHeaderCopies(bytes, system, header);
  return bytes;
}

Result<DecodedCheckpoint> DecodeCheckpoint(Bytes bytes, const SystemUuid& system) {
  Headers headers = TRY(ReadHeaders(bytes, system));
  DecodedCheckpoint decoded = TRY(BodyReader(bytes, system, headers.found[0]).Read());
  if (!decoded.whole() && headers.found.size() == 2 && headers.found[0] != headers.found[1]) {
    // One copy of the header is all that an interrupted write may have left on the disk.
    Result<DecodedCheckpoint> older = BodyReader(bytes, system, headers.found[1]).Read();
    if (older.ok() && older->whole()) decoded = std::move(*older);
  }
  std::move(headers.damage.begin(), headers.damage.end(), std::back_inserter(decoded.damage));
  std::stable_sort(decoded.damage.begin(), decoded.damage.end(),
                   [](const auto& a, const auto& b) { return a.offset < b.offset; });
  return decoded;
}

Result<std::uint64_t> CheckpointBytes(Bytes header, const SystemUuid& system) {
  const Headers headers = TRY(ReadHeaders(header, system));
  std::uint64_t bytes = 0;
  for (const Header& one : headers.found) bytes = std::max(bytes, one.size_bytes);
  return bytes;
}

std::uint64_t HighestCheckpointSequence(Bytes header, const SystemUuid& system) {
  const Result<Headers> headers = ReadHeaders(header, system);
  return headers.ok() ? headers->found[0].sequence : 0;
}

}  // namespace duramen::meta
