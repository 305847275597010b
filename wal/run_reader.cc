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
  const RunView view{.header = {.slot = owned.slot,
                                .count = run.count,
                                .first = run.first,
                                .term = run.term,
                                .bytes = run.bytes},
                     .offset = run.offset,
                     .records = Bytes(buffer).subspan(kRunHeaderBytes, read - kRunHeaderBytes)};
  const bool silent = got.bytes > 0 && got.unreadable_bytes == got.bytes;
  return RunReader(RecordReader(view, file.context, owned.owner), silent);
}

}  // namespace duramen::wal
