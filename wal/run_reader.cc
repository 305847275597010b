#include "wal/run_reader.h"

#include <algorithm>

#include "base/check.h"
#include "base/read_around.h"
#include "base/try.h"

namespace duramen::wal {

Result<RunReader> RunReader::Open(const OpenWalFile& file, const OwnedRun& owned,
                                  std::span<std::byte> buffer) {
  const LandedRun& run = owned.run;
  CHECK(buffer.size() >= BufferBytes(run));
  const AroundRead got = TRY(ReadAround(*file.file, run.offset, buffer.first(BufferBytes(run))));
  const std::size_t read = std::max(got.bytes, kRunHeaderBytes);
  RunView view{.header = {.slot = owned.slot,
                          .count = run.count,
                          .first = run.first,
                          .term = run.term,
                          .bytes = run.bytes},
               .offset = run.offset,
               .records = Bytes(buffer).subspan(kRunHeaderBytes, read - kRunHeaderBytes)};
  // Its own header may be damaged, and what stands behind it says the same.
  const std::uint64_t seed =
      RecordSeed(file.context.seed, run.offset + kRunHeaderBytes, owned.owner.uid);
  if (DecodeFrameHeader(view.records, seed).ok()) view.header.flags = kRunPacked;
  const bool silent = got.bytes > 0 && got.unreadable_bytes == got.bytes;
  RecordReader reader(view, file.context, owned.owner);
  reader.KeepFrames();
  return RunReader(std::move(reader), silent);
}

}  // namespace duramen::wal
