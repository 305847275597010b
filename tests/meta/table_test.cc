#include "meta/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"

namespace duramen::meta {
namespace {

ServerUid Uid(std::uint8_t number) {
  ServerUid uid;
  uid.bytes.fill(number);
  return uid;
}

IdentityRow Identity(std::uint8_t uid, const std::string& name, std::uint64_t incarnation) {
  return {Uid(uid), name, "node", 5, incarnation};
}

std::vector<CarriedRow> CarryAll(const Table& table, std::uint64_t file_max) {
  return table.RowsNewestIn(0, file_max == UINT64_MAX ? file_max : file_max + 1);
}

/// Everything that says something, as text: what must be equal for two tables to be the same.
std::map<std::string, std::vector<std::byte>> Contents(const Table& table) {
  std::map<std::string, std::vector<std::byte>> contents;
  for (const CarriedRow& row : CarryAll(table, UINT64_MAX)) {
    std::string key = row.uid.ToString() + "/" + RowKindName(row.kind);
    if (row.kind == RowKind::kValue) {
      key += "/" + std::get<ValueRow>(*DecodeRow(5, row.payload)).key;
    }
    contents[key + "#" + std::to_string(row.sequence)] = row.payload;
  }
  return contents;
}

TEST(MetaTable, MD1_ANewerRowReplacesItsComponentOnly) {
  Table table;
  EXPECT_EQ(table.Apply({Uid(1), 1, 1}, Identity(1, "a", 1)), Applied::kReplaced);
  EXPECT_EQ(table.Apply({Uid(1), 2, 1}, VoteRow{4, "x"}), Applied::kReplaced);
  EXPECT_EQ(table.Apply({Uid(1), 3, 1}, LastAppliedRow{9}), Applied::kReplaced);
  EXPECT_EQ(table.Apply({Uid(1), 4, 2}, VoteRow{5, ""}), Applied::kReplaced);
  EXPECT_EQ(table.Apply({Uid(1), 2, 3}, VoteRow{4, "x"}), Applied::kOlder);
  const ServerRows* const server = table.Find(Uid(1));
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(server->vote, (VoteRow{5, ""}));
  EXPECT_EQ(server->last_applied.index, 9u);
  EXPECT_EQ(server->highest_sequence, 4u);
  EXPECT_EQ(table.Find(Uid(2)), nullptr);
}

TEST(MetaTable, MD1_TheNewestFlushedRowHoldsAndIsCarried) {
  Table table;
  table.Apply({Uid(1), 3, 1}, FlushedRow{2, 4096, 50, 4, 1});
  EXPECT_EQ(table.Apply({Uid(1), 2, 2}, FlushedRow{1, 512, 9, 1, 0}), Applied::kOlder);
  EXPECT_EQ(table.Find(Uid(1))->flushed, (FlushedRow{2, 4096, 50, 4, 1}));
  const std::vector<CarriedRow> carried = CarryAll(table, 1);
  ASSERT_EQ(carried.size(), 1u);
  EXPECT_EQ(carried[0].kind, RowKind::kFlushed);
  table.Apply({Uid(1), 4, 2}, TombstoneRow{});
  EXPECT_EQ(table.Find(Uid(1))->flushed, FlushedRow{});
}

TEST(MetaTable, MD1_ACopyOnlyMovesTheFileForward) {
  Table table;
  table.Apply({Uid(1), 1, 3}, VoteRow{1, "x"});
  EXPECT_EQ(table.Apply({Uid(1), 1, 7}, VoteRow{1, "x"}), Applied::kCopy);
  EXPECT_EQ(table.Apply({Uid(1), 1, 5}, VoteRow{1, "x"}), Applied::kCopy);
  EXPECT_EQ(table.Find(Uid(1))->stamp(RowKind::kVote).file, 7u);
  EXPECT_TRUE(CarryAll(table, 6).empty());
  EXPECT_EQ(CarryAll(table, 7).size(), 1u);
}

TEST(MetaTable, MD1_EveryKeyIsAComponent) {
  Table table;
  table.Apply({Uid(1), 1, 1}, ValueRow{"a", "1"});
  table.Apply({Uid(1), 2, 2}, ValueRow{"b", "2"});
  table.Apply({Uid(1), 3, 3}, ValueRow{"a", "3"});
  EXPECT_EQ(table.Find(Uid(1))->values.at("a").value, "3");
  const std::vector<CarriedRow> carried = CarryAll(table, 2);
  ASSERT_EQ(carried.size(), 1u);
  EXPECT_EQ(carried[0].sequence, 2u);
  EXPECT_EQ(*DecodeRow(5, carried[0].payload), Row(ValueRow{"b", "2"}));
}

// Originals, repeats and carried copies in any order and number: the same table (crash and replay).
TEST(MetaTable, MD1_AnyOrderOfCopiesGivesTheSameTable) {
  Rng rng(7);
  for (int round = 0; round < 100; ++round) {
    std::vector<std::pair<StampedRow, Row>> rows;
    for (std::uint8_t server = 1; server <= 3; ++server) {
      std::uint64_t sequence = 0;
      const auto add = [&](const Row& row) {
        ++sequence;
        rows.push_back({{Uid(server), sequence, 1 + rng.Below(5)}, row});
      };
      add(Identity(server, "name", server));
      for (int i = 0; i < 10; ++i) {
        if (rng.OneIn(3)) add(VoteRow{rng.Below(9), "v"});
        if (rng.OneIn(3)) add(BoundsRow{1 + rng.Below(9), 0, 20, 1, rng.Below(4)});
        const std::string key = "k" + std::to_string(rng.Below(3));
        if (rng.OneIn(2)) add(ValueRow{key, rng.OneIn(3) ? "" : "v"});
        if (rng.OneIn(4)) add(FaultyRow{rng.Below(2), 0, false, "r"});
      }
      if (rng.OneIn(3)) add(TombstoneRow{});
    }
    Table once;
    for (const auto& [at, row] : rows) once.Apply(at, row);
    std::vector<std::pair<StampedRow, Row>> copies = rows;
    for (const auto& row : rows) {
      if (rng.OneIn(2)) copies.push_back(row);
    }
    for (std::size_t i = copies.size(); i > 1; --i) std::swap(copies[i - 1], copies[rng.Below(i)]);
    Table shuffled;
    for (const auto& [at, row] : copies) shuffled.Apply(at, row);
    ASSERT_EQ(Contents(shuffled), Contents(once));
    ASSERT_EQ(shuffled.FindByName("name"), once.FindByName("name"));
    for (const auto& [uid, server] : once.servers()) {
      ASSERT_EQ(shuffled.Find(uid)->highest_sequence, server.highest_sequence);
    }
  }
}

TEST(MetaTable, MD1_CarryingMissesNothing) {
  Table table;
  std::size_t components = 0;
  for (std::uint8_t server = 1; server <= 9; ++server) {
    table.Apply({Uid(server), 1, 1}, Identity(server, "n" + std::to_string(server), server));
    table.Apply({Uid(server), 2, 1}, VoteRow{1, "x"});
    table.Apply({Uid(server), 3, 1}, FaultyRow{1, 0, false, "f"});
    components += 3;
    for (int key = 0; key < server; ++key, ++components) {
      table.Apply({Uid(server), 4u + key, 1}, ValueRow{"k" + std::to_string(key), "v"});
    }
  }
  const std::vector<CarriedRow> whole = CarryAll(table, 1);
  EXPECT_EQ(whole.size(), components);
}

// A carried row is durable in the new file before the old one goes; then nothing points there.
TEST(MetaTable, MD1_AfterCarryingNothingIsNewestInTheOldFile) {
  Table table;
  table.Apply({Uid(1), 1, 1}, Identity(1, "a", 1));
  table.Apply({Uid(1), 2, 1}, VoteRow{3, "x"});
  table.Apply({Uid(1), 3, 2}, LastAppliedRow{8});
  const auto before = Contents(table);
  for (const CarriedRow& row : CarryAll(table, 1)) {
    const Row decoded = *DecodeRow(static_cast<std::uint8_t>(row.kind), row.payload);
    EXPECT_EQ(table.Apply({row.uid, row.sequence, 4}, decoded), Applied::kCopy);
  }
  EXPECT_TRUE(CarryAll(table, 1).empty());
  EXPECT_EQ(Contents(table), before);
}

// Rule C9.
TEST(MetaTable, MD1_TheNewestIncarnationOfANameWins) {
  Table table;
  table.Apply({Uid(2), 1, 1}, Identity(2, "a", 9));
  table.Apply({Uid(1), 1, 1}, Identity(1, "a", 4));
  table.Apply({Uid(3), 1, 1}, Identity(3, "ab", 11));
  EXPECT_EQ(table.FindByName("a"), Uid(2));
  EXPECT_EQ(table.FindByName("ab"), Uid(3));
  EXPECT_EQ(table.FindByName(""), std::nullopt);
  EXPECT_EQ(table.FindByName("b"), std::nullopt);
  EXPECT_EQ(table.highest_incarnation(), 11u);
  table.Apply({Uid(1), 2, 1}, TombstoneRow{});
  table.Apply({Uid(3), 2, 1}, TombstoneRow{});
  EXPECT_EQ(table.FindByName("a"), Uid(2));
  EXPECT_EQ(table.FindByName("ab"), std::nullopt);
}

// Rule A18: nothing but a tombstone deletes, and it is not dropped while a copy of an older row may
// come back from a file that is still there.
TEST(MetaTable, MD2_ATombstoneOutlivesEveryOlderCopy) {
  Table table;
  table.Apply({Uid(1), 1, 1}, Identity(1, "a", 1));
  table.Apply({Uid(1), 2, 2}, VoteRow{3, "x"});
  table.Apply({Uid(1), 3, 3}, TombstoneRow{});
  // A copy of the vote, carried by another ring, landed after the tombstone.
  EXPECT_EQ(table.Apply({Uid(1), 2, 5}, VoteRow{3, "x"}), Applied::kDeleted);
  ASSERT_TRUE(table.Find(Uid(1))->deleted());

  const std::vector<CarriedRow> carried = CarryAll(table, 3);
  ASSERT_EQ(carried.size(), 1u);
  EXPECT_EQ(carried[0].kind, RowKind::kTombstone);
  EXPECT_TRUE(table.Forget(3).empty()) << "the vote in file 5 would be a server again";
  table.Apply({Uid(1), 3, 6}, TombstoneRow{});
  EXPECT_TRUE(table.Forget(5).empty());
  EXPECT_EQ(CarryAll(table, 6).size(), 1u) << "its directory may still be there";
  EXPECT_EQ(table.Forget(6), std::vector<ServerUid>{Uid(1)});
  EXPECT_EQ(table.Find(Uid(1)), nullptr);
}

TEST(MetaTable, MD2_ADeletedServerIsItsTombstoneAlone) {
  Table table;
  table.Apply({Uid(1), 1, 1}, Identity(1, "a", 1));
  table.Apply({Uid(1), 2, 4}, ValueRow{"k", "v"});
  table.Apply({Uid(1), 3, 3}, TombstoneRow{});
  EXPECT_TRUE(table.Find(Uid(1))->values.empty());
  EXPECT_FALSE(table.Find(Uid(1))->has(RowKind::kIdentity));
  EXPECT_EQ(table.Apply({Uid(1), 9, 3}, VoteRow{8, "late"}), Applied::kDeleted);
  EXPECT_EQ(table.Find(Uid(1))->highest_sequence, 9u);
  EXPECT_EQ(CarryAll(table, 3).size(), 1u) << "the value in file 4 is an older copy";
  EXPECT_EQ(table.FindByName("a"), std::nullopt);
}

TEST(MetaTable, MD2_ARemovedKeyDoesNotComeBack) {
  Table table;
  table.Apply({Uid(1), 1, 1}, ValueRow{"k", "v"});
  table.Apply({Uid(1), 2, 2}, ValueRow{"k", ""});
  table.Apply({Uid(1), 1, 3}, ValueRow{"k", "v"});  // A copy that was carried meanwhile.
  EXPECT_EQ(table.Find(Uid(1))->values.at("k").value, "");
  ASSERT_EQ(CarryAll(table, 2).size(), 1u);
  table.Forget(2);
  EXPECT_EQ(table.Find(Uid(1))->values.size(), 1u);
  table.Apply({Uid(1), 2, 4}, ValueRow{"k", ""});
  EXPECT_TRUE(CarryAll(table, 4).empty());
  table.Forget(4);
  EXPECT_TRUE(table.Find(Uid(1))->values.empty());
}

TEST(MetaTable, MD2_AFaultIsCarriedUntilItIsOverAndItsEndUntilItIsTheLast) {
  Table table;
  table.Apply({Uid(1), 1, 1}, FaultyRow{5, 9, false, "damage"});
  EXPECT_EQ(CarryAll(table, 1).size(), 1u);
  table.Apply({Uid(1), 1, 2}, FaultyRow{5, 9, false, "damage"});
  table.Apply({Uid(1), 2, 2}, FaultyRow{});
  EXPECT_FALSE(table.Find(Uid(1))->faulty.faulty());
  EXPECT_TRUE(CarryAll(table, 2).empty());
  table.Forget(2);
  EXPECT_FALSE(table.Find(Uid(1))->has(RowKind::kFaulty));
}

/// A system that writes rows, rolls, carries and recycles at random. The disk is the rows in the
/// files that are left; a restart is a replay of them.
class System {
 public:
  explicit System(std::uint64_t seed) : rng_(seed) {}

