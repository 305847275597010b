// Files of format version 1, written once, read by the current code.
#include "tests/wal/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "base/loop_executor.h"
#include "base/posix_io.h"
#include "log/storage.h"
#include "log/system_file.h"
#include "tests/base/temp_dir.h"

namespace duramen::golden {
namespace {

std::string TestData(int version = 1) {
  return std::string(DURAMEN_SOURCE_DIR) + "/tests/testdata/v" + std::to_string(version);
}

std::map<std::string, std::vector<std::byte>> ReadStructures(int version = 1) {
  std::map<std::string, std::vector<std::byte>> all;
  std::ifstream in(TestData(version) + "/structures.txt");
  std::string name;
  std::string hex;
  while (in >> name >> hex) {
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      all[name].push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
  }
  return all;
}

TEST(Golden, PW6_EveryStructureEncodesToTheSameBytesAsEver) {
  for (const int version : {1, 2}) {
    const auto golden = ReadStructures(version);
    const auto now = Structures(version);
    ASSERT_EQ(golden.size(), version == 1 ? 9u : 2u);
    for (const auto& [name, bytes] : golden) {
      ASSERT_TRUE(now.contains(name)) << name;
      EXPECT_EQ(now.at(name), bytes) << name;
    }
  }
}

TEST(Golden, PW6_EveryStructureDecodes) {
  const auto golden = ReadStructures();
  const wal::FileContext context = Context();
  const SystemUuid system = FileHeaderValue().system;
  for (std::uint64_t copy = 0; copy < 2; ++copy) {
    const auto header =
        wal::DecodeFileHeader(golden.at("file_header_" + std::to_string(copy)), copy);
    ASSERT_TRUE(header.ok()) << header.error().message;
    EXPECT_EQ(header->life, context.life);
    EXPECT_EQ(header->predecessor_end, 70u);
    EXPECT_EQ(header->predecessor_checksum, 0xC0FFEEu);
    EXPECT_EQ(header->oldest_live, 9u);
    EXPECT_EQ(header->first_batch, 72u);
    EXPECT_EQ(header->durable_upto, 69u);
    EXPECT_EQ(header->unix_ms, 1'700'000'000'123);
  }
  const auto batch = wal::DecodeBatchHeader(golden.at("batch_header"), system, context, kOffset);
  ASSERT_TRUE(batch.ok()) << batch.error().message;
  EXPECT_EQ(batch->number, 73u);
  EXPECT_EQ(batch->durable_upto, 72u);
  EXPECT_EQ(batch->previous_checksum, 0xABCDEFu);
  EXPECT_EQ(batch->body_bytes, 4500u);
  const auto run = wal::DecodeRunHeader(golden.at("run_header"), SeedAt(context.seed, kOffset));
  ASSERT_TRUE(run.ok());
  EXPECT_EQ(*run, RunHeaderValue());
  const wal::Binding binding = wal::DecodeBinding(golden.at("binding").data());
  EXPECT_EQ(binding.uid, BindingValue().uid);
  const auto record = wal::DecodeRecordHeader(golden.at("record_header"),
                                              wal::RecordSeed(context.seed, kOffset, binding.uid));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->entry_checksum, RecordHeaderValue().entry_checksum);
  const auto closing = wal::DecodeClosing(golden.at("closing"), system, context, kOffset + 7680);
  ASSERT_TRUE(closing.ok()) << closing.error().message;
  EXPECT_EQ(closing->batch_checksum, 0x5555u);
  const auto file = log::DecodeSystemFile(golden.at("system"));
  ASSERT_TRUE(file.ok());
  EXPECT_THAT(file->content.wal_dirs, ::testing::ElementsAre("wal", "/mnt/other"));
  EXPECT_EQ(file->content.shards, 1u);
  for (const auto& [name, shards] : {std::pair{"system", 3u}, {"system_of_a_shard", 0u}}) {
    const auto sharded = log::DecodeSystemFile(ReadStructures(2).at(name));
    ASSERT_TRUE(sharded.ok()) << name;
    EXPECT_EQ(sharded->content.shards, shards);
    EXPECT_EQ(sharded->content.wal_dirs, file->content.wal_dirs);
  }
  const auto identity = log::DecodeIdentityFile(golden.at("identity"));
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->content.wal_dir, 1u);
}

