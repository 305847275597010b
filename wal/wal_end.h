// What a WAL that has ended says of its files to the one that goes on with them at once. Whoever
// gets it need not look for batches behind the last one, nor in files that were never in service,
// which is most of what a start reads. It is believed as far as the disk bears it out; see
// Recovery::ScanAfter. A value.
#pragma once

#include <cstdint>
#include <vector>

namespace duramen::wal {

struct WalEnd {
  std::uint64_t file = 0;  // the newest
  std::uint64_t life = 0;
  std::uint64_t end_offset = 0;     // of the last batch in it
  std::uint64_t batch = 0;          // its number; 0: there is none in this file
  std::uint64_t checksum = 0;       // of its header
  std::vector<std::uint64_t> live;  // numbers of all files in service
};

}  // namespace duramen::wal
