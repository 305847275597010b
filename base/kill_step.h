// Numbered steps of the protocol between a client and the shared WAL process. Where
// DURAMEN_PLANTED_BUGS is on (test builds), PLANTED_KILL_AT=NUMBER:PASS lets a process kill itself
// when it passes that step for the PASS-th time; elsewhere a step is nothing.
// tests/shm/kill_matrix.h kills clients and WAL processes at each of them, alone and in pairs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace duramen {

/// Whose step it is.
enum class KillSide : std::uint8_t { kClient, kHost };

/// What has to happen for a process to get there; all else comes by itself.
enum class KillNeeds : std::uint8_t {
  kNothing,
  kReturn,       // a client closes its store and another life of it begins
  kClientDeath,  // likewise, and it is killed
  kHostDeath,    // the WAL process is killed, and the next one started
  kTakeover,     // a live upgrade
};

// Name, side, what it needs, whether one life passes it again and again, and what it is.
#define DURAMEN_KILL_STEPS(X)                                                                     \
  X(MemoryMade, Client, Nothing, false, "arena region and control page made")                     \
  X(Connected, Client, Nothing, false, "connected, nothing said")                                 \
  X(HelloSent, Client, Nothing, false, "hello and memfds sent")                                   \
  X(Welcomed, Client, Nothing, false, "answer to the hello there")                                \
  X(StatusMapped, Client, Nothing, false, "status page mapped")                                   \
  X(Attached, Client, Nothing, false, "the WAL process is in use")                                \
  X(RingMade, Client, Nothing, false, "a Writer's ring made")                                     \
  X(RingShown, Client, Nothing, false, "ring sent, not started")                                  \
  X(RingStarted, Client, Nothing, false, "ring started")                                          \
  X(RequestSent, Client, Nothing, true, "a request sent, its answer not read")                    \
  X(ClaimAnswered, Client, Nothing, false, "a log claimed, not installed")                        \
  X(LogInstalled, Client, Nothing, false, "a new log's identity row posted")                      \
  X(PayloadStored, Client, Nothing, true, "payload in the arena, nothing in the ring")            \
  X(SlotsWritten, Client, Nothing, true, "records in the ring, not committed")                    \
  X(Committed, Client, Nothing, true, "records committed, nobody woken")                          \
  X(BellRung, Client, Nothing, true, "the sleeping WAL thread rung for")                          \
  X(NoticesTaken, Client, Nothing, true, "notices taken from their cells, not applied")           \
  X(NoticesApplied, Client, Nothing, true, "notices and release applied, nobody told")            \
  X(ReadAnswered, Client, Return, false, "cold entries read by the WAL process there")            \
  X(GoneSeen, Client, HostDeath, false, "end of the WAL process seen, nobody told")               \
  X(GoneTold, Client, HostDeath, false, "Writers see that there is no WAL process")               \
  X(BackConnected, Client, HostDeath, false, "the next WAL process has the same memory")          \
  X(BackRingShown, Client, HostDeath, false, "a ring shown again, not started")                   \
  X(BackLogClaimed, Client, HostDeath, false, "a log claimed again, its answer not taken")        \
  X(BackClaimed, Client, HostDeath, false, "all logs claimed again, rings not started")           \
  X(BackStarted, Client, HostDeath, false, "a ring started again")                                \
  X(BackInUse, Client, HostDeath, false, "the next WAL process is in use, nobody told")           \
  X(RingGivenBack, Client, Return, false, "a Writer's ring removed")                              \
  X(LeaveAnswered, Client, Return, false, "leave answered, still connected")                      \
  X(Left, Client, Return, false, "connection closed")                                             \
  X(StoreOpened, Host, Nothing, false, "directory recovered, nobody listens")                     \
  X(Listening, Host, Nothing, false, "listens")                                                   \
  X(Accepted, Host, Nothing, false, "a client accepted, not looked at")                           \
  X(Admitted, Host, Nothing, false, "credentials judged, no session")                             \
  X(SessionStarted, Host, Nothing, false, "the session's thread runs")                            \
  X(RegionMapped, Host, Nothing, false, "memfds judged and mapped")                               \
  X(HelloJudged, Host, Nothing, false, "memory guarded, welcome not sent")                        \
  X(Answered, Host, Nothing, true, "an answer sent")                                              \
  X(RingMapped, Host, Nothing, false, "a ring judged and mapped")                                 \
  X(RingTold, Host, Nothing, false, "a ring's logs told how far they are")                        \
  X(RingPassedOver, Host, Nothing, false, "what is durable of a ring passed over")                \
  X(RingAdded, Host, Nothing, false, "a ring given to the WAL thread, answer not sent")           \
  X(LogClaimed, Host, Nothing, false, "a log claimed, not granted to its ring")                   \
  X(LogGranted, Host, Nothing, false, "a log granted, answer not sent")                           \
  X(LogClaimedAgain, Host, HostDeath, false, "the same after the death of the last one")          \
  X(LogGrantedAgain, Host, HostDeath, false, "the same after the death of the last one")          \
  X(SlotCopied, Host, Nothing, true, "a record copied out of a ring")                             \
  X(RecordJudged, Host, Nothing, true, "a record judged and made the WAL's own")                  \
  X(PayloadCopied, Host, Nothing, true, "a payload copied into the batch and judged")             \
  X(BatchEncoded, Host, Nothing, true, "a batch encoded, not written")                            \
  X(BatchWritten, Host, Nothing, true, "a batch written, not synced")                             \
  X(BatchSynced, Host, Nothing, true, "a batch durable, nobody told")                             \
  X(BatchFollowed, Host, Nothing, true, "what is durable of each log noted")                      \
  X(NoticeHalf, Host, Nothing, true, "a log's notice half written")                               \
  X(NoticeWritten, Host, Nothing, true, "a notice written, not marked as news")                   \
  X(NoticesPublished, Host, Nothing, true, "all notices of a ring there, ring not released")      \
  X(RingReleased, Host, Nothing, true, "a ring released, nobody woken")                           \
  X(ClientWoken, Host, Nothing, true, "a client woken")                                           \
  X(ReadServed, Host, Return, false, "entries read for a client, answer not sent")                \
  X(ClientGone, Host, ClientDeath, false, "a client's end seen, ring not drained")                \
  X(RingDrained, Host, ClientDeath, false, "all that it had committed durable")                   \
  X(RingRemoved, Host, ClientDeath, false, "the WAL thread has its ring no more")                 \
  X(LogGivenBack, Host, ClientDeath, false, "one of its logs free")                               \
  X(LogsGivenBack, Host, ClientDeath, false, "all of its logs free, memory mapped")               \
  X(ClientUnmapped, Host, ClientDeath, false, "its rings unmapped")                               \
  X(SocketAsked, Host, Takeover, false, "a successor asks for the socket, nothing done")          \
  X(SocketGiven, Host, Takeover, false, "socket sent, still accepts")                             \
  X(SuccessorFlushed, Host, Takeover, false, "what was in the WAL flushed for a successor")       \
  X(ClientsReleased, Host, Takeover, false, "all clients let go, directory open")                 \
  X(DirectoryClosed, Host, Takeover, false, "the directory closed")                               \
  X(SuccessorTold, Host, Takeover, false, "the successor told where the WAL ends")                \
  X(SuccessorAsked, Host, Takeover, false, "the successor has asked for the socket")              \
  X(SuccessorHasSocket, Host, Takeover, false, "the successor has the socket")                    \
  X(SuccessorsTurn, Host, Takeover, false, "its predecessor has hung up")

enum class KillStep : std::uint8_t {
#define DURAMEN_KILL_STEP(name, side, needs, again, what) k##name,
  DURAMEN_KILL_STEPS(DURAMEN_KILL_STEP)
#undef DURAMEN_KILL_STEP
      kCount,
};
inline constexpr std::size_t kKillSteps = static_cast<std::size_t>(KillStep::kCount);

struct KillStepFacts {
  std::string_view name;
  KillSide side;
  KillNeeds needs;
  bool again;
  std::string_view what;
};

/// By number.
inline constexpr std::array<KillStepFacts, kKillSteps> kKillStepFacts = {{
#define DURAMEN_KILL_STEP(name, side, needs, again, what) \
  {#name, KillSide::k##side, KillNeeds::k##needs, again, what},
    DURAMEN_KILL_STEPS(DURAMEN_KILL_STEP)
#undef DURAMEN_KILL_STEP
}};

#if defined(DURAMEN_PLANTED_BUGS)
/// Any thread; the process may end here.
void Pass(KillStep step) noexcept;
#else
inline void Pass(KillStep) noexcept {}
#endif

}  // namespace duramen
