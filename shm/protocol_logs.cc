// What answers say of logs and their entries; see shm/protocol.h.
#include "base/bytes.h"
#include "shm/protocol.h"

namespace duramen::shm {
namespace {

// Before anything is allocated for so many: what each of them takes at least.
constexpr std::size_t kTermBytes = 16;
constexpr std::size_t kValueBytesMin = 8;
constexpr std::size_t kInfoBytesMin = 9;
constexpr std::size_t kEntryBytesMin = 29;

Error Broken(const char* what) {
  return {ErrorCode::kCorruption, std::string("a message that breaks the rules: ") + what, ""};
}

/// How many follow, if there is room for so many.
std::uint64_t GetCount(ByteReader& reader, std::size_t each_bytes_min) {
  const auto count = reader.Get<std::uint64_t>();
  if (count <= reader.remaining() / each_bytes_min) return count;
  (void)reader.GetBytes(reader.remaining() + 1);
  return 0;
}

void PutBounds(ByteWriter& writer, const wal::SlotBounds& bounds) {
  writer.Put(bounds.begin);
  writer.Put(bounds.end);
  writer.Put(bounds.term_before_begin);
  writer.Put(bounds.last_term);
  writer.Put(bounds.epoch);
}

wal::SlotBounds GetBounds(ByteReader& reader) {
  wal::SlotBounds bounds;
  bounds.begin = reader.Get<Index>();
  bounds.end = reader.Get<Index>();
  bounds.term_before_begin = reader.Get<Term>();
  bounds.last_term = reader.Get<Term>();
  bounds.epoch = reader.Get<std::uint64_t>();
  return bounds;
}

bool Orderly(const log::HostedLog& log) {
  if (log.bounds.begin == 0 || log.bounds.end < log.bounds.begin) return false;
  for (std::size_t i = 0; i < log.terms.size(); ++i) {
    if (i > 0 && log.terms[i].first <= log.terms[i - 1].first) return false;
    if (i > 0 && log.terms[i].first >= log.bounds.end) return false;
  }
  return log.terms.empty() || log.terms.front().first < log.bounds.begin;
}

}  // namespace

std::vector<std::byte> EncodeBody(const log::HostedLog& body) {
  std::vector<std::byte> out;
  ByteWriter writer(out);
  writer.Put(body.owner.uid.bytes);
  writer.Put(body.owner.cluster_id);
  writer.PutString(body.name);
  writer.Put(body.incarnation);
  writer.Put(static_cast<std::uint8_t>((body.created ? 1 : 0) | (body.gone ? 2 : 0)));
  PutBounds(writer, body.bounds);
  writer.Put(static_cast<std::uint64_t>(body.terms.size()));
  for (const memtable::TermRun& run : body.terms) {
    writer.Put(run.first);
    writer.Put(run.term);
  }
  writer.Put(body.row_sequence);
  writer.Put(body.vote.term);
  writer.PutString(body.vote.voted_for);
  writer.Put(body.last_applied);
  writer.Put(static_cast<std::uint64_t>(body.values.size()));
  for (const auto& [key, value] : body.values) {
    writer.PutString(key);
    writer.PutString(value);
  }
  writer.Put(body.fault.from);
  writer.Put(body.fault.to);
  writer.Put(static_cast<std::uint8_t>(body.fault.rows_lost ? 1 : 0));
  writer.PutString(body.fault.reason);
  return out;
}

Result<log::HostedLog> DecodeHostedLog(Bytes bytes) {
  ByteReader reader(bytes);
  log::HostedLog body;
  body.owner.uid.bytes = reader.Get<std::array<std::uint8_t, 16>>();
  body.owner.cluster_id = reader.Get<ClusterId>();
  body.name = reader.GetString();
  body.incarnation = reader.Get<std::uint64_t>();
  const auto flags = reader.Get<std::uint8_t>();
  body.created = (flags & 1) != 0;
  body.gone = (flags & 2) != 0;
  body.bounds = GetBounds(reader);
  const std::uint64_t terms = GetCount(reader, kTermBytes);
  body.terms.reserve(terms);
  for (std::uint64_t i = 0; i < terms; ++i) {
    const auto first = reader.Get<Index>();
    body.terms.push_back({first, reader.Get<Term>()});
  }
  body.row_sequence = reader.Get<std::uint64_t>();
  body.vote.term = reader.Get<Term>();
  body.vote.voted_for = reader.GetString();
  body.last_applied = reader.Get<Index>();
  const std::uint64_t values = GetCount(reader, kValueBytesMin);
  for (std::uint64_t i = 0; i < values; ++i) {
    std::string key = reader.GetString();
    body.values[std::move(key)] = reader.GetString();
  }
  body.fault.from = reader.Get<Index>();
  body.fault.to = reader.Get<Index>();
  body.fault.rows_lost = reader.Get<std::uint8_t>() != 0;
  body.fault.reason = reader.GetString();
  if (!reader.AtEnd() || !Orderly(body)) return Broken("a log");
  return body;
}

std::vector<std::byte> EncodeBody(const std::vector<LogInfo>& body) {
  std::vector<std::byte> out;
  ByteWriter writer(out);
  writer.Put(static_cast<std::uint64_t>(body.size()));
  for (const LogInfo& one : body) {
    writer.PutString(one.name);
    writer.PutString(one.uid);
    writer.Put(static_cast<std::uint8_t>(one.faulty ? 1 : 0));
  }
  return out;
}

Result<std::vector<LogInfo>> DecodeList(Bytes bytes) {
  ByteReader reader(bytes);
  std::vector<LogInfo> body;
  const std::uint64_t count = GetCount(reader, kInfoBytesMin);
  for (std::uint64_t i = 0; i < count; ++i) {
    LogInfo one{.log = {UINT32_MAX, 0}, .name = reader.GetString(), .uid = {}};
    one.uid = reader.GetString();
    one.faulty = reader.Get<std::uint8_t>() != 0;
    body.push_back(std::move(one));
  }
  if (!reader.AtEnd()) return Broken("a list");
  return body;
}

std::vector<std::byte> EncodeBody(const std::vector<ReadEntry>& body) {
  std::vector<std::byte> out;
  ByteWriter writer(out);
  writer.Put(static_cast<std::uint64_t>(body.size()));
  for (const ReadEntry& one : body) {
    writer.Put(one.entry.index);
    writer.Put(one.entry.term);
    writer.Put(one.entry.kind);
    writer.Put(one.checksum);
    writer.PutString(AsText(one.entry.payload));
  }
  return out;
}

Result<std::vector<ReadEntry>> DecodeEntries(Bytes bytes) {
  ByteReader reader(bytes);
  std::vector<ReadEntry> body;
  const std::uint64_t count = GetCount(reader, kEntryBytesMin);
  for (std::uint64_t i = 0; i < count; ++i) {
    ReadEntry one;
    one.entry.index = reader.Get<Index>();
    one.entry.term = reader.Get<Term>();
    one.entry.kind = reader.Get<std::uint8_t>();
    one.checksum = reader.Get<std::uint64_t>();
    one.entry.payload = reader.GetBytes(reader.Get<std::uint32_t>());
    body.push_back(one);
  }
  if (!reader.AtEnd()) return Broken("entries");
  return body;
}

}  // namespace duramen::shm
