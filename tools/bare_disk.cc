#include "tools/bare_disk.h"

#include <algorithm>
#include <atomic>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/posix_io.h"
#include "base/rng.h"
#include "base/try.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kBlockBytes = 4096;
constexpr std::uint64_t kZeroChunkBytes = 4 << 20;
constexpr const char* kFileName = "duramen-bench-disk";

}  // namespace

/// Who waits for a queue without an executor of actors.
class BareDisk::Doorbell final : public ActorExecutor, public Actor {
 public:
  void Start(Actor&) override {}
  void Wake(Actor&) override {
    rung_.fetch_add(1);
    rung_.notify_one();
  }
  void Stop(Actor&) override {}
  bool Await(bool (*done)(void*), void* argument, Deadline) override { return done(argument); }
  void Progress() override {}
  std::int64_t Step() override { return kIdle; }
  const char* name() const override { return "doorbell"; }
  int rung() const { return rung_.load(); }
  void AwaitBeyond(int rung) const { rung_.wait(rung); }

 private:
  std::atomic<int> rung_{0};
};

BareDisk::BareDisk() : doorbell_(std::make_unique<Doorbell>()) {}
BareDisk::BareDisk(BareDisk&&) = default;

Result<BareDisk> BareDisk::Create(const std::string& directory, const Options& options) {
  PosixFileSystem file_system;
  BareDisk disk;
  disk.directory_ = TRY(file_system.Open(directory));
  disk.options_ = options;
  const std::uint64_t size = disk.options_.size_bytes = RoundUp(options.size_bytes, kBlockBytes);
  disk.file_ = TRY(disk.directory_->Create(kFileName));
  TRY(disk.file_->Allocate(size));
  // Written once, as the WAL's files are: a first write into a block costs a journal commit.
  const std::vector<std::byte> zeros(std::min(kZeroChunkBytes, size));
  for (std::uint64_t at = 0; at < size; at += zeros.size()) {
    TRY(disk.file_->Write(at, Bytes(zeros).first(std::min(zeros.size(), size - at))));
  }
  TRY(disk.file_->SyncAll());
  TRY(disk.directory_->Sync());
  if (options.method == SyncMethod::kNone) disk.how_ = MadeDurable::kNot;
  if (options.method == SyncMethod::kFsync) disk.how_ = MadeDurable::kAll;
  if (options.method != SyncMethod::kDsync) return disk;
  disk.how_ = MadeDurable::kDirect;
  disk.file_ = TRY(disk.directory_->Open(kFileName, OpenFor::kDirect));
  if (options.depth == 1) return disk;
  // The clock of the queue outlives moves of the disk.
  static const SystemClock clock;
  disk.queue_ = file_system.MakeWriteQueue({.depth = options.depth,
                                            .direct = true,
                                            .executor = *disk.doorbell_,
                                            .owner = *disk.doorbell_,
                                            .clock = clock,
                                            .locks = {}});
  return disk;
}

BareDisk::~BareDisk() {
  if (file_ == nullptr) return;  // Moved from.
  queue_.reset();
  file_.reset();
  (void)directory_->Remove(kFileName);  // A bench's leftover harms nobody.
}

Status BareDisk::Write(std::uint64_t bytes) {
  const std::uint64_t size =
      std::min(RoundUp(std::max<std::uint64_t>(bytes, 1), kBlockBytes), options_.size_bytes);
  if (buffer_bytes_ < size) {
    // Not zeros: a device may do those for nothing.
    Rng rng(size);
    former_.push_back(std::move(buffer_));
    buffer_ = MakeAligned(size);
    buffer_bytes_ = size;
    for (std::uint64_t at = 0; at + 8 <= size; at += 8) StoreLe(buffer_.get() + at, rng.Next());
  }
  if (at_ + size > options_.size_bytes) at_ = 0;
  const WriteRequest request{
      .file = file_.get(), .offset = at_, .bytes = {buffer_.get(), size}, .how = how_};
  at_ += size;
  bytes_ += size;
  ++syncs_;
  if (queue_ == nullptr) return Settle(RunWrite(request, clock_));
  queue_->Submit(request);
  ++in_flight_;
  return Await();
}

/// Until one more fits.
Status BareDisk::Await() {
  while (in_flight_ >= std::min<std::uint64_t>(options_.depth, limit_)) {
    const int rung = doorbell_->rung();
    done_.clear();
    queue_->Take(done_);
    for (const WriteDone& done : done_) {
      --in_flight_;
      TRY(Settle(done));
    }
    if (done_.empty()) doorbell_->AwaitBeyond(rung);
  }
  return {};
}

Status BareDisk::Settle(const WriteDone& done) {
  if (!done.status.ok()) return done.status;
  latency_->Add(done.synced_ns - done.begun_ns);
  return {};
}

}  // namespace duramen::tools
