// A machine with several WAL shards.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "log/system_file.h"
#include "tests/log/machine.h"

namespace duramen::log {

/// A machine whose Writer K writes to shard K.
class Sharded : public Machine {
 public:
  explicit Sharded(std::uint64_t shards) { options.wal_shards = shards; }
  /// Writes `texts` to log `name`, made in that shard.
  void Fill(std::uint32_t shard, const std::string& name, const std::vector<std::string>& texts) {
    const LogRef log = Log(name, shard);
    const Result<Ticket> ticket = Append(log, 1, 1, texts, shard);
    ASSERT_TRUE(ticket.ok()) << ticket.error().message;
    const Status waited = Wait(*ticket, shard);
    ASSERT_TRUE(waited.ok()) << waited.error().message;
  }
  void Delete(const std::string& name) {
    const std::uint32_t shard = store().ShardOf(name).value();
    const LogRef log = Log(name, shard);
    ASSERT_TRUE(Wait(store().DeleteLog(writer(shard), log).value(), shard).ok());
    Settle();
  }
  std::uint32_t Counted() const {
    return DecodeSystemFile(FileBytes("/data/SYSTEM")).value().content.shards;
  }
  ErrorCode Refusal(std::string& text) {
    const Status opened = Open();
    if (opened.ok()) return ErrorCode::kNotFound;
    text = opened.error().message + " | " + opened.error().hint;
    return opened.error().code;
  }
  /// Every name below /data.
  std::vector<std::string> Everything() const {
    std::vector<std::string> all;
    AddNames("/data", all);
    return all;
  }
  void Move(const std::string& directory, const std::string& from, const std::string& to) {
    const auto opened = disk().Open(directory);
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE((*opened)->Rename(from, to).ok());
    ASSERT_TRUE((*opened)->Sync().ok());
  }

 private:
  void AddNames(const std::string& path, std::vector<std::string>& all) const {
    for (const std::string& name : NamesIn(path)) {
      all.push_back(path + "/" + name);
      const sim::Image& image = const_cast<Sharded*>(this)->disk().disk().visible();
      if (image.IsDirectory(image.FindPath(all.back()))) AddNames(path + "/" + name, all);
    }
  }
};

}  // namespace duramen::log