std::vector<std::string> Contents(const LogStore& store, LogRef log) {
  std::vector<std::string> lines;
  const Bounds bounds = store.BoundsOf(log).value();
  for (Index index = bounds.begin; index < bounds.end; ++index) {
    const Result<Pin> pin = store.Read(log, index, index + 1, 1 << 20);
    if (!pin.ok()) return {pin.error().message};
    const EntryView& entry = pin->entries()[0];
    lines.push_back(std::to_string(entry.index) + ":" + std::to_string(entry.term) + ":" +
                    std::to_string(entry.kind) + ":" + std::string(AsText(entry.payload)));
  }
  return lines;
}

void ExpectTheGoldenStore(LogStore& store) {
  EXPECT_TRUE(store.recovery_report().findings.empty()) << store.recovery_report().ToText();
  const auto expected = StoreContents();
  const std::vector<LogInfo> logs = store.Logs();
  ASSERT_EQ(logs.size(), expected.size());
  std::map<std::string, LogRef> by_name;
  for (const LogInfo& info : logs) {
    ASSERT_TRUE(expected.contains(info.name)) << info.name;
    EXPECT_FALSE(info.faulty);
    EXPECT_EQ(Contents(store, info.log), expected.at(info.name)) << info.name;
    by_name[info.name] = info.log;
  }
  const LogRef a = by_name.at("queue/a");
  const LogRef b = by_name.at("queue/b");
  EXPECT_EQ(store.VoteOf(a)->term, 3u);
  EXPECT_EQ(store.VoteOf(a)->voted_for, "node-b");
  EXPECT_EQ(store.VoteOf(b)->voted_for, "");
  EXPECT_EQ(store.LastAppliedOf(a).value(), 17u);
  EXPECT_EQ(store.Get(a, "colour").value(), "green");
  EXPECT_EQ(store.Get(a, "shape").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store.BoundsOf(b)->epoch, 2u);
  EXPECT_EQ(store.TermAt(b, 2).value(), 2u);
  EXPECT_EQ(store
                .TermAt(by_name.at("gr\xC3\xB6\xC3\x9F"
                                   "e"),
                        100)
                .value(),
            9u);
}

// Opened twice: the second start reads what the current code made of it.
void ExpectItOpensTwice(const std::string& golden) {
  testing::TempDir dir;
  const std::string copy = dir / "store";
  std::filesystem::copy(golden, copy, std::filesystem::copy_options::recursive);
  for (int start = 0; start < 2; ++start) {
    SCOPED_TRACE(start);
    PosixFileSystem file_system;
    ManualClock clock;
    LoopExecutor executor(Rng(9), clock);
    Result<LogStore> store =
        log::OpenLogStore(StoreOptions(copy), {file_system, clock, executor, Rng(77)}, {});
    ASSERT_TRUE(store.ok()) << store.error().message;
    EXPECT_EQ(store->recovery_report().boot, static_cast<std::uint64_t>(2 + start));
    ExpectTheGoldenStore(*store);
    ASSERT_TRUE(store->Close(Deadline::max()).ok());
  }
}

TEST(Golden, PW6_AStoreOfVersionOneOpensWithExactlyItsContents) {
  ExpectItOpensTwice(TestData() + "/store");
}

TEST(Golden, PW6_PW14_AStoreOfVersionTwoOpensWithExactlyItsContents) {
  const std::string store = std::string(DURAMEN_SOURCE_DIR) + "/tests/testdata/v2/store";
  std::size_t packed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(store + "/wal")) {
    std::ifstream in(entry.path(), std::ios::binary);
    std::vector<std::byte> block(wal::kBlockBytes);
    in.read(reinterpret_cast<char*>(block.data()), wal::kBlockBytes);
    const auto header = wal::DecodeFileHeader(block, 0);
    packed += header.ok() && header->version == wal::kPackedVersion ? 1 : 0;
  }
  EXPECT_GT(packed, 0u);
  ExpectItOpensTwice(store);
}

TEST(Golden, PW6_TheGoldenStoreRolled) {
  std::size_t in_service = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TestData() + "/store/wal")) {
    const auto number = wal::ParseFileName(entry.path().filename().string());
    if (!number) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::vector<std::byte> block(wal::kBlockBytes);
    in.read(reinterpret_cast<char*>(block.data()), wal::kBlockBytes);
    const auto header = wal::DecodeFileHeader(block, 0);
    in_service += header.ok() && header->number == *number ? 1 : 0;
  }
  EXPECT_GE(in_service, 3u);
}

}  // namespace
}  // namespace duramen::golden