  void WriteSome() {
    for (std::uint64_t left = rng_.Below(20); left > 0; --left) {
      WriteOne(static_cast<std::uint8_t>(1 + rng_.Below(6)));
      if (rng_.OneIn(10)) ++file_;
    }
  }

  /// Carries and recycles; writes go on in between, so carried copies may land behind newer rows.
  void Recycle() {
    if (file_ < 3) return;
    const std::uint64_t recycled = file_ - 1 - rng_.Below(2);
    const std::vector<CarriedRow> carried = CarryAll(table_, recycled);
    WriteSome();
    for (const CarriedRow& row : carried) {
      Write(row.uid, row.sequence, *DecodeRow(static_cast<std::uint8_t>(row.kind), row.payload));
    }
    // A crash may stop the recycling at any file.
    for (std::uint64_t upto = 0; upto <= recycled; ++upto) {
      disk_.erase(std::remove_if(disk_.begin(), disk_.end(),
                                 [upto](const Copy& copy) { return copy.at.file <= upto; }),
                  disk_.end());
      ASSERT_NO_FATAL_FAILURE(CheckRestart());
    }
    table_.Forget(recycled);
    ASSERT_NO_FATAL_FAILURE(CheckRestart());
  }

 private:
  struct Copy {
    StampedRow at;
    Row row;
  };

