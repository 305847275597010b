#include "segments/open_files.h"

#include <utility>

#include "base/try.h"

namespace duramen::segments {
namespace {

constexpr std::size_t kOffsetsMax = 4096;  // kept per file: 64 KiB

}  // namespace

SegmentFile::SegmentFile(std::unique_ptr<File> file, std::string path,
                         const ServerIdentity& identity, const FileContext& context)
    : file_(std::move(file)),
      path_(std::move(path)),
      identity_(identity),
      context_(context),
      runs_(std::make_shared<const RunTable>(RunTable{.context = context})) {}

Result<std::shared_ptr<const RunTable>> SegmentFile::Runs(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (runs_->walked_bytes >= bytes) return runs_;
  RunTable longer = *runs_;  // Others read the old one.
  TRY(NameUnknown(WalkRuns(*file_, identity_, bytes, longer), path_));
  runs_ = std::make_shared<const RunTable>(std::move(longer));
  return runs_;
}

Result<std::shared_ptr<const SegmentFile::Offsets>> SegmentFile::OffsetsOf(const RunPlace& run,
                                                                           std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = offsets_.find(run.offset);
  if (found != offsets_.end()) return found->second;
  auto loaded = std::make_shared<const Offsets>(TRY(LoadTable(*file_, context_, run, bytes)));
  if (offsets_entries_ + loaded->size() > kOffsetsMax) {
    offsets_.clear();
    offsets_entries_ = 0;
  }
  offsets_entries_ += loaded->size();
  offsets_.emplace(run.offset, loaded);
  return loaded;
}

std::size_t OpenFiles::KeyHash::operator()(const Key& key) const noexcept {
  return Uid128Hash()(key.uid) ^ (key.number * 0x9E3779B97F4A7C15ULL);
}

OpenFiles::OpenFiles(const Directory& servers, std::size_t descriptors_max)
    : servers_(servers), descriptors_max_(descriptors_max) {}

std::shared_ptr<SegmentFile> OpenFiles::FindCached(const Key& key, std::uint64_t life) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  if (found->second->file->life() != life) {
    order_.erase(found->second);
    by_key_.erase(found);
    return nullptr;
  }
  order_.splice(order_.begin(), order_, found->second);
  return order_.front().file;
}

Result<std::shared_ptr<SegmentFile>> OpenFiles::Get(const ServerIdentity& identity,
                                                    const SegmentSummary& segment) {
  const Key key{identity.uid, segment.number};
  {
    const std::lock_guard lock(mutex_);
    if (auto cached = FindCached(key, segment.life)) return cached;
  }
  Result<std::shared_ptr<SegmentFile>> opened = OpenOne(identity, segment);
  if (!opened.ok() && opened.error().code == ErrorCode::kIo) {
    // Most likely no descriptors are left [G12]; an error does not say more than that.
    CloseIdle();
    opened = OpenOne(identity, segment);
  }
  if (!opened.ok()) return opened;
  const std::lock_guard lock(mutex_);
  if (auto cached = FindCached(key, segment.life)) return cached;  // Another thread was faster.
  order_.push_front({key, *opened});
  by_key_[key] = order_.begin();
  while (order_.size() > descriptors_max_ && order_.size() > 1) {
    by_key_.erase(order_.back().key);
    order_.pop_back();
  }
  return opened;
}

Result<std::shared_ptr<SegmentFile>> OpenFiles::OpenOne(const ServerIdentity& identity,
                                                        const SegmentSummary& segment) const {
  const std::string name = FileName(segment.number);
  std::unique_ptr<File> file;
  std::string path;
  {
    const std::unique_ptr<Directory> directory =
        TRY(servers_.OpenDirectory(identity.uid.ToString()));
    file = TRY(directory->Open(name, OpenFor::kRead));
    path = directory->path() + "/" + name;
  }
  const std::vector<std::byte> bytes = TRY(ReadUpTo(*file, 0, kFileHeaderBytes));
  const auto header = DecodeFileHeader(bytes, identity, segment.number);
  if (!header.ok() && header.error().code == ErrorCode::kUnknownVersion) {
    return Error{ErrorCode::kUnknownVersion, path + ": " + header.error().message,
                 header.error().hint};
  }
  if (header.ok() && header->life != segment.life) {
    return Error{ErrorCode::kCorruption, path + " is not the segment that was written there",
                 "run `duramen verify` on the directory"};
  }
  // A header that is lost costs no more than that check: each run has the same.
  return std::make_shared<SegmentFile>(std::move(file), std::move(path), identity,
                                       FileContext::Of(identity, segment.number, segment.life));
}

void OpenFiles::CloseIdle() {
  const std::lock_guard lock(mutex_);
  for (auto one = order_.begin(); one != order_.end();) {
    if (one->file.use_count() > 1) {
      ++one;
      continue;
    }
    by_key_.erase(one->key);
    one = order_.erase(one);
  }
}

void OpenFiles::Drop(const ServerUid& uid, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(Key{uid, number});
  if (found == by_key_.end()) return;
  order_.erase(found->second);
  by_key_.erase(found);
}

void OpenFiles::DropServer(const ServerUid& uid) {
  const std::lock_guard lock(mutex_);
  for (auto one = order_.begin(); one != order_.end();) {
    if (one->key.uid == uid) {
      by_key_.erase(one->key);
      one = order_.erase(one);
    } else {
      ++one;
    }
  }
}

std::size_t OpenFiles::open_count() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

}  // namespace duramen::segments
