#include "tests/wal/golden.h"

#include "base/bytes.h"
#include "log/system_file.h"
#include "meta/row.h"

namespace duramen::golden {
namespace {

SystemUuid System() {
  SystemUuid system;
  for (std::size_t i = 0; i < 16; ++i) system.bytes[i] = static_cast<std::uint8_t>(0x10 + i);
  return system;
}

ServerUid Server() {
  ServerUid uid;
  for (std::size_t i = 0; i < 16; ++i) uid.bytes[i] = static_cast<std::uint8_t>(0xF0 - i);
  return uid;
}

}  // namespace

wal::FileContext Context() { return wal::FileContext::Of(System(), 12, 0x1122334455667788); }

wal::FileHeader FileHeaderValue() {
  wal::FileHeader header;
  header.system = System();
  header.life = Context().life;
  header.number = 12;
  header.size_bytes = 65536;
  header.boot = 3;
  header.predecessor_number = 11;
  header.predecessor_life = 0x99AA;
  header.predecessor_end = 70;
  header.predecessor_checksum = 0xC0FFEE;
  header.oldest_live = 9;
  header.first_batch = 72;
  header.durable_upto = 69;
  header.sync_method = 1;
  header.unix_ms = 1'700'000'000'123;
  return header;
}

wal::BatchHeader BatchHeaderValue() {
  return {.flags = wal::kBatchCopied,
          .life = Context().life,
          .file_number = 12,
          .number = 73,
          .durable_upto = 72,
          .previous_checksum = 0xABCDEF,
          .body_checksum = 0x123456,
          .batch_bytes = 8192,
          .closing_offset = 4608,
          .run_count = 3,
          .binding_count = 2,
          .record_count = 9,
          .row_count = 1,
          .body_bytes = 4500,
          .boot = 3};
}

wal::RunHeader RunHeaderValue() {
  return {.slot = 7,
          .count = 5,
          .first = 1001,
          .term = 6,
          .epoch = 2,
          .bytes = 400,
          .kind = wal::RunKind::kOverwrite,
          .flags = wal::kRunCarried};
}

wal::RecordHeader RecordHeaderValue() {
  return {.entry_checksum = EntryChecksum({77, 6, 1001, 200}, AsBytes("golden")),
          .payload_bytes = 6,
          .kind = 200};
}

wal::Binding BindingValue() { return {.slot = 7, .cluster_id = 77, .uid = Server()}; }

wal::ClosingHeader ClosingValue() {
  return {.life = Context().life,
          .file_number = 12,
          .number = 73,
          .durable_upto = 72,
          .batch_checksum = 0x5555,
          .batch_bytes = 8192,
          .closing_offset = 7680,
          .run_count = 1,
          .binding_count = 1};
}

std::map<std::string, std::vector<std::byte>> Structures(int version) {
  std::map<std::string, std::vector<std::byte>> all;
  log::SystemFile system{.system = System(), .created_unix_ms = 1'700'000'000'123, .wal_dirs = {}};
  system.wal_dirs = {"wal", "/mnt/other"};
  if (version == 2) {
    system.shards = 3;
    all["system"] = log::EncodeSystemFile(system);
    system.shards = log::kIsAShard;
    all["system_of_a_shard"] = log::EncodeSystemFile(system);
    return all;
  }
  for (std::uint64_t copy = 0; copy < wal::kHeaderCopies; ++copy) {
    std::vector<std::byte> block(wal::kBlockBytes);
    wal::EncodeFileHeader(FileHeaderValue(), copy, std::span(block).first<wal::kBlockBytes>());
    all["file_header_" + std::to_string(copy)] = block;
  }
  const std::uint64_t seed = SeedAt(Context().seed, kOffset);
  std::vector<std::byte> bytes(wal::kBatchHeaderBytes);
  (void)wal::EncodeBatchHeader(BatchHeaderValue(), seed, bytes.data());
  all["batch_header"] = bytes;
  bytes.assign(wal::kBindingBytes, {});
  wal::EncodeBinding(BindingValue(), bytes.data());
  all["binding"] = bytes;
  bytes.assign(wal::kRunHeaderBytes, {});
  wal::EncodeRunHeader(RunHeaderValue(), seed, bytes.data());
  all["run_header"] = bytes;
  bytes.assign(wal::kRecordHeaderBytes, {});
  wal::EncodeRecordHeader(RecordHeaderValue(), wal::RecordSeed(Context().seed, kOffset, Server()),
                          bytes.data());
  all["record_header"] = bytes;
  bytes.assign(ClosingValue().batch_bytes - ClosingValue().closing_offset, {});
  wal::EncodeBinding(BindingValue(), bytes.data() + wal::kClosingHeaderBytes);
  wal::EncodeRunSummary(RunHeaderValue(),
                        bytes.data() + wal::kClosingHeaderBytes + wal::kBindingBytes);
  wal::EncodeClosing(ClosingValue(), SeedAt(Context().seed, kOffset + 7680), bytes.data());
  all["closing"] = bytes;
  all["system"] = log::EncodeSystemFile(system);
  all["identity"] = log::EncodeIdentityFile({.system = System(), .wal_dir = 1});
  return all;
}

LogStoreOptions StoreOptions(const std::string& directory, Compression compression) {
  LogStoreOptions options;
  options.data_dir = directory;
  options.wal_max_size_bytes = 32768;
  options.memory_budget = 16 << 20;
  options.wal_compression = compression;
  return options;
}

std::map<std::string, std::vector<std::string>> StoreContents() {
  std::map<std::string, std::vector<std::string>> logs;
  const std::string filler(700, 'f');
  for (int i = 1; i <= 30; ++i) {
    logs["queue/a"].push_back(std::to_string(i) + ":1:128:a" + std::to_string(i) + filler);
  }
  logs["queue/a"].push_back("31:3:255:last");
  logs["queue/b"] = {"3:2:200:b3", "4:2:200:b4'"};  // floor 3, 4 overwritten, cut at 5
  logs
      ["gr\xC3\xB6\xC3\x9F"
       "e"] = {"101:9:128:after the snapshot"};  // reset to 101
  logs["empty"] = {};
  return logs;
}

}  // namespace duramen::golden
