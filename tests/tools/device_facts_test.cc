// What /proc and /sys tell of a directory's device, read from made-up copies of them.
#include "tools/device_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/files.h"

namespace duramen::tools {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::TempDir;
using testing::WriteAll;

constexpr char kMounts[] =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard,nobarrier\n"
    "30 27 0:30 / /data rw,noatime - tmpfs tmpfs rw,size=4k\n"
    "31 27 8:2 /sub /data rw - xfs /dev/sda2 rw,attr2\n"
    "32 27 0:31 / /data/with\\040blank rw - overlay overlay rw,lowerdir=/l,volatile\n"
    "broken line\n";

TEST(FindMount, TL5_TheDeepestMountAndTheLastOfTwoAtOnePoint) {
  const auto file_system = [](const std::string& path) {
    return FindMount(kMounts, path)->file_system;
  };
  EXPECT_EQ(file_system("/"), "ext4");
  EXPECT_EQ(file_system("/database"), "ext4");
  EXPECT_EQ(file_system("/data"), "xfs");
  EXPECT_EQ(file_system("/data/x/y"), "xfs");
  EXPECT_EQ(file_system("/data/with blank/x"), "overlay");
  EXPECT_TRUE(FindMount(kMounts, "/data/with blank")->Has("volatile"));
  EXPECT_TRUE(FindMount(kMounts, "/")->Has("nobarrier"));
  EXPECT_FALSE(FindMount(kMounts, "/")->Has("barrier"));
  EXPECT_EQ(FindMount(kMounts, "/data")->source, "/dev/sda2");
  EXPECT_FALSE(FindMount("", "/").has_value());
}

/// A /sys with disks in it.
class Sys : public ::testing::Test {
 protected:
  std::string path() const { return dir_.path(); }
  std::string Entry(const std::string& number, const std::string& device) {
    const fs::path entry = fs::path(dir_ / "devices") / device;
    fs::create_directories(entry);
    fs::create_directories(dir_ / "dev/block");
    fs::create_symlink(entry, fs::path(dir_ / "dev/block") / number);
    return entry.string();
  }
  std::string Disk(const std::string& number, const std::string& device, const std::string& cache) {
    std::string entry = Entry(number, device);
    fs::create_directories(entry + "/queue");
    fs::create_directories(entry + "/mq/0");
    WriteAll(entry + "/queue/write_cache", cache + "\n");
    WriteAll(entry + "/queue/fua", "1\n");
    WriteAll(entry + "/queue/rotational", "0\n");
    WriteAll(entry + "/queue/logical_block_size", "512\n");
    WriteAll(entry + "/queue/physical_block_size", "4096\n");
    Count(entry, 1000, 10);
    return entry;
  }
  static void Count(const std::string& entry, int writes, int flushes) {
    WriteAll(entry + "/stat", "  5 6 7 8  " + std::to_string(writes) + " 9 9 9 0 9 9 1 2 3 4  " +
                                  std::to_string(flushes) + " 9\n");
  }
  TempDir dir_;
};

TEST_F(Sys, TL5_APartitionIsAskedAtItsDisk) {
  const std::string disk = Disk("8:0", "pci0/block/sda", "write back");
  WriteAll(Entry("8:2", "pci0/block/sda/sda2") + "/partition", "2\n");
  const auto device = FindDevice(path(), 8, 2);
  ASSERT_TRUE(device.has_value());
  EXPECT_EQ(device->name, "sda2");
  EXPECT_THAT(device->leaves, ElementsAre("sda"));
  EXPECT_EQ(device->volatile_cache, true);
  EXPECT_EQ(device->fua, true);
  EXPECT_EQ(device->rotational, false);
  EXPECT_EQ(device->logical_block_bytes, 512u);
  EXPECT_EQ(device->physical_block_bytes, 4096u);
  EXPECT_TRUE(device->counts_flushes);
  EXPECT_FALSE(device->is_virtual);
  Count(disk, 1007, 13);
  EXPECT_EQ(device->Count()->writes, 1007u);
  EXPECT_EQ(device->Count()->flushes, 13u);
}

TEST_F(Sys, TL5_AStackIsAsVolatileAsAnyOfItsDisks) {
  const std::string one = Disk("8:0", "pci0/sda", "write through");
  const std::string two = Disk("8:16", "virtio1/block/vdb", "write back");
  const std::string raid = Entry("9:0", "virtual/block/md0");
  fs::create_directories(raid + "/queue");
  fs::create_directories(raid + "/slaves");
  WriteAll(raid + "/queue/write_cache", "write through\n");
  fs::create_symlink(one, raid + "/slaves/sda");
  fs::create_symlink(two, raid + "/slaves/vdb");
  const std::string mapped = Entry("253:0", "virtual/block/dm-0");
  fs::create_directories(mapped + "/slaves");
  fs::create_symlink(raid, mapped + "/slaves/md0");
  const auto device = FindDevice(path(), 253, 0);
  ASSERT_TRUE(device.has_value());
  EXPECT_EQ(device->name, "dm-0");
  EXPECT_THAT(device->leaves, ElementsAre("sda", "vdb"));
  EXPECT_EQ(device->volatile_cache, true);
  EXPECT_TRUE(device->is_virtual);
  EXPECT_EQ(device->Count()->flushes, 20u);
  EXPECT_FALSE(device->rotational.has_value()) << "it does not say";
}

TEST_F(Sys, TL5_WhatDoesNotCountFlushesIsKnown) {
  const std::string bio_based = Disk("259:0", "virtual/block/pmem0", "write back");
  fs::remove_all(bio_based + "/mq");
  EXPECT_FALSE(FindDevice(path(), 259, 0)->counts_flushes);
  const std::string old_kernel = Disk("8:0", "sda", "write back");
  WriteAll(old_kernel + "/stat", "1 2 3 4 5 6 7 8 9 10 11\n");
  const auto device = FindDevice(path(), 8, 0);
  EXPECT_FALSE(device->counts_flushes);
  EXPECT_EQ(device->Count()->writes, 5u);
  fs::remove(old_kernel + "/stat");
  EXPECT_FALSE(device->Count().has_value());
  EXPECT_FALSE(FindDevice(path(), 1, 1).has_value());
}

TEST(FactsOf, TL5_ADirectoryIsNeeded) {
  const TempDir dir;
  WriteAll(dir / "file", "x");
  EXPECT_EQ(FactsOf(dir / "file").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(FactsOf(dir / "nothing").error().code, ErrorCode::kNotFound);
  const DeviceFacts facts = FactsOf("/dev/shm").value();
  EXPECT_EQ(facts.file_system, "tmpfs");
  EXPECT_EQ(facts.kind.what, FileSystemClass::kMemory);
  EXPECT_FALSE(facts.device.has_value());
}

}  // namespace
}  // namespace duramen::tools
