#include "tools/demo_repair.h"

#include <filesystem>
#include <map>
#include <system_error>
#include <vector>

#include "base/checksum.h"
#include "base/posix_io.h"
#include "base/rng.h"
#include "base/try.h"
#include "tools/read_only.h"
#include "tools/repair.h"
#include "tools/store_image.h"
#include "tools/verify.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kPieceBytes = 1u << 20;

/// Files by name below `dir`, with a checksum of what is in them. What repairs keep is left out.
Result<std::map<std::string, std::uint64_t>> ContentsOf(const std::string& dir) {
  std::map<std::string, std::uint64_t> all;
  std::vector<std::byte> piece(kPieceBytes);
  std::error_code failed;
  for (auto at = std::filesystem::recursive_directory_iterator(dir, failed);
       !failed && at != std::filesystem::recursive_directory_iterator(); at.increment(failed)) {
    const std::string name = at->path().string().substr(dir.size());
    if (name.starts_with("/quarantine") || name == "/LOCK" || !at->is_regular_file()) continue;
    const std::unique_ptr<ReadOnlyFile> file = TRY(ReadOnlyFile::Open(at->path().string()));
    std::uint64_t checksum = file->size();
    for (std::uint64_t offset = 0; offset < file->size(); offset += piece.size()) {
      const std::size_t bytes = TRY(file->Read(offset, piece));
      checksum = Checksum(std::span(piece).first(bytes), checksum);
    }
    all[name] = checksum;
  }
  if (failed) return Error{ErrorCode::kIo, dir + ": " + failed.message(), ""};
  return all;
}

struct Place {
  std::string file;  // below the data directory
  std::uint64_t offset = 0;
};

/// A byte that counts: of a segment where there is one, else of a batch that was durable.
Result<Place> PlaceToDamage(const std::string& dir, Rng& rng) {
  const StoreImage image = TRY(ReadStoreImage(dir));
  std::vector<Place> places;
  if (image.state != nullptr) {
    for (const auto& [uid, server] : image.state->servers) {
      for (const segments::SegmentSummary& segment : server.list.segments()) {
        const std::uint64_t begin = segments::kFileHeaderBytes + segments::kRunHeaderBytes;
        if (segment.live.empty() || segment.bytes <= begin) continue;
        places.push_back({std::string(log::kServersName) + "/" + uid.ToString() + "/" +
                              segments::FileName(segment.number),
                          begin + rng.Below(segment.bytes - begin)});
      }
    }
  }
  for (const wal::JudgedBatch& batch : image.wal.verdict.batches) {
    if (!places.empty() || batch.number > image.wal.verdict.proven) break;
    places.push_back({"wal/" + image.wal.files[batch.file].name, batch.offset + 128});
  }
  if (places.empty()) return Error{ErrorCode::kNotFound, dir + " holds nothing to damage", ""};
  return places[rng.Below(places.size())];
}

Status FlipBit(const std::string& dir, const Place& place) {
  PosixFileSystem file_system;
  const std::size_t slash = place.file.rfind('/');
  const auto directory = TRY(file_system.Open(dir + "/" + place.file.substr(0, slash)));
  const auto file = TRY(directory->Open(place.file.substr(slash + 1), OpenFor::kReadWrite));
  std::byte byte{};
  TRY(file->Read(place.offset, std::span(&byte, 1)));
  byte ^= std::byte{0x10};
  return file->Write(place.offset, std::span(&byte, 1));
}

ExitCode Verify(const std::string& dir) {
  Terminal silent{Terminal::Captured{}};
  return RunVerify({.path = dir, .output = {.format = Format::kJsonl}}, silent);
}

/// The id that undoes it; empty: it failed.
std::string Repair(const std::string& dir, const std::string& undo) {
  Terminal silent{Terminal::Captured{}};
  RepairVerbOptions options{.path = dir, .apply = undo.empty()};
  if (!undo.empty()) options.undo = undo;
  if (RunRepair(options, silent) != ExitCode::kClean) return "";
  if (!undo.empty()) return undo;
  const std::string key = "undo: ";
  const std::string& out = silent.captured_out();
  const std::size_t at = out.rfind(key);
  return at == std::string::npos ? ""
                                 : out.substr(at + key.size(), out.size() - at - key.size() - 1);
}

}  // namespace

Result<DemoRepair> ShowRepair(const std::string& data_dir, const std::string& copy_dir,
                              std::uint64_t seed) {
  Rng rng(seed);
  if (Verify(data_dir) != ExitCode::kClean) {
    return DemoRepair{false, "verify finds something in the store that was loaded"};
  }
  std::error_code failed;
  std::filesystem::copy(data_dir, copy_dir, std::filesystem::copy_options::recursive, failed);
  if (failed) return Error{ErrorCode::kIo, copy_dir + ": " + failed.message(), ""};
  const Place place = TRY(PlaceToDamage(copy_dir, rng));
  TRY(FlipBit(copy_dir, place));
  const std::string where = "in a copy a bit of " + place.file + " at offset " +
                            std::to_string(place.offset) + " was flipped: ";
  const std::map<std::string, std::uint64_t> damaged = TRY(ContentsOf(copy_dir));
  if (Verify(copy_dir) != ExitCode::kDamage) return DemoRepair{false, where + "not found"};
  const std::string id = Repair(copy_dir, "");
  if (id.empty()) return DemoRepair{false, where + "found, not repaired"};
  if (Verify(copy_dir) != ExitCode::kClean) {
    return DemoRepair{false, where + "found, repaired, and still not clean"};
  }
  if (Repair(copy_dir, id).empty() || TRY(ContentsOf(copy_dir)) != damaged) {
    return DemoRepair{false, where + "found and repaired, but not undone to the byte"};
  }
  return DemoRepair{true, where + "found, repaired, verified, and undone to the byte"};
}

}  // namespace duramen::tools
