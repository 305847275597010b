// The simulated file system keeps the contract of base/io.h and its own fault model.
#include "sim/sim_file_system.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "sim/crash_states.h"

namespace duramen::sim {
namespace {

std::string Text(const File& file) {
  std::string text(file.SizeBytes().value(), '?');
  const std::size_t read = file.Read(0, std::as_writable_bytes(std::span(text))).value();
  text.resize(read);
  return text;
}

Image PowerLoss(const SimFileSystem& machine) { return machine.disk().durable(); }

class SimFileSystemTest : public testing::Test {
 protected:
  SimFileSystemTest() {
    EXPECT_TRUE(machine_.CreateDirectories("/d").ok());
    directory_ = machine_.Open("/d").value();
  }
  std::unique_ptr<File> DurableFile(std::string_view name, std::string_view text) {
    std::unique_ptr<File> file = directory_->Create(name).value();
    EXPECT_TRUE(file->Write(0, AsBytes(text)).ok());
    EXPECT_TRUE(file->SyncAll().ok());
    EXPECT_TRUE(directory_->Sync().ok());
    return file;
  }
  std::string After(const Image& image, std::string_view name) {
    SimFileSystem later(DiskState(image), sites_);
    auto directory = later.Open("/d");
    if (!directory.ok()) return "(no directory)";
    auto file = (*directory)->Open(name, OpenFor::kRead);
    return file.ok() ? Text(**file) : std::string("(no file)");
  }
  SiteTable sites_;
  SimFileSystem machine_{DiskState(), sites_};
  std::unique_ptr<Directory> directory_;
};

TEST_F(SimFileSystemTest, KeepsTheContractOfThePort) {
  auto file = DurableFile("a", "hello");
  EXPECT_EQ(Text(*file), "hello");
  EXPECT_EQ(directory_->Create("a").error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(directory_->Open("b", OpenFor::kRead).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(file->Write(4096 * 2 + 1, AsBytes("x")).ok());
  EXPECT_EQ(file->SizeBytes().value(), 4096u * 2 + 2);
  EXPECT_EQ(Text(*file)[4096], '\0');
  EXPECT_TRUE(file->Truncate(3).ok());
  EXPECT_TRUE(file->Allocate(5).ok());
  EXPECT_EQ(Text(*file), std::string("hel\0\0", 5));
  EXPECT_EQ(directory_->Open("a", OpenFor::kRead).value()->Write(0, AsBytes("z")).error().code,
            ErrorCode::kPermission);
  EXPECT_TRUE(directory_->CreateDirectory("sub").ok());
  EXPECT_EQ(directory_->Open("sub", OpenFor::kRead).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(directory_->Rename("a", "c").ok());
  const auto entries = directory_->List().value();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "c");
  EXPECT_TRUE(entries[0].is_regular);
  EXPECT_TRUE(entries[1].is_directory);
  EXPECT_TRUE(directory_->RemoveDirectory("sub").ok());
  EXPECT_TRUE(directory_->Remove("c").ok());
  EXPECT_EQ(Text(*file), std::string("hel\0\0", 5));  // an open file outlives its name
}

TEST_F(SimFileSystemTest, AllowsOneHolderOfALock) {
  auto lock = directory_->Lock("LOCK").value();
  EXPECT_EQ(directory_->Lock("LOCK").error().code, ErrorCode::kInUse);
  lock.reset();
  EXPECT_TRUE(directory_->Lock("LOCK").ok());
}

TEST_F(SimFileSystemTest, LosesWhatWasNotSynced) {
  auto file = DurableFile("a", "old");
  ASSERT_TRUE(file->Write(0, AsBytes("new")).ok());
  EXPECT_EQ(After(PowerLoss(machine_), "a"), "old");
  ASSERT_TRUE(file->SyncData().ok());
  EXPECT_EQ(After(PowerLoss(machine_), "a"), "new");
  ASSERT_TRUE(directory_->Rename("a", "b").ok());
  EXPECT_EQ(After(PowerLoss(machine_), "a"), "new");
  EXPECT_EQ(After(PowerLoss(machine_), "b"), "(no file)");
  ASSERT_TRUE(directory_->Sync().ok());
  EXPECT_EQ(After(PowerLoss(machine_), "b"), "new");
}

TEST_F(SimFileSystemTest, ProcessKillKeepsThePageCache) {
  auto file = DurableFile("a", "old");
  ASSERT_TRUE(file->Write(0, AsBytes("new")).ok());
  SimFileSystem later(machine_.disk(), sites_);
  auto again = later.Open("/d").value()->Open("a", OpenFor::kReadWrite).value();
  EXPECT_EQ(Text(*again), "new");
  EXPECT_EQ(After(PowerLoss(later), "a"), "old");
}

TEST_F(SimFileSystemTest, ASyncOfTheFileSystemCoversNamesAndBytes) {
  auto file = directory_->Create("a").value();
  ASSERT_TRUE(file->Write(0, AsBytes("hello")).ok());
  ASSERT_TRUE(directory_->SyncFileSystem().ok());
  EXPECT_TRUE(machine_.disk().pending().empty());
}

TEST_F(SimFileSystemTest, B8_AFailedSyncOfTheFileSystemMarksEveryFileBelowClean) {
  auto file = directory_->Create("a").value();
  ASSERT_TRUE(file->Write(0, AsBytes("hello")).ok());
  machine_.Schedule({.kind = OpKind::kSyncFileSystem, .file_class = ""});
  EXPECT_EQ(directory_->SyncFileSystem().error().code, ErrorCode::kIo);
  ASSERT_TRUE(directory_->SyncFileSystem().ok());  // says success, writes nothing of it
  ASSERT_EQ(machine_.disk().pending().size(), 1u);
  EXPECT_TRUE(machine_.disk().pending().front().clean);
}

TEST_F(SimFileSystemTest, W24_AFailedSyncMarksPagesCleanForEver) {
  auto file = DurableFile("a", "old");
  machine_.Schedule({.kind = OpKind::kSyncData, .file_class = "d/a"});
  ASSERT_TRUE(file->Write(0, AsBytes("new")).ok());
  EXPECT_EQ(file->SyncData().error().code, ErrorCode::kIo);
  EXPECT_EQ(Text(*file), "new");
  EXPECT_TRUE(file->SyncData().ok());  // says success, writes nothing
  EXPECT_EQ(After(PowerLoss(machine_), "a"), "old");
  const CrashStates states(machine_.disk(), Profile::kExt4);
  EXPECT_EQ(After(states.Materialize(states.At(1)), "a"), "new");  // or by luck it was written
  ASSERT_TRUE(file->Write(0, AsBytes("two")).ok());
  ASSERT_TRUE(file->SyncData().ok());
  const CrashStates after(machine_.disk(), Profile::kExt4);
  for (std::uint64_t i = 0; i < after.count(); ++i) {
    EXPECT_EQ(After(after.Materialize(after.At(i)), "a"), "two");
  }
}

TEST_F(SimFileSystemTest, FaultsFireWhereTheyAreScheduled) {
  auto file = DurableFile("wal-1", "0123");
  machine_.Schedule({.kind = OpKind::kWrite,
                     .file_class = "d/wal",
                     .skip = 1,
                     .effect = FaultEffect::kShortWrite,
                     .short_bytes = 2});
  EXPECT_TRUE(file->Write(0, AsBytes("abcd")).ok());
  EXPECT_EQ(file->Write(0, AsBytes("ABCD")).error().code, ErrorCode::kIo);
  EXPECT_EQ(Text(*file), "ABcd");
  machine_.Schedule({.kind = OpKind::kAllocate,
                     .file_class = "",
                     .times = UINT64_MAX,
                     .effect = FaultEffect::kDiskFull});
  EXPECT_EQ(file->Allocate(4096).error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(file->Allocate(8192).error().code, ErrorCode::kDiskFull);
  machine_.Schedule(
      {.kind = OpKind::kSyncDirectory, .file_class = "", .effect = FaultEffect::kCrash});
  EXPECT_EQ(directory_->Sync().error().code, ErrorCode::kIo);
  EXPECT_TRUE(machine_.crashed());
  EXPECT_FALSE(file->Write(0, AsBytes("x")).ok());
  EXPECT_FALSE(directory_->List().ok());
  EXPECT_EQ(machine_.faults_fired(), 4u);
}

TEST_F(SimFileSystemTest, RecordsEveryOperationWithItsSite) {
  auto file = DurableFile("00000012.wal", "x");
  ASSERT_EQ(machine_.trace().size(), 6u);  // mkdir, sync, create, write, sync, sync
  const Op& write = machine_.trace()[3];
  EXPECT_EQ(write.kind, OpKind::kWrite);
  const Site& site = sites_.sites()[write.site];
  EXPECT_EQ(site.operation, "write");
  EXPECT_EQ(site.file_class, "d/#.wal");
  EXPECT_NE(site.caller, nullptr);
  EXPECT_EQ(site.calls, 1u);
}

TEST_F(SimFileSystemTest, ReplayOfATraceGivesTheSameDisk) {
  auto file = DurableFile("a", "x");
  ASSERT_TRUE(file->Write(5000, AsBytes("yz")).ok());
  ASSERT_TRUE(directory_->Rename("a", "b").ok());
  DiskState replayed = machine_.start();
  for (const Op& op : machine_.trace()) replayed.Apply(op);
  EXPECT_EQ(replayed.visible().Hash(), machine_.disk().visible().Hash());
  EXPECT_EQ(replayed.durable().Hash(), machine_.disk().durable().Hash());
  EXPECT_EQ(replayed.pending().size(), machine_.disk().pending().size());
}

TEST_F(SimFileSystemTest, HashesTellImagesApartAndZerosFromHolesNot) {
  auto file = DurableFile("a", "x");
  const std::uint64_t before = machine_.disk().visible().Hash();
  const Image copy = machine_.disk().visible();
  ASSERT_TRUE(file->Write(0, AsBytes("y")).ok());
  EXPECT_NE(machine_.disk().visible().Hash(), before);
  EXPECT_EQ(copy.Hash(), before);
  ASSERT_TRUE(file->Write(0, AsBytes("x")).ok());
  EXPECT_EQ(machine_.disk().visible().Hash(), before);
  ASSERT_TRUE(file->Allocate(8192).ok());
  const std::uint64_t hole = machine_.disk().visible().Hash();
  EXPECT_NE(hole, before);
  ASSERT_TRUE(file->Write(4096, std::vector<std::byte>(4096)).ok());
  EXPECT_EQ(machine_.disk().visible().Hash(), hole);
}

}  // namespace
}  // namespace duramen::sim
