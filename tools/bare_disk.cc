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
  disk.options_.size_bytes = RoundUp(options.size_bytes, kBlockBytes);
  disk.file_ = TRY(disk.directory_->Create(options.name));
  TRY(disk.Prepare());
  TRY(disk.directory_->Sync());
  if (options.method == SyncMethod::kNone) disk.how_ = MadeDurable::kNot;
  if (options.method == SyncMethod::kFsync) disk.how_ = MadeDurable::kAll;
  if (options.method != SyncMethod::kDsync) return disk;
  disk.how_ = MadeDurable::kDirect;
  disk.file_ = TRY(disk.directory_->Open(options.name, OpenFor::kDirect));
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
  (void)directory_->Remove(options_.name);  // A bench's leftover harms nobody.
}

Status BareDisk::Prepare() {
  const std::uint64_t size = options_.size_bytes;
  if (options_.layout != DiskLayout::kGrowing) TRY(file_->Allocate(size));
  if (options_.layout == DiskLayout::kZeroFilled) {
    // Written once, as the WAL's files are: a first write into a block costs a journal commit.
    const std::vector<std::byte> zeros(std::min(kZeroChunkBytes, size));
    for (std::uint64_t at = 0; at < size; at += zeros.size()) {
      TRY(file_->Write(at, Bytes(zeros).first(std::min(zeros.size(), size - at))));
    }
  }
  return file_->SyncAll();
}

/// At the end of the file: what was zero-filled is written over, the others begin anew.
Status BareDisk::Renew() {
  at_ = 0;
  if (options_.layout == DiskLayout::kZeroFilled) return {};
  TRY(Drain());
  const std::int64_t begin_ns = clock_.NowNs();
  TRY(file_->Truncate(0));
  TRY(Prepare());
  renewal_ns_ += clock_.NowNs() - begin_ns;
  return {};
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
  if (at_ + size > options_.size_bytes) TRY(Renew());
  const WriteRequest request{
      .file = file_.get(), .offset = at_, .bytes = {buffer_.get(), size}, .how = how_};
  at_ += size;
  bytes_ += size;
  ++syncs_;
  if (queue_ == nullptr) return Settle(RunWrite(request, clock_));
  queue_->Submit(request);
  ++in_flight_;
  return AwaitBelow(std::min<std::uint64_t>(options_.depth, limit_));
}

Status BareDisk::Drain() { return AwaitBelow(1); }

Status BareDisk::AwaitBelow(std::uint64_t in_flight) {
  while (in_flight_ >= in_flight) {
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
  counts_->Add(done.synced_ns - done.begun_ns);
  return {};
}

}  // namespace duramen::tools
