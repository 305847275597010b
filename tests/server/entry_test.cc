#include "server/entry.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace duramen::server {
namespace {

core::Configuration ThreeMembers() {
  core::Configuration configuration;
  Rng rng(1);
  for (const core::MemberRole role :
       {core::MemberRole::kVoter, core::MemberRole::kPromotable, core::MemberRole::kNonVoter}) {
    configuration =
        configuration.With({.uid = rng.NextUid(), .role = role, .promote_at = 7, .node = "host:1"});
  }
  return configuration;
}

TEST(Entry, ME10_AConfigurationIsReadAsItWasWritten) {
  const core::SpecialEntry special{.index = 9, .configuration = ThreeMembers()};
  const Payload payload = EncodeSpecial(special);
  EXPECT_EQ(payload.kind, kMembersKind);
  const Result<core::SpecialEntry> read = DecodeSpecial(9, payload.kind, payload.bytes);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, special);
}

TEST(Entry, CT5_NoCutAndNoOtherKindIsTakenForIt) {
  const Payload payload = EncodeSpecial({.index = 9, .configuration = ThreeMembers()});
  for (std::size_t size = 0; size < payload.bytes.size(); ++size) {
    EXPECT_FALSE(DecodeSpecial(9, kMembersKind, Bytes(payload.bytes).first(size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeSpecial(9, kVersionKind, payload.bytes).ok());
  EXPECT_FALSE(DecodeSpecial(9, kCommandKind, payload.bytes).ok());
  const std::vector<std::byte> birth = EncodeBirth({.cluster = 5, .configuration = ThreeMembers()});
  ASSERT_TRUE(DecodeBirth(birth).ok());
  EXPECT_EQ(DecodeBirth(birth)->cluster, 5U);
  for (std::size_t size = 0; size < birth.size(); ++size) {
    EXPECT_FALSE(DecodeBirth(Bytes(birth).first(size)).ok()) << size;
  }
}

/// What a message says of its entries and what it carries are held against each other before either
/// is used.
TEST(Entry, CT5_AMessageWhosePayloadsSayOtherwiseIsRefused) {
  core::AppendEntries append{.previous = {1, 4}, .runs = {{2, 3}}};
  append.specials = {{.index = 6, .configuration = ThreeMembers()}};
  std::vector<Payload> payloads(3);
  payloads[1] = EncodeSpecial(append.specials[0]);
  EXPECT_TRUE(Agrees(append, payloads));
  std::vector<Payload> other = payloads;
  other.pop_back();
  EXPECT_FALSE(Agrees(append, other)) << "one is missing";
  other = payloads;
  other[0] = payloads[1];
  EXPECT_FALSE(Agrees(append, other)) << "a special entry that is not announced";
  other = payloads;
  other[1].kind = kCommandKind;
  EXPECT_FALSE(Agrees(append, other)) << "an announced one that is not there";
  other = payloads;
  other[1] = EncodeSpecial({.index = 6, .machine_version = 3});
  EXPECT_FALSE(Agrees(append, other)) << "another one than announced";
}

}  // namespace
}  // namespace duramen::server