  void Write(const ServerUid& uid, std::uint64_t sequence, const Row& row) {
    disk_.push_back({{uid, sequence, file_}, row});
    table_.Apply(disk_.back().at, row);
  }

  void WriteOne(std::uint8_t number) {
    const ServerRows* const server = table_.Find(Uid(number));
    std::uint64_t& sequence = sequences_[number];
    if (server == nullptr && sequence != 0) return;  // Forgotten; a uid is never used again.
    if (server != nullptr && server->deleted()) return;
    ++sequence;
    switch (server == nullptr ? 0 : 1 + rng_.Below(40)) {
      case 0:
        return Write(Uid(number), sequence, Identity(number, "n", number));
      case 1:
        return Write(Uid(number), sequence, TombstoneRow{});
      case 2:
        return Write(Uid(number), sequence, LastAppliedRow{sequence});
      case 3:
        return Write(Uid(number), sequence, VoteRow{sequence, "v"});
      case 4:
        return Write(Uid(number), sequence, FaultyRow{rng_.Below(2), 0, false, "f"});
      default:
        return Write(Uid(number), sequence, ValueRow{"k", rng_.OneIn(2) ? "" : "v"});
    }
  }

  static std::string ValueOf(const ServerRows& rows) {
    const auto found = rows.values.find("k");
    return found == rows.values.end() ? "" : found->second.value;
  }

