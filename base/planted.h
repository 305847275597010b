// Planted bugs: the harness must catch each of these, or it proves nothing. They sit in the
// production path and are compiled in only where DURAMEN_PLANTED_BUGS is on (test builds); there
// a test switches one on at run time. In a release build Planted() is the constant false.
#pragma once

#include <cstdint>

namespace duramen {

enum class PlantedBug : std::uint8_t {
  kNone,
  kNoSyncBeforeAck,            // the WAL acknowledges without its sync
  kNoDirectorySync,            // a new or renamed WAL file's directory entry is not synced
  kDurableUptoIgnored,         // the tail verdict calls everything torn
  kLifeIgnored,                // batches of a file's former life are read
  kHeaderBeforeCopiedTail,     // recovery commits the new header before the copied tail is durable
  kOverwrittenEntryKept,       // an overwrite does not cut the entries above it at replay
  kLaterFileKeptAfterTear,     // batches of later files are kept after a torn one
  kNoticeWithoutEpoch,         // a notice of an older epoch raises the watermark to its own end
  kChecksumNotCheckedOnRead,   // payload bytes are served unverified from a WAL file
  kRegistrationAfterFirstAck,  // a log's identity row is posted after its first entries
  kNoSegmentSync,              // segment files are not synced before the checkpoint
  kRetiredBeforeCheckpoints,   // WAL files go when their entries are in segments
  kRetiredAfterOneCheckpoint,  // WAL files go when one of the two checkpoints covers them
  kLeftoverBytesCount,         // a segment is read beyond what its row says
  kFloorBeforeDurable,         // a flush leaves out what a floor cuts that is not durable
  kCutForgottenAtHandOver,     // what was cut during a flush is served from segments
  kRunCutIgnored,              // a segment run does not cut what older ones hold
  kNoServersSync,              // new names in servers/ are not synced before the checkpoint
  kLeftoverAppendedTo,         // a flush goes on behind bytes that no row knows
  kSeedWithoutEpoch,           // a start takes bounds from a checkpoint without their epoch
  kSegmentPayloadUnchecked,    // payload bytes are served unverified from a segment
  kFaultNotInCheckpoint,       // checkpoints leave out that a log is faulty
  kTombstoneForgottenEarly,    // a tombstone goes before its directory and the second checkpoint
  kArenaFreedByTag,            // entries go from memory with the file current at their append
  kHoleAcknowledged,           // a complete batch is acknowledged with those before it in flight
  kProofRunsAhead,             // `durable_upto` names the batch before, durable or not
  kRowFileTakesEntries,        // a row file takes entries, too [B3]
  kRowHeaderFirst,             // a row file's header is written before what it carries is durable
  kMarksNotCarried,            // a row file carries the rows of the one before it, not its marks
  kStalledFileRecycled,        // a file goes on to its next life with a write of it in flight [A14]
  kEndRunsAhead,               // a fail-over ends its predecessor at a batch that was given up
  kSyncedWhileWriting,         // a flush is synced while helpers still write
  kShardCountedEarly,          // SYSTEM counts a WAL shard before it is complete [A14]
  kShardDroppedLive,           // a WAL shard goes with the logs that it holds [A14]
  kNameInTwoShards,            // a log is created though another shard has its name [C9]
  kBlockUnchecked,             // a compressed block is used before its checksum is verified
  kFrameUnchecked,             // a frame of a packed run likewise
  kFramesKeepTheirPlace,       // recovery copies packed runs with the checksums of their old place
  kPoisonPill,                 // a CHECK trips while the second log is scanned or replayed [B9]
  // Of Raft; the simulator and the core's own tests catch them.
  kVoteNotDurable,         // messages leave before the vote behind them is stored [EL9]
  kVoteDropped,            // a step-down within the term forgets the vote [R21]
  kUnwrittenAcknowledged,  // a follower acknowledges what it has not written
  kUnverifiedAcknowledged,  // it acknowledges all that is written, its own diverged tail too [A19]
  kOldTermCommitted,       // entries of earlier terms commit by counting (Raft figure 8)
  kTailNotTruncated,       // a conflicting entry stays
  kQuorumOffByOne,         // half is enough
  kLogNotCompared,         // a vote for whoever asks, however short its log
  kChangeAtCommit,         // a change of members counts once committed, not once appended
  kChangeNotReverted,      // a truncation leaves the configuration that it cut [C11]
  kChangeBeforeNoOp,       // a change before an entry of the own term is committed [ME6]
  kLeaseFromAnswer,        // a lease counts from the arrival of answers [A16]
  kLeaseOutlivesTransfer,  // a leader that let go still reads by its lease [A16]
  kPromiseForgotten,       // a restarted server votes at once, whatever it had promised [A16]
  kStaleClock,             // a lease is judged by the time of the last tick
  kReadBeforeNoOp,         // a new leader reads at a commit index that it does not know yet
  kReadWithoutRound,       // a leader reads without asking whether it still leads
  kVotesCountedTwice,      // by message, not by sender [EL11]
  kStrangersVoteCounts,    // of one that is no voter of the newest configuration
  kWipedMemberVotes,       // a new incarnation keeps the identity of the one that was lost [A15]
  kBootIgnored,            // what a member said in an earlier life stays true [A4]
  kOldEpochWritten,        // a notice of writes that were cut since raises what is written [C2]
  kSessionByHighest,       // a command below a session's highest number is a repetition [A20]
  kQuorumShrinks,          // a quorum is one of those that are not faulty [A3]
  kFaultyCounts,           // a server that lost acknowledged entries goes on as if it had none [A3]
  kUnverifiedCommitted,    // a follower commits its own tail as soon as a leader says so
  kMatchKept,              // a leader never believes that a follower has less than it had [A4]
  // Of the runtime of systems; simulated systems catch them.
  kRetryRunsAgain,      // a command that is sent again in its session runs again [CM2]
  kFollowerActs,        // followers execute what a machine wants done, too [SM5]
  kAwayNotAwaited,      // a deleted cluster's members go before those that are away know [CL8]
  kTokenIgnored,        // a query does not wait for what it is to see [RD5]
  kLostSaidNotDone,     // who lost the lead says that nothing has happened
  kCount,
};

#if defined(DURAMEN_PLANTED_BUGS)
bool Planted(PlantedBug bug) noexcept;
void Plant(PlantedBug bug) noexcept;  // kNone switches all off
#else
inline constexpr bool Planted(PlantedBug) noexcept { return false; }
#endif

}  // namespace duramen
