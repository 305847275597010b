// What a SYSTEM that is lost had to say of WAL shards, from what is left of the others.
//
// No shard's own file says of which system it is: that follows from uuids, so a repair has to find
// the other side. A wrong answer is worse than none. A shard that became a store of its own is
// refused by the start of its system; a shard that is not counted is left out of it silently.
#pragma once

#include <cstdint>
#include <string>

#include "base/io.h"
#include "base/types.h"

namespace duramen::log {

struct LostSystem {
  FileSystem& file_system;
  std::string data_dir;  // absolute, without links, without a '/' at its end
  std::string wal_dir;   // empty: inside data_dir
  SystemUuid system;
};

/// SystemFile::shards: kIsAShard, or as many as are there and say whose they are, by their SYSTEM
/// or by their WAL. Errors: kRefused (it is below a system that has lost its SYSTEM too, or holds a
/// shard that may be anybody's), kConfiguration (it is no shard of the system that it is below),
/// kIo, kPermission.
Result<std::uint32_t> CountLostShards(const LostSystem& lost);

}  // namespace duramen::log
