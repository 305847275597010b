// The overlay against the disk that it stands for: the same operations show the same, and the base
// keeps every byte.
#include "log/overlay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/posix_io.h"
#include "base/rng.h"
#include "tests/base/temp_dir.h"
#include "tests/log/disk_tree.h"
#include "sim/sim_file_system.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = OverlayChange::Kind;

std::string ReadAll(const File& file) {
  std::string text(file.SizeBytes().value(), '\0');
  EXPECT_EQ(file.Read(0, std::as_writable_bytes(std::span(text))).value(), text.size());
  return text;
}

/// Simulated disks that begin with the same files.
class Overlay : public ::testing::Test {
 protected:
  Overlay() {
    for (sim::SimFileSystem* disk : {&base_, &model_}) {
      EXPECT_TRUE(disk->CreateDirectories("/data/d0/d1").ok());
      EXPECT_TRUE(disk->CreateDirectories("/wal2").ok());
      EXPECT_TRUE(disk->CreateDirectories("/staging").ok());
      const auto data = disk->Open("/data").value();
      EXPECT_TRUE(WriteFile(*data, "f0", "zero").ok());
      EXPECT_TRUE(WriteFile(*data, "f1", std::string(600'000, 'x') + "end").ok());
      EXPECT_TRUE(WriteFile(*data->OpenDirectory("d0").value(), "f2", "two").ok());
      EXPECT_TRUE(WriteFile(*disk->Open("/wal2").value(), "f3", "three").ok());
    }
    staging_ = base_.Open("/staging").value();
    before_ = TreeOf(base_.disk().visible(), "/data");
    overlay_ = std::make_unique<OverlayFileSystem>(
        base_, std::vector<std::string>{"/data", "/wal2"}, *staging_);
  }

  void ExpectBaseUntouched() {
    EXPECT_THAT(Differences(before_, TreeOf(base_.disk().visible(), "/data")), IsEmpty());
    EXPECT_EQ(TreeOf(base_.disk().visible(), "/wal2").at("f3"), "three");
  }
  std::vector<std::string> ChangeLines() {
    std::vector<std::string> lines;
    const std::vector<OverlayChange> changes = overlay_->Changes().value();
    for (const OverlayChange& change : changes) {
      const char* sign = change.kind == Kind::kAdded     ? "+"
                         : change.kind == Kind::kRemoved ? "-"
                                                         : "*";
      EXPECT_EQ(change.staged.empty(), change.is_directory || change.kind == Kind::kRemoved);
      lines.push_back(std::to_string(change.root) + sign + change.path +
                      (change.is_directory ? "/" : ""));
    }
    return lines;
  }

  sim::SiteTable sites_;
  sim::SimFileSystem base_{sim::DiskState(), sites_};
  sim::SimFileSystem model_{sim::DiskState(), sites_};
  std::unique_ptr<Directory> staging_;
  Tree before_;
  std::unique_ptr<OverlayFileSystem> overlay_;
};

/// One random operation, asked of both.
class Pair {
 public:
  Pair(FileSystem& model, FileSystem& overlay, Rng& rng)
      : model_(model), overlay_(overlay), rng_(rng) {}

  void Step() {
    const std::string path = std::array{"/data", "/data/d0", "/data/d0/d1", "/wal2"}[Below(4)];
    const auto a = model_.Open(path);
    const auto b = overlay_.Open(path);
    ASSERT_EQ(a.ok(), b.ok()) << path;
    if (!a.ok()) return;
    In(**a, **b);
  }

 private:
  struct Handles {
    std::unique_ptr<File> a;
    std::unique_ptr<File> b;
  };
  std::uint64_t Below(std::uint64_t bound) { return rng_.Below(bound); }
  std::string File() { return "f" + std::to_string(Below(5)); }
  std::string Folder() { return "d" + std::to_string(Below(3)); }

  void In(Directory& a, Directory& b) {
    const std::string name = File();
    switch (Below(9)) {
      case 0:
        return Keep(a.Create(name), b.Create(name));
      case 1:
      case 2: {
        const OpenFor mode = Below(4) == 0 ? OpenFor::kRead : OpenFor::kReadWrite;
        return Keep(a.Open(name, mode), b.Open(name, mode));
      }
      case 3: {
        const std::string to = File();
        return Same(a.Rename(name, to), b.Rename(name, to));
      }
      case 4:
        return Same(a.Remove(name), b.Remove(name));
      case 5: {
        const std::string folder = Folder();
        return Same(a.CreateDirectory(folder), b.CreateDirectory(folder));
      }
      case 6: {
        const std::string folder = Folder();
        return Same(a.RemoveDirectory(folder), b.RemoveDirectory(folder));
      }
      default:
        return InFile();
    }
  }

  void InFile() {
    if (open_.empty()) return;
    const std::size_t at = Below(open_.size());
    Handles& file = open_[at];
    const std::uint64_t offset = Below(4) == 0 ? Below(700'000) : Below(50);
    const std::string text(Below(2000), static_cast<char>('a' + Below(26)));
    switch (Below(5)) {
      case 0:
        Same(file.a->Truncate(offset), file.b->Truncate(offset));
        break;
      case 1: {
        const std::uint64_t size = file.a->SizeBytes().value() + offset;
        Same(file.a->Allocate(size), file.b->Allocate(size));
        break;
      }
      case 2:
        open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(at));
        return;
      default:
        Same(file.a->Write(offset, AsBytes(text)), file.b->Write(offset, AsBytes(text)));
    }
    ASSERT_EQ(ReadAll(*file.a), ReadAll(*file.b));
  }

  template <typename T>
  void Same(const Result<T>& a, const Result<T>& b) {
    ASSERT_EQ(a.ok(), b.ok()) << (a.ok() ? b : a).error().message;
    if (!a.ok()) {
      ASSERT_EQ(a.error().code, b.error().code) << b.error().message;
    }
  }
  void Keep(Result<std::unique_ptr<duramen::File>> a, Result<std::unique_ptr<duramen::File>> b) {
    Same(a, b);
    if (a.ok() && b.ok()) open_.push_back({std::move(a).value(), std::move(b).value()});
  }

  FileSystem& model_;
  FileSystem& overlay_;
  Rng& rng_;
  std::vector<Handles> open_;
};

TEST_F(Overlay, T2_ShowsWhatADiskWouldShowAndLeavesTheBaseAlone) {
  Rng rng(5);
  const Tree start = TreeOf(model_.disk().visible(), "/");
  for (int round = 0; round < 30; ++round) {
    Pair pair(model_, *overlay_, rng);
    for (int step = 0; step < 60 && !HasFailure(); ++step) pair.Step();
    for (const char* path : {"/data", "/wal2"}) {
      ASSERT_THAT(Differences(TreeOf(model_.disk().visible(), path), TreeOf(*overlay_, path)),
                  IsEmpty());
    }
  }
  ExpectBaseUntouched();
  // The changes make of the old tree the new one.
  Tree after = start;
  const Tree now = TreeOf(model_.disk().visible(), "/");
  const Tree staged = TreeOf(base_.disk().visible(), "/staging");
  std::size_t files = 0;
  const std::vector<OverlayChange> changes = overlay_->Changes().value();
  for (const OverlayChange& change : changes) {
    const std::string path =
        (change.root == 0 ? "data/" : "wal2/") + change.path + (change.is_directory ? "/" : "");
    if (change.kind == Kind::kRemoved) {
      ASSERT_EQ(after.erase(path), 1u);
      continue;
    }
    EXPECT_EQ(after.contains(path), change.kind == Kind::kReplaced);
    const std::string bytes = change.is_directory ? "" : staged.at(change.staged);
    EXPECT_TRUE(change.kind == Kind::kAdded || after.at(path) != bytes);
    after[path] = bytes;
    files += change.is_directory ? 0 : 1;
  }
  EXPECT_THAT(Differences(after, now), IsEmpty());
  EXPECT_GT(files, 2u);
}

TEST_F(Overlay, T2_AFileThatEndsAsItWasIsNoChange) {
  const auto data = overlay_->Open("/data").value();
  const auto file = data->Open("f0", OpenFor::kReadWrite).value();
  ASSERT_TRUE(file->Write(0, AsBytes("ZERO")).ok());
  EXPECT_THAT(ChangeLines(), ElementsAre("0*f0"));
  ASSERT_TRUE(file->Write(0, AsBytes("zero")).ok());
  EXPECT_THAT(ChangeLines(), IsEmpty());
  ASSERT_TRUE(data->Rename("f0", "f9").ok());
  EXPECT_THAT(ChangeLines(), ElementsAre("0-f0", "0+f9"));
  ASSERT_TRUE(data->Rename("f9", "f0").ok());
  EXPECT_THAT(ChangeLines(), IsEmpty());
  ASSERT_TRUE(data->CreateDirectory("new").ok());
  ASSERT_TRUE(data->RemoveDirectory("new").ok());
  EXPECT_THAT(ChangeLines(), IsEmpty());
  ExpectBaseUntouched();
}

TEST_F(Overlay, T2_WholeDirectoriesMoveAndGo) {
  const auto data = overlay_->Open("/data").value();
  ASSERT_TRUE(data->Rename("d0", "d5").ok());
  EXPECT_THAT(ChangeLines(),
              ElementsAre("0-d0/", "0-d0/d1/", "0-d0/f2", "0+d5/", "0+d5/d1/", "0+d5/f2"));
  EXPECT_EQ(data->RemoveDirectory("d5").error().code, ErrorCode::kIo);
  // A file where a directory was.
  const auto d5 = data->OpenDirectory("d5").value();
  ASSERT_TRUE(d5->Remove("f2").ok());
  ASSERT_TRUE(d5->RemoveDirectory("d1").ok());
  ASSERT_TRUE(data->RemoveDirectory("d5").ok());
  EXPECT_EQ(d5->Create("late").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(WriteFile(*data, "d0", "now a file").ok());
  EXPECT_THAT(ChangeLines(), ElementsAre("0-d0/", "0+d0", "0-d0/d1/", "0-d0/f2"));
  ExpectBaseUntouched();
}

TEST_F(Overlay, T2_OpenFilesSurviveTheirNamesAndGiveTheirSpaceBack) {
  const auto wal = overlay_->Open("/wal2").value();
  {
    const auto reader = wal->Open("f3", OpenFor::kRead).value();
    const auto writer = wal->Open("f3", OpenFor::kReadWrite).value();
    ASSERT_TRUE(writer->Write(5, AsBytes("!")).ok());
    EXPECT_EQ(ReadAll(*reader), "three!") << "a file opened before it was copied";
    EXPECT_EQ(reader->Write(0, AsBytes("x")).error().code, ErrorCode::kPermission);
    ASSERT_TRUE(wal->Remove("f3").ok());
    ASSERT_TRUE(WriteFile(*wal, "f3", "other").ok());
    EXPECT_EQ(ReadAll(*reader), "three!");
    EXPECT_EQ(staging_->List().value().size(), 2u);
  }
  EXPECT_EQ(staging_->List().value().size(), 1u);
  ASSERT_TRUE(wal->Remove("f3").ok());
  EXPECT_EQ(staging_->List().value().size(), 0u);
  ExpectBaseUntouched();
}

TEST_F(Overlay, T2_RefusesWhatIsOutsideAndTakesNoLock) {
  EXPECT_EQ(overlay_->Open("/staging").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(overlay_->Open("/data2").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(overlay_->CreateDirectories("/elsewhere/x").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(overlay_->Open("/data/none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(overlay_->Open("/data/f0").error().code, ErrorCode::kInvalidArgument);
  const auto data = overlay_->Open("/data").value();
  for (const char* name : {"", ".", "..", "a/b"}) {
    EXPECT_EQ(data->Create(name).error().code, ErrorCode::kInvalidArgument) << name;
  }
  const auto held = base_.Open("/data").value()->Lock("f0").value();
  EXPECT_TRUE(data->Lock("f0").ok());
  EXPECT_TRUE(overlay_->CreateDirectories("/data/a/b").ok());
  EXPECT_THAT(ChangeLines(), ElementsAre("0+a/", "0+a/b/"));
}

TEST_F(Overlay, T2_TakesNoSpaceBeforeItIsWritten) {
  const std::size_t before = base_.trace().size();
  const auto data = overlay_->Open("/data").value();
  const auto file = data->Create("large").value();
  ASSERT_TRUE(file->Allocate(10 << 20).ok());
  ASSERT_TRUE(file->Write((10 << 20) - 1, AsBytes("x")).ok());
  std::uint64_t written = 0;
  for (std::size_t at = before; at < base_.trace().size(); ++at) {
    EXPECT_NE(base_.trace()[at].kind, sim::OpKind::kAllocate);
    if (base_.trace()[at].bytes != nullptr) written += base_.trace()[at].bytes->size();
  }
  EXPECT_EQ(written, 1u);
  EXPECT_EQ(file->SizeBytes().value(), 10u << 20);
}

TEST_F(Overlay, B3_AFullDiskUnderTheStagingIsToldAndChangesNothing) {
  base_.Schedule({.kind = sim::OpKind::kWrite,
                  .file_class = "staging",
                  .times = UINT64_MAX,
                  .effect = sim::FaultEffect::kDiskFull});
  const auto data = overlay_->Open("/data").value();
  const auto file = data->Open("f1", OpenFor::kReadWrite).value();
  EXPECT_EQ(file->Write(0, AsBytes("y")).error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(ReadAll(*file), before_.at("f1"));
  EXPECT_EQ(staging_->List().value().size(), 0u);
  EXPECT_THAT(ChangeLines(), IsEmpty());
}

TEST_F(Overlay, T2_StagedBytesAreDurableAfterTheirSync) {
  const auto data = overlay_->Open("/data").value();
  ASSERT_TRUE(data->Open("f0", OpenFor::kReadWrite).value()->Write(1, AsBytes("**")).ok());
  ASSERT_TRUE(WriteFile(*data->OpenDirectory("d0").value(), "new", "bytes").ok());
  ASSERT_TRUE(base_.Open("/").value()->Sync().ok());
  ASSERT_TRUE(overlay_->SyncStaged().ok());
  const Tree durable = TreeOf(base_.disk().durable(), "/staging");
  EXPECT_EQ(durable.at("1"), "z**o");
  EXPECT_EQ(durable.at("2"), "bytes");
}

TEST(OverlayOnDisk, T2_ASymlinkIsListedAndLeftAlone) {
  const testing::TempDir temp;
  std::filesystem::create_directories(temp / "data");
  std::filesystem::create_directories(temp / "staging");
  std::ofstream(temp / "target") << "not ours";
  std::filesystem::create_symlink(temp / "target", temp / "data/link");
  PosixFileSystem posix;
  const auto staging = posix.Open(temp / "staging").value();
  OverlayFileSystem overlay(posix, {temp / "data"}, *staging);
  const auto data = overlay.Open(temp / "data").value();
  const std::vector<DirectoryEntry> entries = data->List().value();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].name, "link");
  EXPECT_FALSE(entries[0].is_regular);
  EXPECT_EQ(data->Open("link", OpenFor::kReadWrite).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(data->Remove("link").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(data->Rename("link", "x").error().code, ErrorCode::kUnsupported);
  ASSERT_TRUE(WriteFile(*data, "x", "mine").ok());
  EXPECT_EQ(data->Rename("x", "link").error().code, ErrorCode::kUnsupported);
  ASSERT_EQ(overlay.Changes().value().size(), 1u);
  EXPECT_EQ(overlay.Changes().value()[0].path, "x");
}

}  // namespace
}  // namespace duramen::log
