#include "log/sync_choice.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/aligned.h"
#include "base/try.h"
#include "base/write_queue.h"

namespace duramen::log {
namespace {

constexpr char kProbeName[] = "METHOD.probe";
constexpr std::uint64_t kProbeBytes = 1 << 20;
constexpr std::uint64_t kLargeBytes = 128 << 10;
constexpr int kRounds = 24;
constexpr std::int64_t kPatienceNs = 300'000'000;  // a slow device is known after few rounds

struct Samples {
  std::vector<std::int64_t> small_ns;
  std::vector<std::int64_t> large_ns;
  std::uint64_t Cost() { return static_cast<std::uint64_t>(Median(small_ns) + Median(large_ns)); }
  static std::int64_t Median(std::vector<std::int64_t>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }
};

Status Sample(const WriteRequest& request, const Clock& clock, std::vector<std::int64_t>& into) {
  const WriteDone done = RunWrite(request, clock);
  if (!done.status.ok()) return done.status;
  into.push_back(done.synced_ns - done.begun_ns);
  return {};
}

/// A small and a large write by each method in turn, so that a device that is slow for a while is
/// slow for both.
Status MeasureOn(File& file, File& direct, const Clock& clock, MethodFile& method) {
  const AlignedBytes bytes = MakeAligned(kLargeBytes);
  std::memset(bytes.get(), 0x5a, kLargeBytes);
  const Bytes large(bytes.get(), kLargeBytes);
  const Bytes small = large.first(kDirectAlign);
  Samples datasync;
  Samples dsync;
  const std::int64_t begin_ns = clock.NowNs();
  for (int round = 0; round < kRounds; ++round) {
    const std::int64_t spent_ns = clock.NowNs() - begin_ns;
    if (round > 1 && spent_ns > kPatienceNs) break;
    if (round > 0 && spent_ns == 0) break;  // A clock that stands still tells nothing.
    WriteRequest request{.file = &file, .bytes = small, .how = MadeDurable::kData};
    TRY(Sample(request, clock, datasync.small_ns));
    request.bytes = large;
    TRY(Sample(request, clock, datasync.large_ns));
    // Another half of the file: nothing that is in the page cache.
    request = {.file = &direct, .offset = kProbeBytes / 2, .bytes = small};
    request.how = MadeDurable::kDirect;
    TRY(Sample(request, clock, dsync.small_ns));
    request.bytes = large;
    TRY(Sample(request, clock, dsync.large_ns));
  }
  method.datasync_ns = datasync.Cost();
  method.dsync_ns = dsync.Cost();
  return {};
}

Result<MethodFile> Measure(const MethodPlace& place) {
  MethodFile method{.system = place.system};
  TRY(RemoveIfThere(place.wal_dir, kProbeName));  // Of a start that was killed.
  const std::unique_ptr<File> file = TRY(place.wal_dir.Create(kProbeName));
  TRY(file->Allocate(kProbeBytes));
  TRY(file->Write(0, std::vector<std::byte>(kProbeBytes)));
  TRY(file->SyncAll());
  const Result<std::unique_ptr<File>> direct = place.wal_dir.Open(kProbeName, OpenFor::kDirect);
  if (!direct.ok() && direct.error().code != ErrorCode::kUnsupported) return direct.error();
  if (direct.ok()) {
    TRY(MeasureOn(*file, **direct, place.clock, method));
    // A tenth is not worth leaving the page cache for.
    if (method.dsync_ns < method.datasync_ns / 10 * 9) method.method = SyncMethod::kDsync;
  }
  TRY(place.wal_dir.Remove(kProbeName));
  return method;
}

}  // namespace

Result<MethodFile> ChooseMethod(const MethodPlace& place, const Log& log) {
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(place.wal_dir, kMethodName);
  if (bytes.ok()) {
    const Result<Copies<MethodFile>> stored = DecodeMethodFile(*bytes);
    if (stored.ok() && stored->content.system == place.system) return stored->content;
    if (!stored.ok() && stored.error().code == ErrorCode::kUnknownVersion) return stored.error();
  } else if (bytes.error().code != ErrorCode::kNotFound) {
    return bytes.error();
  }
  const MethodFile method = TRY(Measure(place));
  TRY(ReplaceFile(place.wal_dir, kMethodName, EncodeMethodFile(method)));
  const bool direct = method.method == SyncMethod::kDsync;
  log.Write(LogLevel::kInfo, "wal.method", "measured what wal_sync_method auto stands for here",
            {{"method", direct ? "dsync" : "datasync"},
             {"datasync_ns", std::to_string(method.datasync_ns)},
             {"dsync_ns", std::to_string(method.dsync_ns)}});
  return method;
}

}  // namespace duramen::log
