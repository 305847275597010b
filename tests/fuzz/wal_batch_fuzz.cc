// Hostile fields under good checksums: what an enemy writes who knows the format. The input fills
// the fields of a batch header, bindings, runs, records and a closing; nothing that is read of it
// may lie outside of the batch, and everything must end.
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/wal/wal_image.h"
#include "wal/replay.h"

namespace duramen::wal {
namespace {

constexpr std::size_t kBatch = 2 * kBlockBytes;
constexpr std::uint64_t kOffset = kFirstBatchOffset;

class HostileBatch {
 public:
  explicit HostileBatch(Bytes input) : input_(input), bytes_(kBatch) { Build(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  const FileContext& context() const { return context_; }

 private:
  // A field as it should be, or one time in four whatever the input says.
  std::uint32_t Field(std::uint64_t right) {
    const auto choice = input_.Get<std::uint8_t>();
    return choice % 4 == 3 ? input_.Get<std::uint32_t>() : static_cast<std::uint32_t>(right);
  }
  bool Room(std::size_t bytes) const { return at_ + bytes <= closing_at_; }

  void Build();
  void AddRun(std::vector<RunHeader>& runs);
  void AddRecord(const RunHeader& run, Index index);
  void AddFrame(const RunHeader& run);

  ByteReader input_;
  std::vector<std::byte> bytes_;
  const FileContext context_ = FileContext::Of(testing::TestSystem(), 1, 5);
  std::size_t at_ = kBatchHeaderBytes;
  std::size_t closing_at_ = kBatch - 4 * kSectorBytes;
};

void HostileBatch::AddRecord(const RunHeader& run, Index index) {
  const Bytes payload =
      input_.GetBytes(std::min<std::size_t>(input_.Get<std::uint8_t>(), input_.remaining()));
  if (!Room(RecordBytes(payload.size()))) return;
  const RecordOwner owner = testing::OwnerOf(run.slot % 3);
  RecordHeader record{.payload_bytes = Field(payload.size()), .kind = input_.Get<std::uint8_t>()};
  const bool entry = IsEntries(run.kind);
  record.entry_checksum = EntryChecksum(
      {owner.cluster_id, entry ? run.term : 0, entry ? index : 0, record.kind}, payload);
  EncodeRecordHeader(record, RecordSeed(context_.seed, kOffset + at_, owner.uid), &bytes_[at_]);
  std::copy(payload.begin(), payload.end(),
            bytes_.begin() + static_cast<std::ptrdiff_t>(at_ + kRecordHeaderBytes));
  at_ += RecordBytes(payload.size());
}

/// One record, packed, under right checksums; what its header says may be wrong.
void HostileBatch::AddFrame(const RunHeader& run) {
  const RecordOwner owner = testing::OwnerOf(run.slot % 3);
  std::vector<std::byte> raw(RecordBytes(input_.Get<std::uint8_t>() + 100));
  EncodeRecordHeader({.payload_bytes = Field(raw.size() - kRecordHeaderBytes)},
                     FramedRecordSeed(0, owner.uid), raw.data());
  std::vector<std::byte> body(raw.size());
  body.resize(ZstdCompressor().Compress(raw, body));
  if (!body.empty()) body[input_.Get<std::uint8_t>() % body.size()] ^= input_.Get<std::byte>();
  if (!Room(FrameBytes(body.size()))) return;
  std::copy(body.begin(), body.end(),
            bytes_.begin() + static_cast<std::ptrdiff_t>(at_ + kFrameHeaderBytes));
  const auto seed = [&](std::size_t at) {
    return RecordSeed(context_.seed, kOffset + at, owner.uid);
  };
  EncodeFrameHeader({.body_checksum = Checksum(body, seed(at_ + kFrameHeaderBytes)),
                     .packed_bytes = Field(body.size()),
                     .raw_bytes = Field(raw.size()),
                     .count = Field(1)},
                    seed(at_), &bytes_[at_]);
  at_ += FrameBytes(body.size());
}

void HostileBatch::AddRun(std::vector<RunHeader>& runs) {
  RunHeader run{.slot = input_.Get<std::uint8_t>() % 4u,
                .first = input_.Get<std::uint64_t>() >> (input_.Get<std::uint8_t>() % 64),
                .term = input_.Get<std::uint8_t>(),
                .epoch = input_.Get<std::uint8_t>(),
                .kind = static_cast<RunKind>(input_.Get<std::uint8_t>() % 11),
                .flags = input_.Get<std::uint8_t>()};
  const std::size_t header_at = at_;
  at_ += kRunHeaderBytes;
  const std::uint32_t records = input_.Get<std::uint8_t>() % 8u;
  const bool packed = (run.flags & kRunPacked) != 0 && IsEntries(run.kind);
  for (std::uint32_t i = 0; i < records; ++i) {
    packed ? AddFrame(run) : AddRecord(run, run.first + i);
  }
  run.count = Field(records);
  run.bytes = Field(at_ - header_at - kRunHeaderBytes);
  EncodeRunHeader(run, SeedAt(context_.seed, kOffset + header_at), &bytes_[header_at]);
  runs.push_back(run);
}

void HostileBatch::Build() {
  const std::uint32_t bindings = input_.Get<std::uint8_t>() % 5u;
  std::byte* closing = &bytes_[closing_at_];
  for (std::uint32_t i = 0; i < bindings; ++i) {
    const RecordOwner owner = testing::OwnerOf(i % 3);
    const Binding binding{Field(i), owner.cluster_id, owner.uid};
    EncodeBinding(binding, &bytes_[at_]);
    EncodeBinding(binding, closing + kClosingHeaderBytes + i * kBindingBytes);
    at_ += kBindingBytes;
  }
  std::vector<RunHeader> runs;
  while (input_.remaining() > 0 && runs.size() < 16 && Room(kRunHeaderBytes)) AddRun(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    EncodeRunSummary(runs[i], closing + ClosingBytes(i, bindings));
  }
  const std::uint64_t seed = SeedAt(context_.seed, kOffset);
  BatchHeader header{.life = 5,
                     .file_number = 1,
                     .number = Field(1),
                     .durable_upto = Field(0),
                     .batch_bytes = Field(kBatch),
                     .closing_offset = Field(closing_at_),
                     .run_count = Field(runs.size()),
                     .binding_count = Field(bindings),
                     .body_bytes = Field(at_)};
  header.body_checksum =
      Checksum({&bytes_[kBatchHeaderBytes], closing_at_ - kBatchHeaderBytes}, seed);
  header.checksum = EncodeBatchHeader(header, seed, bytes_.data());
  // The closing's own place and length are true, or its checksum could not be made.
  EncodeClosing({.life = 5,
                 .file_number = 1,
                 .number = header.number,
                 .durable_upto = header.durable_upto,
                 .batch_checksum = header.checksum,
                 .batch_bytes = kBatch,
                 .closing_offset = static_cast<std::uint32_t>(closing_at_),
                 .run_count = Field(runs.size()),
                 .binding_count = Field(bindings)},
                SeedAt(context_.seed, kOffset + closing_at_), closing);
}

void ReadAll(const BatchContents& contents, const HostileBatch& batch, Replay& replay) {
  const std::byte* begin = batch.bytes().data();
  for (const auto* runs : {&contents.runs, &contents.partial}) {
    for (const RunView& run : *runs) {
      CHECK(run.records.empty() || run.records.data() >= begin);
      CHECK(run.records.empty() ||
            run.records.data() + run.records.size() <= begin + batch.bytes().size());
      const RecordOwner owner = testing::OwnerOf(run.header.slot % 3);
      RecordReader reader(run, batch.context(), owner);
      while (!reader.AtEnd() && reader.resumable()) (void)reader.Next();
      replay.OnRun(run, owner, 1);
    }
  }
}

}  // namespace
}  // namespace duramen::wal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen::wal;  // NOLINT
  const HostileBatch batch(std::as_bytes(std::span(input, size)));
  const duramen::SystemUuid system = testing::TestSystem();
  Replay replay;
  const auto header = DecodeBatchHeader(batch.bytes(), system, batch.context(), kOffset);
  if (header.ok() && BatchIntact(*header, batch.bytes(), system, batch.context(), kOffset)) {
    const auto contents = ReadIntactBatch(*header, batch.bytes(), batch.context(), kOffset);
    if (contents.ok()) ReadAll(*contents, batch, replay);
  }
  ReadAll(ReadDamagedBatch(batch.bytes(), system, batch.context(), kOffset, {}), batch, replay);
  return 0;
}
