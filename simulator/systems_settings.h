// What the life of simulated systems is like: drawn from a seed, swarm-wise, as settings.h says.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "simulator/fields.h"

namespace duramen::simulator {

/// All rates are mean times between two of a kind, in milliseconds of the world; 0: never.
struct SystemsSettings {
  std::uint64_t nodes = 3;
  std::uint64_t members = 3;  // of each cluster at first
  std::uint64_t clusters = 2;
  std::uint64_t clients = 6;
  std::uint64_t keys = 2;  // of each cluster
  std::uint64_t think_ms = 30;       // of a client between two operations, mean
  std::uint64_t trouble_ms = 8'000;  // how long there is any; then all heals
  std::uint64_t workers = 2;  // of a node at most; each start draws how many it has
  std::uint64_t shards = 1;   // WAL shards likewise
  std::uint64_t wal_file_kb = 64;
  std::uint64_t in_session = 50;  // of a hundred commands
  std::uint64_t lanes = 1;        // operations that a client has under way, in its sessions

  std::uint64_t delay_us = 0;  // of what goes from node to node, mean; 0: none
  std::uint64_t loss = 0;      // one in so many parcels; 0: none
  std::uint64_t straggle = 0;  // one in so many Raft messages comes late; 0: none
  std::uint64_t detect_ms = 0;  // until it shows that a node does not answer, mean
  std::uint64_t partition_ms = 0;
  std::uint64_t kill_ms = 0;   // of a process: the page cache stays
  std::uint64_t power_ms = 0;  // of a machine: what was not synced is lost in part
  std::uint64_t pause_ms = 0;  // of a process
  std::uint64_t close_ms = 0;  // of a system, which goes in order
  std::uint64_t disk_us = 0;   // of a write in flight
  std::uint64_t disk_error_ms = 0;  // one write or sync fails
  std::uint64_t dying = 0;          // 1: one in three of these lasts until the node is restarted
  std::uint64_t disk_full_ms = 0;   // a while without space
  std::uint64_t stall_ms = 0;       // a disk of which nothing comes back for a while
  std::uint64_t lease_margin_ms = 0;  // reads by lease; 0: those ask the others, too
  std::uint64_t dsync = 0;            // 1: the WAL is written direct, several batches in flight
  std::uint64_t packed = 0;           // 1: WAL and segments are compressed
  std::uint64_t narrow = 0;           // 1: little room for what waits for a worker
  std::uint64_t relays = 0;           // one in so many commands is answered by another member
  std::uint64_t transfer_ms = 0;      // of leadership
  std::uint64_t election_ms = 0;      // somebody asks for votes for no reason
  std::uint64_t stop_ms = 0;          // of a server, which is restarted
  std::uint64_t wipe_ms = 0;          // a node comes back with an empty disk
  std::uint64_t change_ms = 0;        // of members
  std::uint64_t found_ms = 0;         // of a cluster that is deleted again
  std::uint64_t throw_ms = 0;         // of a cluster whose machine throws
  std::uint64_t late_calls = 0;  // one in so many calls of machines returns after other things
};

using SystemsField = FieldOf<SystemsSettings>;
inline constexpr std::array<SystemsField, 39> kSystemsFields = {{
    {"nodes", &SystemsSettings::nodes, false},
    {"members", &SystemsSettings::members, false},
    {"clusters", &SystemsSettings::clusters, false},
    {"clients", &SystemsSettings::clients, false},
    {"keys", &SystemsSettings::keys, false},
    {"think_ms", &SystemsSettings::think_ms, false},
    {"trouble_ms", &SystemsSettings::trouble_ms, false},
    {"workers", &SystemsSettings::workers, false},
    {"shards", &SystemsSettings::shards, false},
    {"wal_file_kb", &SystemsSettings::wal_file_kb, false},
    {"in_session", &SystemsSettings::in_session, false},
    {"lanes", &SystemsSettings::lanes, false},
    {"delay_us", &SystemsSettings::delay_us, true},
    {"loss", &SystemsSettings::loss, true},
    {"straggle", &SystemsSettings::straggle, true},
    {"detect_ms", &SystemsSettings::detect_ms, true},
    {"partition_ms", &SystemsSettings::partition_ms, true},
    {"kill_ms", &SystemsSettings::kill_ms, true},
    {"power_ms", &SystemsSettings::power_ms, true},
    {"pause_ms", &SystemsSettings::pause_ms, true},
    {"close_ms", &SystemsSettings::close_ms, true},
    {"disk_us", &SystemsSettings::disk_us, true},
    {"disk_error_ms", &SystemsSettings::disk_error_ms, true},
    {"dying", &SystemsSettings::dying, true},
    {"disk_full_ms", &SystemsSettings::disk_full_ms, true},
    {"stall_ms", &SystemsSettings::stall_ms, true},
    {"lease_margin_ms", &SystemsSettings::lease_margin_ms, true},
    {"dsync", &SystemsSettings::dsync, true},
    {"packed", &SystemsSettings::packed, true},
    {"narrow", &SystemsSettings::narrow, true},
    {"relays", &SystemsSettings::relays, true},
    {"transfer_ms", &SystemsSettings::transfer_ms, true},
    {"election_ms", &SystemsSettings::election_ms, true},
    {"stop_ms", &SystemsSettings::stop_ms, true},
    {"wipe_ms", &SystemsSettings::wipe_ms, true},
    {"change_ms", &SystemsSettings::change_ms, true},
    {"found_ms", &SystemsSettings::found_ms, true},
    {"throw_ms", &SystemsSettings::throw_ms, true},
    {"late_calls", &SystemsSettings::late_calls, true},
}};

/// What a seed says.
SystemsSettings DrawSystemsSettings(std::uint64_t seed);

/// What a life came to, to know that it was one.
struct SystemsTally {
  std::uint64_t seconds = 0;  // simulated
  std::uint64_t kills = 0;
  std::uint64_t power_losses = 0;
  std::uint64_t closes = 0;
  std::uint64_t partitions = 0;
  std::uint64_t pauses = 0;
  std::uint64_t disk_errors = 0;
  std::uint64_t full_disks = 0;
  std::uint64_t stalls = 0;     // of disks
  std::uint64_t transfers = 0;
  std::uint64_t elections = 0;  // that somebody asked for
  std::uint64_t stops = 0;      // of servers
  std::uint64_t wiped = 0;
  std::uint64_t replaced = 0;   // members of these nodes, by new ones
  std::uint64_t changes = 0;    // of members
  std::uint64_t founded = 0;    // clusters that came later
  std::uint64_t deletions = 0;  // of these
  std::uint64_t thrown = 0;     // by machines
  std::uint64_t operations = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t retries = 0;  // of what was unknown
  std::uint64_t unknown = 0;  // outcome never learnt
  std::uint64_t own_reads = 0;  // of what one wrote, on any member
  std::uint64_t effects = 0;
  std::uint64_t messages = 0;  // of machines, that came
  std::uint64_t parcels = 0;
  std::uint64_t lost = 0;  // of these
  void Add(const SystemsTally& other);
  std::string ToText() const;
};

}  // namespace duramen::simulator
