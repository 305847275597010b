// What a simulated life is like. Drawn from a seed, swarm-wise: each kind of trouble is often off
// and sometimes much, since a life in which everything goes wrong at once gets nowhere. A failing
// seed is shrunk by setting members to zero.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "simulator/agenda.h"
#include "simulator/fields.h"

namespace duramen::simulator {

/// All rates are mean times between two of a kind, in milliseconds of the world; 0: never.
struct Settings {
  std::uint64_t nodes = 3;
  std::uint64_t members = 3;  // of each cluster at first
  std::uint64_t clusters = 1;
  std::uint64_t clients = 5;
  std::uint64_t think_ms = 200;       // of a client between two operations, mean
  std::uint64_t keys = 3;             // of each cluster
  std::uint64_t trouble_ms = 60'000;  // how long there is any; then all heals

  std::uint64_t delay_us = 500;  // of a message, mean
  std::uint64_t loss = 0;        // one in so many messages; 0: none
  std::uint64_t doubling = 0;    // one in so many
  std::uint64_t partition_ms = 0;
  std::uint64_t clog_ms = 0;        // a link that delivers late
  std::uint64_t kill_ms = 0;        // of a process: the page cache stays
  std::uint64_t power_ms = 0;       // of a machine: what was not synced is lost in part
  std::uint64_t pause_ms = 0;       // of a process
  std::uint64_t drift = 0;          // 1: clocks run at half to double speed
  std::uint64_t disk_us = 0;        // of a write in flight
  std::uint64_t disk_error_ms = 0;  // one write or sync fails
  std::uint64_t disk_full_ms = 0;   // a while without space
  std::uint64_t rot_ms = 0;         // a byte of a WAL file changes while its node is down
  std::uint64_t wipe_ms = 0;        // a node comes back with an empty disk
  std::uint64_t change_ms = 0;      // of members
  std::uint64_t transfer_ms = 0;
  std::uint64_t lease_margin_ms = 0;  // reads by lease; 0: by read index
  std::uint64_t append_max = 128;
  std::uint64_t pipeline_max = 4096;
  std::uint64_t quiet = 1;
  std::uint64_t wal_file_kb = 64;
  std::uint64_t dsync = 0;     // 1: the WAL is written direct, several batches in flight
  std::uint64_t packed = 0;    // 1: WAL and segments are compressed
  std::uint64_t failover = 0;  // 1: the WAL has a second directory

  std::uint64_t tight = 0;     // 1: small segments, several flush threads, files that age quickly
  std::uint64_t shards = 1;    // WAL shards of a node at most; a start draws how many it asks for

  std::uint64_t scribe_ms = 0;  // of somebody who writes logs of his own into the stores
  std::uint64_t inspect = 0;    // one in so many starts is of a disk that was verified before
  std::uint64_t repair = 0;     // one in so many of these repairs what is damaged
  std::uint64_t harm_ms = 0;    // files that are lost, cut short or overwritten under a node
  std::uint64_t tend_ms = 0;    // of an operator who looks at a running node, or sets it otherwise
  std::uint64_t stillborn = 0;  // one in so many starts is killed before it comes to its end

  std::uint64_t lanes = 1;       // operations that a client has under way in its session
  std::uint64_t roam = 0;        // one in so many operations asks any node first
  std::uint64_t reads = 0;       // in a hundred operations, by lease if there are any; 0: a mix
  std::uint64_t straggle = 0;    // one in so many messages comes late; 0: none
  std::uint64_t hunt_ms = 0;     // from an election until the new leader is struck, mean
  std::uint64_t lasting_ms = 0;  // of cuts, clogs and pauses, mean; 0: seconds
  std::uint64_t stall_ms = 0;    // a disk of which nothing comes back for a while
  std::uint64_t late_us = 0;     // what a process does comes late by up to that
  std::uint64_t shorten = 0;     // one in so many appends carries fewer entries; 0: none
  std::uint64_t latent = 0;      // 1: bytes rot under running stores
  std::uint64_t dying = 0;       // 1: one in three disk errors lasts until the node is restarted
  std::uint64_t crowd = 0;       // clusters besides

  std::uint64_t AllClusters() const { return clusters + crowd; }
};

using SettingField = FieldOf<Settings>;
inline constexpr std::array<SettingField, 51> kSettingFields = {{
    {"nodes", &Settings::nodes, false},
    {"members", &Settings::members, false},
    {"clusters", &Settings::clusters, false},
    {"clients", &Settings::clients, false},
    {"think_ms", &Settings::think_ms, false},
    {"keys", &Settings::keys, false},
    {"trouble_ms", &Settings::trouble_ms, false},
    {"delay_us", &Settings::delay_us, false},
    {"loss", &Settings::loss, true},
    {"doubling", &Settings::doubling, true},
    {"partition_ms", &Settings::partition_ms, true},
    {"clog_ms", &Settings::clog_ms, true},
    {"kill_ms", &Settings::kill_ms, true},
    {"power_ms", &Settings::power_ms, true},
    {"pause_ms", &Settings::pause_ms, true},
    {"drift", &Settings::drift, true},
    {"disk_us", &Settings::disk_us, true},
    {"disk_error_ms", &Settings::disk_error_ms, true},
    {"disk_full_ms", &Settings::disk_full_ms, true},
    {"rot_ms", &Settings::rot_ms, true},
    {"wipe_ms", &Settings::wipe_ms, true},
    {"change_ms", &Settings::change_ms, true},
    {"transfer_ms", &Settings::transfer_ms, true},
    {"lease_margin_ms", &Settings::lease_margin_ms, true},
    {"append_max", &Settings::append_max, false},
    {"pipeline_max", &Settings::pipeline_max, false},
    {"quiet", &Settings::quiet, true},
    {"wal_file_kb", &Settings::wal_file_kb, false},
    {"dsync", &Settings::dsync, true},
    {"packed", &Settings::packed, true},
    {"failover", &Settings::failover, true},
    {"lanes", &Settings::lanes, false},
    {"roam", &Settings::roam, true},
    {"reads", &Settings::reads, true},
    {"straggle", &Settings::straggle, true},
    {"hunt_ms", &Settings::hunt_ms, true},
    {"lasting_ms", &Settings::lasting_ms, false},
    {"stall_ms", &Settings::stall_ms, true},
    {"late_us", &Settings::late_us, true},
    {"shorten", &Settings::shorten, true},
    {"latent", &Settings::latent, true},
    {"dying", &Settings::dying, true},
    {"crowd", &Settings::crowd, true},
    {"tight", &Settings::tight, true},
    {"shards", &Settings::shards, false},
    {"scribe_ms", &Settings::scribe_ms, true},
    {"inspect", &Settings::inspect, true},
    {"repair", &Settings::repair, true},
    {"harm_ms", &Settings::harm_ms, true},
    {"tend_ms", &Settings::tend_ms, true},
    {"stillborn", &Settings::stillborn, true},
}};

/// What a seed says.
Settings DrawSettings(std::uint64_t seed);

}  // namespace duramen::simulator
