// Writes in flight: the part of the port to disk (base/io.h) that does not block. One request is a
// write and the sync that makes it durable; whoever submitted it is woken when it is done.
//
// Buffered requests are done one after the other, in order; direct ones at once, and they complete
// in any order. Nothing is ever repeated: what failed is for the caller to judge, and what is in
// flight stays in flight until its completion was taken.
//
// Owned by one actor, which alone calls it. Requires: a file and the bytes of a request stay as
// they are until its completion was taken. The destructor waits for what is in flight.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/actor.h"
#include "base/clock.h"
#include "base/io.h"

namespace duramen {

/// How a write is made durable.
enum class MadeDurable : std::uint8_t {
  kNot,
  kData,    // fdatasync
  kAll,     // fsync
  kDirect,  // by the write itself, past the page cache; the file is open for kDirect
};

struct WriteRequest {
  std::uint64_t id = 0;
  File* file = nullptr;
  std::uint64_t offset = 0;
  Bytes bytes = {};
  MadeDurable how = MadeDurable::kData;
};

/// What became of a request, and when (Clock ns): begun, written, durable.
struct WriteDone {
  std::uint64_t id = 0;
  Status status = {};
  std::int64_t begun_ns = 0;
  std::int64_t written_ns = 0;
  std::int64_t synced_ns = 0;
};

class WriteQueue {
 public:
  virtual ~WriteQueue() = default;
  /// Begins it. Requires: fewer than `depth` are in flight.
  virtual void Submit(const WriteRequest& request) = 0;
  /// Appends the completions since the last call to `done`, in the order in which they happened.
  virtual void Take(std::vector<WriteDone>& done) = 0;
  /// Returns when nothing is in flight. Requires: the owner's actor is stopped, or in a Step.
  virtual void Drain() = 0;
  /// Does it now, on the calling thread, whatever else is in flight.
  virtual WriteDone Run(const WriteRequest& request) = 0;
  /// What does the work, for people: "inline", "threads", "io_uring".
  virtual const char* name() const = 0;
};

struct WriteQueueOptions {
  std::uint32_t depth = 1;  // requests in flight at most
  bool direct = false;      // all of them are kDirect; else none is
  bool io_uring = true;     // used where the kernel allows it
  ActorExecutor& executor;
  Actor& owner;  // woken when a request is done
  const Clock& clock;
  std::vector<const FileLock*> locks = {};  // held as long as anything is in flight [A22]
};

/// The request, on this thread; what every queue does in the end.
WriteDone RunWrite(const WriteRequest& request, const Clock& clock);

/// Does each request when it is submitted.
class InlineWriteQueue final : public WriteQueue {
 public:
  explicit InlineWriteQueue(const WriteQueueOptions& options) : options_(options) {}
  void Submit(const WriteRequest& request) override;
  void Take(std::vector<WriteDone>& done) override;
  void Drain() override {}
  WriteDone Run(const WriteRequest& request) override;
  const char* name() const override { return "inline"; }

 private:
  WriteQueueOptions options_;
  std::vector<WriteDone> done_;
};

/// One thread for buffered requests, `depth` for direct ones.
std::unique_ptr<WriteQueue> MakeThreadQueue(const WriteQueueOptions& options);
/// Null where liburing was not there at build time, or the kernel says no.
std::unique_ptr<WriteQueue> MakeUringQueue(const WriteQueueOptions& options);

}  // namespace duramen
