#include "tests/server/core/message_page.h"

#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include "base/check.h"
#include "server/core/message_table.h"

namespace duramen::core {
namespace {

constexpr std::string_view kHead = R"(# Who does what with which message

Printed from `server/core/message_table.cc`, which `Core::Step` goes by; a test holds the core
against each cell (`MessageTable.R4_*`), and this page against the table (`REWRITE=1` writes it).

A row is the receiver's role; a column is the term in the message against the receiver's own.

| word | what the receiver does |
|---|---|
| **drop** | nothing: no answer, no change |
| **refuse** | answers once, with its own term and a no; changes nothing |
| **handle** | deals with it in the role that it has |
| **yield** | follows the sender in the term they share, then deals with it |
| **adopt** | follows nobody in the newer term, durably before it speaks; then *follower*, *same* |

A server whose WAL is **down** can store nothing, so it says nothing, whatever it is sent [C13].

## Before the table
What is looked at first, in this order; where one of these applies, the table is not asked.

1. Of another cluster, for another uid, from nobody, with a field out of range, or with a term more
   than 2^40 above its own: dropped, and counted in `insane_messages` [A15, R24].
2. From an earlier boot of a member than was seen: dropped, and counted in `void_messages` [A4].
   From a later one: all that is known of the former life is forgotten first, and a leader that
   restarted leads no more [B6].
3. A request for a vote or pre-vote from whom the receiver follows: it does not lead, so it is
   followed no more [B6].
4. A request for a vote or pre-vote while the receiver hears a leader, or leads and is heard by a
   quorum, or within an election timeout of having answered one: refused, unless it is part of a
   transfer [A16]. A stranger's request for a vote is also refused by a leader that began to lead,
   or woke from silence, within an election timeout [EL11].
5. Of who is no member: entries, snapshots and requests for votes go on to the table; the rest is
   dropped [A21].

## The table
)";

struct Sentence {
  std::string_view message;
  std::string_view word;
  std::string_view meaning;
};

constexpr std::string_view kOtherRole =
    "It answers a question of a role that the receiver is not in.";
constexpr std::string_view kNewerAnswer =
    "The sender is in a newer term: whatever was asked is void, and only its term counts.";

constexpr Sentence kSentences[] = {
    {"PreVoteRequest", "handle",
     "Answers whether it would vote: yes if the proposed term is above its own, the sender's "
     "log is at least as long as its own, and it is sound. A pre-vote moves nobody's term, so "
     "the sender's own does not matter."},
    {"PreVoteRequest", "refuse",
     "It leads in a term no older than the sender's, and the answer says which."},
    {"PreVoteReply", "handle",
     "Counts once for its sender, if it carries the token of this round; a quorum of them "
     "starts the election."},
    {"PreVoteReply", "drop", kOtherRole},
    {"PreVoteReply", "adopt", kNewerAnswer},
    {"VoteRequest", "handle",
     "Votes, if it has not voted for another in this term, the sender's log is at least as "
     "long as its own, and it is sound; the answer waits until the vote is durable."},
    {"VoteRequest", "refuse",
     "The sender's term is over, or the receiver has voted for itself in it."},
    {"VoteRequest", "adopt",
     "Takes the term, then votes or not as a follower that has not voted in it."},
    {"VoteReply", "handle",
     "Counts once for its sender; a quorum, with the own vote durable, leads."},
    {"VoteReply", "drop",
     "It was said in an older term, or to a candidate that the receiver is no longer."},
    {"VoteReply", "adopt", kNewerAnswer},
    {"AppendEntries", "handle",
     "Follows the sender if it followed nobody in this term; takes what is new, cuts what "
     "contradicts it, and acknowledges what is written and checked, or refuses with a hint "
     "where they may agree."},
    {"AppendEntries", "refuse", "The sender leads no more, and the answer's term tells it so."},
    {"AppendEntries", "drop", "No term has two leaders, so this comes from none."},
    {"AppendEntries", "yield", "Another has won this term: takes its entries like a follower."},
    {"AppendEntries", "adopt",
     "Takes the term and its leader, known or not, and then its entries."},
    {"AppendReply", "handle",
     "Notes what the sender has and which round it answered; commits, serves reads, promotes, "
     "hands over."},
    {"AppendReply", "drop",
     "It was said in an older term, or to a leader that the receiver is no longer."},
    {"AppendReply", "adopt", kNewerAnswer},
    {"TimeoutNow", "handle",
     "If it comes from whom it follows: campaigns at once, without a pre-vote."},
    {"TimeoutNow", "drop",
     "The term in which somebody let go is over, or the receiver follows nobody."},
    {"TimeoutNow", "adopt",
     "Takes the term; but it does not know the sender for a leader, so it does not campaign."},
    {"ReadRequest", "handle",
     "Starts a round after which the asker may read, or lets it ride on the next."},
    {"ReadRequest", "refuse", "It does not lead, or in another term than the asker thinks."},
    {"ReadRequest", "adopt", "Takes the term, in which it does not lead, and so says no."},
    {"ReadReply", "handle",
     "If it comes from whom it follows and answers an open question: the read waits for the "
     "machine to get there, or fails."},
    {"ReadReply", "drop", "The question was asked in a term or a role that is over."},
    {"ReadReply", "adopt", kNewerAnswer},
    {"InstallSnapshot", "handle",
     "Follows the sender if it followed nobody in this term; asks for the snapshot, or says "
     "that it is already further."},
    {"InstallSnapshot", "refuse", "The sender leads no more, and the answer's term tells it so."},
    {"InstallSnapshot", "drop", "No term has two leaders, so this comes from none."},
    {"InstallSnapshot", "yield", "Another has won this term: takes its snapshot like a follower."},
    {"InstallSnapshot", "adopt",
     "Takes the term and its leader, known or not, and then its snapshot."},
    {"InstallReply", "handle",
     "If it is of the transfer that is under way: notes what the sender has now, and sends "
     "what comes after."},
    {"InstallReply", "drop",
     "It was said in an older term, or to a leader that the receiver is no longer."},
    {"InstallReply", "adopt", kNewerAnswer},
};

std::string_view MeaningOf(std::string_view message, std::string_view word) {
  for (const Sentence& sentence : kSentences) {
    if (sentence.message == message && sentence.word == word) return sentence.meaning;
  }
  CheckFailed(__FILE__, __LINE__, "a cell of the table has no sentence");
}

}  // namespace

std::string MessagePage() {
  std::ostringstream page;
  page << kHead;
  std::size_t told = 0;
  for (std::size_t kind = 0; kind < kMessageKinds; ++kind) {
    page << "\n### " << NameOfMessage(kind)
         << "\n| role | older | same | newer |\n|---|---|---|---|\n";
    std::set<Disposition> used;
    for (std::size_t role = 0; role < kRoleKinds; ++role) {
      page << "| " << NameOf(static_cast<RoleKind>(role));
      for (std::size_t relation = 0; relation < 3; ++relation) {
        const Disposition cell =
            DispositionOf(static_cast<RoleKind>(role), kind, static_cast<TermRelation>(relation));
        page << " | " << NameOf(cell);
        if (static_cast<RoleKind>(role) != RoleKind::kDown) used.insert(cell);
      }
      page << " |\n";
    }
    page << "\n";
    for (const Disposition word : used) {
      page << "- *" << NameOf(word) << "*: " << MeaningOf(NameOfMessage(kind), NameOf(word))
           << "\n";
      ++told;
    }
  }
  CHECK(told == std::size(kSentences));
  return page.str();
}

}  // namespace duramen::core
