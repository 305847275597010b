// The transcripts of tests/testdata/raft: each plays a figure or an argument of the Raft paper or
// the dissertation, a rule of docs/rules.md or a scenario, and reads as its documentation.
// REWRITE=1 writes what the core does now; read it before it is believed.
#include "tests/server/core/transcript.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace duramen::core {
namespace {

std::string Folder() { return std::string(DURAMEN_SOURCE_DIR) + "/tests/testdata/raft/"; }

void Plays(const std::string& name) {
  const std::string path = Folder() + name + ".txt";
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  const std::string played = Transcript().Play(text.str());
  if (std::getenv("REWRITE") != nullptr) std::ofstream(path) << played;
  EXPECT_EQ(text.str(), played) << "run this test with REWRITE=1, and read the difference";
}

TEST(Transcript, RE5_Dissertation1021ParallelDisk) { Plays("dissertation_10_2_1_parallel_disk"); }
TEST(Transcript, EL6_Dissertation310Transfer) { Plays("dissertation_3_10_transfer"); }
TEST(Transcript, ME6_R7_Dissertation41BugOf2015) { Plays("dissertation_4_1_bug_of_2015"); }
TEST(Transcript, ME1_ME2_ME5_ME9_Dissertation41OneAtATime) {
  Plays("dissertation_4_1_one_at_a_time");
}
TEST(Transcript, EL10_ME2_Dissertation421CatchingUp) { Plays("dissertation_4_2_1_catching_up"); }
TEST(Transcript, ME3_ME4_R7_Dissertation422LeaderLeaves) {
  Plays("dissertation_4_2_2_leader_leaves");
}
TEST(Transcript, EL3_EL11_R3_Dissertation423Disruptive) { Plays("dissertation_4_2_3_disruptive"); }
TEST(Transcript, EL4_Dissertation62CheckQuorum) { Plays("dissertation_6_2_check_quorum"); }
TEST(Transcript, RD3_R8_Dissertation64ReadIndex) { Plays("dissertation_6_4_read_index"); }
TEST(Transcript, EL2_R24_Dissertation96PreVote) { Plays("dissertation_9_6_pre_vote"); }
TEST(Transcript, ME3_Me3WouldBreakTheQuorum) { Plays("me3_would_break_the_quorum"); }
TEST(Transcript, ME4_Me4AReadOfTheLastDays) { Plays("me4_a_read_of_the_last_days"); }
TEST(Transcript, ME8_Me8Force) { Plays("me8_force"); }
TEST(Transcript, EL11_Raft52EachVotesOnce) { Plays("raft_5_2_each_votes_once"); }
TEST(Transcript, EL2_EL8_EL9_Raft52Election) { Plays("raft_5_2_election"); }
TEST(Transcript, EL7_R2_Raft52SplitVote) { Plays("raft_5_2_split_vote"); }
TEST(Transcript, RE4_Raft53Replication) { Plays("raft_5_3_replication"); }
TEST(Transcript, RE2_RE3_Raft53SlowStart) { Plays("raft_5_3_slow_start"); }
TEST(Transcript, EL2_Raft541Restriction) { Plays("raft_5_4_1_restriction"); }
TEST(Transcript, RE4_Raft55RepeatedMessages) { Plays("raft_5_5_repeated_messages"); }
TEST(Transcript, RE6_ME10_Raft7Snapshot) { Plays("raft_7_snapshot"); }
TEST(Transcript, RE6_Raft7SnapshotOfADivergedLog) { Plays("raft_7_snapshot_of_a_diverged_log"); }
TEST(Transcript, EL8_RD3_Raft8NoOpFirst) { Plays("raft_8_no_op_first"); }
TEST(Transcript, RE5_RaftFigure6) { Plays("raft_figure_6"); }
TEST(Transcript, RE3_RaftFigure7) { Plays("raft_figure_7"); }
TEST(Transcript, RE5_RaftFigure8D) { Plays("raft_figure_8_d"); }
TEST(Transcript, RE5_RaftFigure8E) { Plays("raft_figure_8_e"); }
TEST(Transcript, RE3_RE4_RaftLogMatching) { Plays("raft_log_matching"); }
TEST(Transcript, A15_R23_RuleA15WipedMember) { Plays("rule_A15_wiped_member"); }
TEST(Transcript, A16_EL5_RuleA16PromiseKept) { Plays("rule_A16_promise_kept"); }
TEST(Transcript, A16_RuleA16PromiseOutlivesTerm) { Plays("rule_A16_promise_outlives_term"); }
TEST(Transcript, A16_RuleA16TransferEndsTheLease) { Plays("rule_A16_transfer_ends_the_lease"); }
TEST(Transcript, A16_RuleA16WalDoesNotEndAPromise) { Plays("rule_A16_wal_does_not_end_a_promise"); }
TEST(Transcript, A19_R1_RE1_RuleA19DivergedTail) { Plays("rule_A19_diverged_tail"); }
TEST(Transcript, A19_RuleA19EmptyAppend) { Plays("rule_A19_empty_append"); }
TEST(Transcript, A1_RuleA1LostVote) { Plays("rule_A1_lost_vote"); }
TEST(Transcript, A21_RuleA21UnknownCandidate) { Plays("rule_A21_unknown_candidate"); }
TEST(Transcript, A21_RuleA21UnknownLeader) { Plays("rule_A21_unknown_leader"); }
TEST(Transcript, A3_RuleA3DamageDuringRepair) { Plays("rule_A3_damage_during_repair"); }
TEST(Transcript, A3_RuleA3DamageWhileLeading) { Plays("rule_A3_damage_while_leading"); }
TEST(Transcript, A3_R19_RuleA3FaultyMember) { Plays("rule_A3_faulty_member"); }
TEST(Transcript, A3_RuleA3HealIsOfTheFault) { Plays("rule_A3_heal_is_of_the_fault"); }
TEST(Transcript, A3_RuleA3NoVote) { Plays("rule_A3_no_vote"); }
TEST(Transcript, A3_RuleA3QuorumSizesStay) { Plays("rule_A3_quorum_sizes_stay"); }
TEST(Transcript, A3_RuleA3SecondRestart) { Plays("rule_A3_second_restart"); }
TEST(Transcript, A4_RuleA4OldAnswers) { Plays("rule_A4_old_answers"); }
TEST(Transcript, A4_RuleA4RestartedMember) { Plays("rule_A4_restarted_member"); }
TEST(Transcript, B6_RE9_RuleB6QuietDeath) { Plays("rule_B6_quiet_death"); }
TEST(Transcript, B6_RuleB6TheLeaderAsks) { Plays("rule_B6_the_leader_asks"); }
TEST(Transcript, C11_ME10_R6_RuleC11ChangesOverwritten) { Plays("rule_C11_changes_overwritten"); }
TEST(Transcript, C13_R11_RuleC13WalDown) { Plays("rule_C13_wal_down"); }
TEST(Transcript, C3_RuleC3OnlyAContradictionCuts) { Plays("rule_C3_only_a_contradiction_cuts"); }
TEST(Transcript, EL6_R10_ScenarioR10TransferFails) { Plays("scenario_R10_transfer_fails"); }
TEST(Transcript, EL4_R13_ScenarioR13OneWay) { Plays("scenario_R13_one_way"); }
TEST(Transcript, SM8_R15_ScenarioR15MachineVersions) { Plays("scenario_R15_machine_versions"); }
TEST(Transcript, RE1_RE2_R20_ScenarioR20StalledPeer) { Plays("scenario_R20_stalled_peer"); }
TEST(Transcript, R21_ScenarioR21ACandidateToo) { Plays("scenario_R21_a_candidate_too"); }
TEST(Transcript, C13_R21_ScenarioR21StepDownKeepsTheVote) {
  Plays("scenario_R21_step_down_keeps_the_vote");
}
TEST(Transcript, R22_ScenarioR22ReadInFlight) { Plays("scenario_R22_read_in_flight"); }
TEST(Transcript, A4_R22_ScenarioR22AnswerToAnEarlierLife) {
  Plays("scenario_R22_answer_to_an_earlier_life");
}
TEST(Transcript, R24_ScenarioR24HugeTerm) { Plays("scenario_R24_huge_term"); }
TEST(Transcript, EL10_R5_ScenarioR5MutualPreVotes) { Plays("scenario_R5_mutual_pre_votes"); }
TEST(Transcript, C11_R6_ScenarioR6OverwrittenByAChange) {
  Plays("scenario_R6_overwritten_by_a_change");
}
TEST(Transcript, RD3_R8_ScenarioR8IsolatedLeader) { Plays("scenario_R8_isolated_leader"); }
TEST(Transcript, A16_RD4_R9_ScenarioR9Lease) { Plays("scenario_R9_lease"); }
TEST(Transcript, SM8_Sm8Alone) { Plays("sm8_alone"); }
TEST(Transcript, SM8_Sm8UpgradeByQuorum) { Plays("sm8_upgrade_by_quorum"); }

TEST(Transcript, EveryFileIsPlayed) {
  std::ifstream file(std::string(DURAMEN_SOURCE_DIR) + "/tests/server/core/transcript_test.cc");
  std::ostringstream text;
  text << file.rdbuf();
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
    if (entry.path().extension() != ".txt") continue;
    ++found;
    EXPECT_NE(text.str().find("\"" + entry.path().stem().string() + "\""), std::string::npos)
        << entry.path();
  }
  EXPECT_GE(found, 60);
}

}  // namespace
}  // namespace duramen::core
