// What two checkpoint files say together. Pure.
//
// Each server takes its newest intact row; a row that is lost in one file is taken from the other,
// with the Covers of that one, and the WAL is read from there for it. That is sound because both
// files are true as of their own Covers, and no WAL file goes before both cover it [A2].
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/types.h"
#include "meta/checkpoint.h"

namespace duramen::meta {

/// One of the two files, as it was found.
struct CheckpointFile {
  bool present = false;
  std::optional<DecodedCheckpoint> content;  // none: absent, or unreadable as a whole
};

struct MergedServer {
  ServerUid uid;
  ServerRows rows;  // of a deleted one the tombstone alone
  Covers covers;    // runs and rows of this server up to there are folded in
};

struct MergedCheckpoints {
  std::vector<MergedServer> servers;  // by uid
  /// Lost in one file and not to be had from the other: rows unreadable. By uid.
  std::vector<ServerUid> unreadable;
  /// Lost in the newer file; the older one knows no such server, so it was registered since and is
  /// in the WAL from replay_from on as a whole. By uid.
  std::vector<ServerUid> only_in_wal;
  /// Rows may be lost of servers that neither file can name.
  bool unnamed_lost = false;
  /// Recovery needs the WAL from behind this; all zero: from the first file on.
  Covers replay_from;
  std::uint64_t highest_incarnation = 0;
};

/// A file of sequence 1 stands for the other one too: there was nothing before it. A tombstone in
/// the newer file deletes whatever the older one has; one in the older file alone was forgotten,
/// if the newer one can name all its servers.
MergedCheckpoints MergeCheckpoints(CheckpointFile a, CheckpointFile b);

}  // namespace duramen::meta
