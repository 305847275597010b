// A WAL as an offline verb sees it: what stands in its files, and the same tail verdict that the
// next start will give. Reads only; works on a data directory, a WAL directory or one copied file,
// and on a directory that a running store writes to.
//
// A running store recycles files and writes batches while they are read, so what looks like damage
// is read again until two readings agree.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/read_only.h"
#include "wal/scan.h"
#include "wal/verdict.h"

namespace duramen::tools {

/// No WAL file is longer; what lies behind is not looked at.
inline constexpr std::uint64_t kWalFileBytesMax = (16ULL << 30) + (64ULL << 20);

struct ImageFile {
  std::string name;
  std::unique_ptr<ReadOnlyFile> file;
  std::uint64_t size_bytes = 0;  // on disk, holes included
};

/// A file that is recycled gets another name, and its old one is never used again [A13].
bool LeftService(const ImageFile& file);

struct WalImage {
  std::string path;            // of the directory, or of the file
  std::string away_path = {};  // of the fail-over directory; empty: there is none, or none is known
  bool whole = false;          // a directory: a file that is missing in it is missing
  SystemUuid system;
  std::vector<ImageFile> files;
  std::vector<wal::FileSummary> summaries;  // one for each of `files`
  wal::TailVerdict verdict;
  std::uint64_t bytes_read = 0;
  std::optional<Error> unknown_version;
  /// Files in which something stands, but no header of any file of the WAL can be read.
  std::vector<std::size_t> headless;

  bool damaged() const;
  const wal::FileSummary& summary_of(const wal::JudgedBatch& batch) const {
    return summaries[batch.file];
  }
};

/// What the WAL is judged with. Read behind the WAL in each reading of it.
class BesideWal {
 public:
  virtual ~BesideWal() = default;
  /// Which system the WAL at `path` should be of; nil: nothing tells.
  virtual SystemUuid SystemOf(const std::string& path) const = 0;
  /// The last batch that checkpoints cover. `scanned` has no verdict yet.
  virtual Result<wal::FileEnd> Read(const WalImage& scanned) = 0;
  /// What is wrong there, as text: two readings that say the same are believed.
  virtual std::string Symptoms() const = 0;
};

/// Without `beside` nothing is covered; where `progress` is stopped the image is worth nothing;
/// both may be null, and outlive the image. `wal_dir`: as of LocateWal. A fail-over directory that
/// SYSTEM lists is read with it. Errors: kNotFound, kPermission, kIo, kInvalidArgument (a symlink,
/// a device), kUnsupported (no WAL file, nor a directory that holds one), kUnknownVersion.
Result<WalImage> ReadWalImage(const std::string& path, BesideWal* beside = nullptr,
                              ReadProgress* progress = nullptr, const std::string& wal_dir = "");

/// The fail-over directory that SYSTEM in `path` lists; empty: none.
std::string LocateFailover(const std::string& path);

/// The directory of the WAL files that the directory `path` stands for: a wal_dir of its own is
/// found through SYSTEM; where that is lost, it is `wal_dir`, if that is not empty. Errors: as
/// ReadWalImage; kInvalidArgument when `path` is a file.
Result<std::string> LocateWal(const std::string& path, const std::string& wal_dir = "");

}  // namespace duramen::tools