  void CheckRestart() const {
    Table replayed;
    for (const Copy& copy : disk_) replayed.Apply(copy.at, copy.row);
    ASSERT_EQ(replayed.FindByName("n"), table_.FindByName("n"));
    for (const auto& [uid, rows] : table_.servers()) {
      if (rows.deleted()) continue;
      const ServerRows* const again = replayed.Find(uid);
      ASSERT_NE(again, nullptr);
      ASSERT_EQ(again->identity, rows.identity);
      ASSERT_EQ(again->vote, rows.vote);
      ASSERT_EQ(again->last_applied, rows.last_applied);
      ASSERT_EQ(again->faulty.faulty(), rows.faulty.faulty());
      ASSERT_EQ(ValueOf(*again), ValueOf(rows));
    }
    for (const auto& [uid, rows] : replayed.servers()) {
      const ServerRows* const known = table_.Find(uid);
      ASSERT_EQ(rows.deleted(), known == nullptr || known->deleted()) << "back from the dead";
    }
  }

  Rng rng_;
  std::vector<Copy> disk_;
  Table table_;
  std::map<std::uint8_t, std::uint64_t> sequences_;
  std::uint64_t file_ = 1;
};

TEST(MetaTable, MD2_AReplayOfTheLiveFilesIsTheTable) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    System system(seed);
    for (int round = 0; round < 25; ++round) {
      system.WriteSome();
      ASSERT_NO_FATAL_FAILURE(system.Recycle());
    }
  }
}

}  // namespace
}  // namespace duramen::meta
