// What RocksDB does as the log of many Raft groups: the figure that `duramen bench wal` is held
// against. Per round one WriteBatch with the next entries of every group, written with sync, as a
// multi-Raft store over RocksDB does it; floors follow by one DeleteRange a group.
//
//   rocksdb_log DIR SERVERS IN_FLIGHT ENTRY_BYTES SECONDS
// prints one JSON object with the keys of `duramen bench wal`. DIR is made, and must not be there.
// Tuned: write buffers of 128 MB x 6, WAL files recycled, no compression. Exit 2: usage, 4:
// RocksDB.
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kFloorStep = 256;  // entries by which a floor may stay behind
constexpr std::size_t kKeyBytes = 12;      // group and index, big-endian

struct Load {
  std::string directory;
  std::uint64_t servers = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t entry_bytes = 0;
  std::uint64_t seconds = 0;
};

std::string KeyOf(std::uint64_t group, std::uint64_t index) {
  std::string key(kKeyBytes, '\0');
  for (std::size_t i = 0; i < 4; ++i) key[i] = static_cast<char>(group >> (24 - 8 * i));
  for (std::size_t i = 0; i < 8; ++i) key[4 + i] = static_cast<char>(index >> (56 - 8 * i));
  return key;
}

rocksdb::Options Tuned() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.error_if_exists = true;
  options.write_buffer_size = 128 << 20;
  options.max_write_buffer_number = 6;
  options.min_write_buffer_number_to_merge = 1;
  options.recycle_log_file_num = 4;
  options.wal_bytes_per_sync = 0;
  options.compression = rocksdb::kNoCompression;
  options.max_background_jobs = 2;
  options.enable_pipelined_write = false;  // One writer: nothing to pipeline with.
  options.allow_concurrent_memtable_write = false;
  options.avoid_flush_during_shutdown = true;
  return options;
}

class Groups {
 public:
  Groups(rocksdb::DB& db, const Load& load)
      : db_(db), load_(load), value_(load.entry_bytes, '\0'), next_(load.servers, 1) {
    std::uint64_t state = 1;
    for (char& byte : value_) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<char>(state >> 56);
    }
  }

  rocksdb::Status Round() {
    rocksdb::WriteBatch batch;
    for (std::uint64_t group = 0; group < load_.servers; ++group) {
      for (std::uint64_t i = 0; i < load_.in_flight; ++i) {
        const rocksdb::Status put = batch.Put(KeyOf(group, next_[group]++), value_);
        if (!put.ok()) return put;
      }
      if (next_[group] % kFloorStep >= load_.in_flight) continue;
      const rocksdb::Status cut = batch.DeleteRange(KeyOf(group, 0), KeyOf(group, next_[group]));
      if (!cut.ok()) return cut;
    }
    rocksdb::WriteOptions write;
    write.sync = true;
    return db_.Write(write, &batch);
  }

 private:
  rocksdb::DB& db_;
  const Load& load_;
  std::string value_;
  std::vector<std::uint64_t> next_;
};

rocksdb::Status Run(const Load& load) {
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(Tuned(), load.directory, &opened);
  if (!status.ok()) return status;
  const std::unique_ptr<rocksdb::DB> db(opened);
  Groups groups(*db, load);
  std::vector<double> rounds_us;
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::seconds(load.seconds);
  while (Clock::now() < end) {
    const auto round = Clock::now();
    status = groups.Round();
    if (!status.ok()) return status;
    rounds_us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - round).count());
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double rounds = static_cast<double>(rounds_us.size());
  const double entries = rounds * static_cast<double>(load.servers * load.in_flight);
  std::sort(rounds_us.begin(), rounds_us.end());
  const auto at = [&](double share) {
    return rounds_us[static_cast<std::size_t>(share * (rounds - 1))];
  };
  fmt::print(
      "{{\"v\":1,\"kind\":\"bench\",\"bench\":\"rocksdb\",\"version\":\"{}.{}.{}\",\"seconds\":{:."
      "3f},"
      "\"entry_bytes\":{},\"servers\":{},\"in_flight\":{},\"entries_per_s\":{:.0f},"
      "\"bytes_per_s\":{:.0f},\"syncs_per_s\":{:.0f},\"p50_us\":{:.1f},\"p99_us\":{:.1f}}}\n",
      ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH, seconds, load.entry_bytes, load.servers,
      load.in_flight, entries / seconds, entries * static_cast<double>(load.entry_bytes) / seconds,
      rounds / seconds, at(0.5), at(0.99));
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    fmt::print(stderr, "usage: rocksdb_log DIR SERVERS IN_FLIGHT ENTRY_BYTES SECONDS\n");
    return 2;
  }
  Load load{.directory = argv[1]};
  std::uint64_t* const numbers[] = {&load.servers, &load.in_flight, &load.entry_bytes,
                                    &load.seconds};
  for (int i = 0; i < 4; ++i) {
    char* rest = nullptr;
    *numbers[i] = std::strtoull(argv[2 + i], &rest, 10);
    if (*rest != '\0' || *numbers[i] == 0 || *numbers[i] > 1'000'000) {
      fmt::print(stderr, "rocksdb_log: '{}' is not a number from 1 to 1000000\n", argv[2 + i]);
      return 2;
    }
  }
  const rocksdb::Status status = Run(load);
  std::error_code ignored;
  std::filesystem::remove_all(load.directory, ignored);
  if (status.ok()) return 0;
  fmt::print(stderr, "rocksdb_log: {}\n", status.ToString());
  return 4;
}
