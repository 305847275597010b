// What a process that has a directory and one that writes a log in it tell each other of that log.
// Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "duramen/log_store.h"
#include "memtable/mem_table.h"
#include "meta/row.h"
#include "wal/replay.h"

namespace duramen::log {

/// All that the one who claims a log needs to go on with it.
struct HostedLog {
  std::uint32_t slot = 0;
  wal::RecordOwner owner;
  std::string name;
  std::uint64_t incarnation = 0;
  bool created = false;  // its identity row is still to be written
  bool gone = false;     // it is deleted, durably; nothing else is set
  wal::SlotBounds bounds;
  std::vector<memtable::TermRun> terms;
  std::uint64_t row_sequence = 0;
  Vote vote;
  Index last_applied = 0;
  std::map<std::string, std::string> values;
  meta::FaultyRow fault;
};

/// A log that its owner had claimed from a WAL process which is gone, and what it knows of it.
struct Reclaim {
  std::string name;
  wal::RecordOwner owner;
  std::uint64_t incarnation = 0;
  bool deleted = false;  // its tombstone is in the ring, or was
  // Acknowledged.
  std::uint64_t epoch = 0;
  Index end = 1;
  std::uint64_t row_sequence = 0;
};

}  // namespace duramen::log
