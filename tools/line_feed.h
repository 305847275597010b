// Lines of a text as commands to many clusters: line N goes to cluster N modulo their number.
//
// Owned by one run of `demo`; one thread. What stays true: in each cluster one line at a time is
// under way, in the order of the text and in a session, so that one whose fate is unknown is sent
// again and still stands there once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "duramen/system.h"
#include "tools/read_back.h"

namespace duramen::tools {

/// "lines". Command: a line. Answer: how many there are, so that one too many shows at once. A
/// query has all of them as its answer, each with a newline.
MachineType LineMachine();

/// What is wrong with `found`, which LineMachine answered; empty: nothing.
std::string CompareLines(std::string_view expected, std::string_view found);

class LineFeed {
 public:
  /// `system`, whose client it is, and `input` outlive it. Requires: clusters > 0.
  LineFeed(System& system, const InputText& input, std::uint64_t clusters);
  static std::string NameOf(std::uint64_t cluster);
  /// A session in each of them. Errors: those of System::OpenSession.
  Status OpenSessions(std::chrono::milliseconds patience);

  /// How far it may go: that part of the lines of each cluster. Before that it sends none.
  void LetTo(std::uint64_t part, std::uint64_t parts);
  /// Sends what can be sent.
  Status Fill();
  /// That, and takes what comes within some milliseconds. Errors: kTimeout: no line was
  /// acknowledged for so long; kCorruption: an answer that no single execution gives; what a
  /// cluster answered that is not to be sent again.
  Status Step(std::chrono::milliseconds patience);
  /// All that it may send is acknowledged.
  bool resting() const;

  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t under_way() const { return under_way_; }
  /// Whose fate was unknown, and that were sent again.
  std::uint64_t sent_again() const { return sent_again_; }
  /// From here on each cluster is to show that it goes on.
  void Mark();
  /// Each of them has acknowledged a line since Mark, or is to send none.
  bool all_went_on() const;
  /// Where the last line of that cluster stands.
  Token last_of(std::uint64_t cluster) const { return lanes_[cluster].last; }
  /// What its members have to hold.
  std::string LinesOf(std::uint64_t cluster) const;

 private:
  struct Lane {
    std::string name;
    std::uint64_t session = 0;
    std::uint64_t lines = 0;  // that are its
    std::uint64_t limit = 0;  // of them that may be sent
    std::uint64_t acknowledged = 0;
    std::uint64_t marked = 0;  // of them at Mark
    std::int64_t not_before_ns = 0;
    bool under_way = false;
    bool unknown = false;  // what became of the one that is next
    Token last;
    bool rests() const { return acknowledged == limit; }
  };

  std::string_view LineOf(std::uint64_t cluster, std::uint64_t position) const;
  Status Send(std::uint64_t cluster);
  Status Take(const Outcome& outcome);
  /// Notes that it has to be sent again. The error itself, if that would be no use.
  Status Again(Lane& lane, const Error& error);

  System& system_;
  const InputText& input_;
  Client client_;
  SystemClock clock_;
  std::vector<Lane> lanes_;
  std::uint64_t attempts_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t under_way_ = 0;
  std::uint64_t sent_again_ = 0;
  std::int64_t news_ns_ = 0;  // when a line was acknowledged last
};

}  // namespace duramen::tools
