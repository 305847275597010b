// TL4: the table of clients in a statistics page.
#include "base/client_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "base/bytes.h"
#include "base/rng.h"

namespace duramen {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::byte> CopyOf(const ClientTable& table) {
  std::vector<std::byte> copy(sizeof table);
  std::memcpy(copy.data(), static_cast<const void*>(&table), sizeof table);
  return copy;
}

TEST(ClientTable, TL4_ARowIsAClients) {
  ClientTable table;
  EXPECT_THAT(ReadClients(CopyOf(table)), IsEmpty());
  ClientRow* row = table.Take({.pid = 77, .uid = 1000, .attached_ns = 5});
  ASSERT_NE(row, nullptr);
  row->logs.Set(3);
  row->logs_max.Set(9);
  row->records.Add(12);
  row->memory_bytes.Set(4096);
  std::vector<ClientRecord> clients = ReadClients(CopyOf(table));
  ASSERT_THAT(clients, SizeIs(1));
  EXPECT_EQ(clients[0].ordinal, 1u);
  EXPECT_EQ(clients[0].state, ClientState::kAttached);
  EXPECT_EQ(clients[0].pid, 77u);
  EXPECT_EQ(clients[0].uid, 1000u);
  EXPECT_EQ(clients[0].attached_ns, 5);
  EXPECT_EQ(clients[0].gone_ns, 0);
  EXPECT_EQ(clients[0].logs, 3u);
  EXPECT_EQ(clients[0].logs_max, 9u);
  EXPECT_EQ(clients[0].records, 12u);
  EXPECT_EQ(clients[0].memory_bytes, 4096u);
  row->SetReason("a gap");
  row->GiveBack(ClientState::kCutOff, 8);
  clients = ReadClients(CopyOf(table));
  ASSERT_THAT(clients, SizeIs(1));
  EXPECT_EQ(clients[0].state, ClientState::kCutOff);
  EXPECT_EQ(clients[0].gone_ns, 8);
  EXPECT_EQ(clients[0].records, 12u) << "it stays to be looked at";
  EXPECT_EQ(clients[0].reason, "a gap");
}

TEST(ClientTable, TL4_TheOldestThatIsGoneMakesRoomAndNoOther) {
  ClientTable table;
  std::vector<ClientRow*> rows;
  for (std::uint64_t i = 1; i <= ClientTable::kRows; ++i) {
    rows.push_back(table.Take({.pid = i}));
    ASSERT_NE(rows.back(), nullptr);
  }
  EXPECT_EQ(table.Take({.pid = 999}), nullptr) << "all are there";
  rows[7]->SetReason("it was another");
  rows[7]->records.Add(5);
  rows[7]->GiveBack(ClientState::kCutOff, 1);
  rows[3]->GiveBack(ClientState::kLeft, 2);
  EXPECT_EQ(table.Take({.pid = 1001}), rows[3]);
  EXPECT_EQ(table.Take({.pid = 1002}), rows[7]);
  EXPECT_EQ(table.Take({.pid = 1003}), nullptr);
  const std::vector<ClientRecord> clients = ReadClients(CopyOf(table));
  ASSERT_THAT(clients, SizeIs(ClientTable::kRows));
  EXPECT_EQ(clients.front().pid, 1u);
  EXPECT_EQ(clients.back().pid, 1002u);
  EXPECT_EQ(clients.back().ordinal, ClientTable::kRows + 2);
  EXPECT_EQ(clients.back().records, 0u) << "it begins with nothing";
  EXPECT_EQ(clients.back().reason, "");
}

TEST(ClientTable, TL4_AReasonIsCutBetweenCharacters) {
  ClientTable table;
  ClientRow* row = table.Take({.pid = 1});
  std::string reason(ClientRow::kReasonBytes - 2, 'x');
  row->SetReason(reason + "\xC3\xA9 and more");
  EXPECT_EQ(ReadClients(CopyOf(table))[0].reason, reason);
}

TEST(ClientTable, T3_ARowThatChangesHandsAndAnyBytesAreRead) {
  ClientTable table;
  (void)table.Take({.pid = 1});
  (void)table.Take({.pid = 2});
  std::vector<std::byte> copy = CopyOf(table);
  const std::size_t first = sizeof(ClientTable) - ClientTable::kRows * sizeof(ClientRow);
  copy[first] = std::byte{9};  // The ordinal in front is not that at the end.
  const std::vector<ClientRecord> clients = ReadClients(copy);
  ASSERT_THAT(clients, SizeIs(1));
  EXPECT_EQ(clients[0].pid, 2u);
  Rng rng(5);
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> bytes(rng.Next() % (sizeof(ClientTable) + 100));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.Next());
    EXPECT_THAT(ReadClients(bytes), IsEmpty());
    // And with rows that seem whole.
    for (std::size_t at = first; at + sizeof(ClientRow) <= bytes.size(); at += sizeof(ClientRow)) {
      StoreLe(bytes.data() + at, std::uint64_t{1});
      StoreLe(bytes.data() + at + 8, std::uint64_t{1 + rng.Next() % 3});
      StoreLe(bytes.data() + at + sizeof(ClientRow) - 8, std::uint64_t{1});
    }
    for (const ClientRecord& client : ReadClients(bytes)) EXPECT_EQ(client.ordinal, 1u);
  }
}

}  // namespace
}  // namespace duramen
