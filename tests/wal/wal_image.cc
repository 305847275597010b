#include "tests/wal/wal_image.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/wal/memory_file.h"

namespace duramen::wal::testing {

RecordOwner OwnerOf(std::uint32_t log) {
  RecordOwner owner;
  owner.uid.bytes[0] = 0xA0;
  StoreLe(reinterpret_cast<std::byte*>(owner.uid.bytes.data()) + 4, log + 1);
  owner.cluster_id = 7000 + log;
  return owner;
}

std::uint32_t LogOf(const ServerUid& uid) {
  const auto log = LoadLe<std::uint32_t>(reinterpret_cast<const std::byte*>(uid.bytes.data()) + 4);
  return log != 0 && OwnerOf(log - 1).uid == uid ? log - 1 : UINT32_MAX;
}

SystemUuid TestSystem() {
  SystemUuid system;
  for (std::size_t i = 0; i < system.bytes.size(); ++i) {
    system.bytes[i] = static_cast<std::uint8_t>(i * 17 + 1);
  }
  return system;
}

ImageBuilder::ImageBuilder(std::uint64_t number, std::uint64_t life, std::uint64_t size_bytes)
    : bytes(size_bytes), context_(FileContext::Of(TestSystem(), number, life)) {}

void ImageBuilder::Header(FileHeader header) {
  header.system = TestSystem();
  header.number = context_.number;
  header.life = context_.life;
  header.size_bytes = bytes.size();
  for (std::uint64_t copy = 0; copy < kHeaderCopies; ++copy) {
    EncodeFileHeader(header, copy,
                     std::span(bytes).subspan(copy * kBlockBytes).first<kBlockBytes>());
  }
}

const BatchPlace& ImageBuilder::Batch(const BatchOptions& options,
                                      const std::vector<RunSpec>& runs) {
  BatchEncoder encoder(context_, offset_, std::span(bytes).subspan(offset_));
  if (packs) encoder.PackWith(packer_);
  for (const RunSpec& run : runs) {
    if (std::count(bound_.begin(), bound_.end(), run.log) > 0) continue;
    bound_.push_back(run.log);
    encoder.AddBinding({run.log, OwnerOf(run.log).cluster_id, OwnerOf(run.log).uid});
  }
  BatchPlace place{.header = {.flags = options.flags,
                              .number = options.number,
                              .durable_upto = options.durable_upto,
                              .previous_checksum = options.previous_checksum,
                              .boot = 1},
                   .offset = offset_,
                   .runs = {}};
  for (const RunSpec& run : runs) {
    const RecordOwner owner = OwnerOf(run.log);
    encoder.BeginRun({.slot = run.log,
                      .first = run.first,
                      .term = run.term,
                      .epoch = run.epoch,
                      .kind = run.kind,
                      .flags = run.flags},
                     owner.uid);
    RunPlace at{.spec = run, .offset = encoder.run_offset(), .records = {}};
    std::uint64_t offset = at.offset + kRunHeaderBytes;
    for (std::size_t i = 0; i < run.payloads.size(); ++i) {
      const Bytes payload = AsBytes(run.payloads[i]);
      const bool entry = IsEntries(run.kind);
      const EntryIdentity identity{owner.cluster_id, entry ? run.term : 0,
                                   entry ? run.first + i : 0,
                                   static_cast<std::uint8_t>(entry ? 128 : 2)};
      CHECK(encoder.AddRecord({.identity = identity,
                               .payload = payload.data(),
                               .payload_bytes = static_cast<std::uint32_t>(payload.size()),
                               .entry_checksum = EntryChecksum(identity, payload)}));
      at.records.push_back({.log = run.log,
                            .index = entry ? run.first + i : 0,
                            .run_last = entry ? run.first + run.payloads.size() - 1 : 0,
                            .header = offset,
                            .payload = offset + kRecordHeaderBytes,
                            .end = offset + RecordBytes(payload.size())});
      offset = at.records.back().end;
    }
    (void)encoder.EndRun();
    place.runs.push_back(std::move(at));
  }
  offset_ += encoder.Finish(place.header).size();
  batches_.push_back(std::move(place));
  return batches_.back();
}

const BatchPlace& ImageBuilder::Next(const std::vector<RunSpec>& runs) {
  const std::uint64_t number = batches_.empty() ? 1 : batches_.back().header.number + 1;
  return Batch({.number = number,
                .durable_upto = number - 1,
                .previous_checksum = batches_.empty() ? 0 : batches_.back().header.checksum},
               runs);
}

FileSummary Scan(const std::vector<std::byte>& bytes, std::uint64_t number) {
  const ::duramen::testing::MemoryFile file(bytes);
  FileWindow window(file, bytes.size());
  FileSummary summary = ScanHeaders(window, number, TestSystem());
  ScanBatches(window, TestSystem(), summary);
  return summary;
}

}  // namespace duramen::wal::testing
