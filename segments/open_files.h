// Segment files that are open for reading, at most so many at a time, for all servers of a system.
//
// A file is opened when it is first asked for and closed when others were asked for more recently;
// who holds it keeps it open a little longer. Each carries its run table, read when first needed
// and gone on with when the file has grown, and the offset tables of the runs last asked for.
// Thread-safe. Outlived by the directory.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/io.h"
#include "segments/run_walk.h"
#include "segments/segment_list.h"

namespace duramen::segments {

inline constexpr std::size_t kDescriptorsMax = 512;

class SegmentFile {
 public:
  SegmentFile(std::unique_ptr<File> file, std::string path, const ServerIdentity& identity,
              const FileContext& context);
  const File& file() const { return *file_; }
  /// For messages.
  const std::string& path() const { return path_; }
  const ServerIdentity& identity() const { return identity_; }
  std::uint64_t life() const { return context_.life; }
  /// Walked at least up to `bytes`; may know runs behind them. Errors: kUnknownVersion, kIo.
  Result<std::shared_ptr<const RunTable>> Runs(std::uint64_t bytes);
  using Offsets = std::vector<TableEntry>;
  /// Of one run of Runs(). `bytes`: of the file that count.
  Result<std::shared_ptr<const Offsets>> OffsetsOf(const RunPlace& run, std::uint64_t bytes);

 private:
  const std::unique_ptr<File> file_;
  const std::string path_;
  const ServerIdentity identity_;
  const FileContext context_;
  std::mutex mutex_;
  std::shared_ptr<const RunTable> runs_;                             // under mutex_
  std::map<std::uint64_t, std::shared_ptr<const Offsets>> offsets_;  // under mutex_
  std::size_t offsets_entries_ = 0;                                  // under mutex_
};

class OpenFiles {
 public:
  /// `servers` holds a directory per server, named by its uid.
  explicit OpenFiles(const Directory& servers, std::size_t descriptors_max = kDescriptorsMax);
  /// Errors: kNotFound (the file is gone), kCorruption (another life), kUnknownVersion, kIo also
  /// when there are no descriptors after all idle files were closed.
  Result<std::shared_ptr<SegmentFile>> Get(const ServerIdentity& identity,
                                           const SegmentSummary& segment);
  /// Before a file is removed.
  void Drop(const ServerUid& uid, std::uint64_t number);
  /// Before a server's directory is removed.
  void DropServer(const ServerUid& uid);
  std::size_t open_count() const;

 private:
  struct Key {
    ServerUid uid;
    std::uint64_t number = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Cached {
    Key key;
    std::shared_ptr<SegmentFile> file;
  };
  using Order = std::list<Cached>;
  std::shared_ptr<SegmentFile> FindCached(const Key& key, std::uint64_t life);
  Result<std::shared_ptr<SegmentFile>> OpenOne(const ServerIdentity& identity,
                                               const SegmentSummary& segment) const;
  void CloseIdle();

  const Directory& servers_;
  const std::size_t descriptors_max_;
  mutable std::mutex mutex_;
  Order order_;  // most recently used first
  std::unordered_map<Key, Order::iterator, KeyHash> by_key_;
};

}  // namespace duramen::segments
