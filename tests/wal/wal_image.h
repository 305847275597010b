// WAL files built in memory, batch by batch, through the production encoder: the fixture language
// of the codec tests. What stands where is remembered, so that a test can damage one part and say
// who owns it.
//
// Pure. Owned by the test; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wal/batch.h"
#include "wal/scan.h"
#include "wal/verdict.h"

namespace duramen::wal::testing {

/// The uid and cluster of log number `log`.
RecordOwner OwnerOf(std::uint32_t log);
/// The number back; UINT32_MAX for a stranger.
std::uint32_t LogOf(const ServerUid& uid);
SystemUuid TestSystem();

/// One run of a batch. For rows each payload is a row record.
struct RunSpec {
  std::uint32_t log = 0;
  RunKind kind = RunKind::kNext;
  Index first = 0;
  Term term = 1;
  std::vector<std::string> payloads = {};
  std::uint64_t epoch = 0;
  std::uint8_t flags = 0;
};

/// Where a record stands, and whose it is.
struct RecordPlace {
  std::uint32_t log = 0;
  Index index = 0;  // 0: a row
  Index run_last = 0;
  std::uint64_t header = 0;
  std::uint64_t payload = 0;
  std::uint64_t end = 0;  // padding included
};
struct RunPlace {
  RunSpec spec;
  std::uint64_t offset = 0;
  std::vector<RecordPlace> records;
};
struct BatchPlace {
  BatchHeader header;
  std::uint64_t offset = 0;
  std::uint64_t end() const { return offset + header.batch_bytes; }
  std::uint64_t closing() const { return offset + header.closing_offset; }
  std::vector<RunPlace> runs;
};

/// One WAL file. The first batch of a log in the file binds its slot.
class ImageBuilder {
 public:
  ImageBuilder(std::uint64_t number, std::uint64_t life, std::uint64_t size_bytes = 64 << 10);
  /// Writes both copies; number, life, size and system are filled in.
  void Header(FileHeader header);
  struct BatchOptions {
    std::uint64_t number = 0;
    std::uint64_t durable_upto = 0;
    std::uint64_t previous_checksum = 0;
    std::uint16_t flags = 0;
  };
  const BatchPlace& Batch(const BatchOptions& options, const std::vector<RunSpec>& runs);
  /// number, durable_upto = number - 1 and the chain follow from the batch before.
  const BatchPlace& Next(const std::vector<RunSpec>& runs);

  const std::vector<BatchPlace>& batches() const { return batches_; }
  const FileContext& context() const { return context_; }
  std::vector<std::byte> bytes;
  /// Runs of 4 KiB and more are packed where that pays; what stands where inside is not known then.
  bool packs = false;

 private:
  RunPacker packer_;
  FileContext context_;
  std::uint64_t offset_ = kFirstBatchOffset;
  std::vector<std::uint32_t> bound_;
  std::vector<BatchPlace> batches_;
};

/// Headers and batches of a file image.
FileSummary Scan(const std::vector<std::byte>& bytes, std::uint64_t number);

}  // namespace duramen::wal::testing
