// Somebody who uses a store directly, beside the servers that live on it: logs of his own, written,
// overwritten, cut, reset, deleted and made again under the same name, and compared with what he
// remembers, in between and over every crash.
//
// Owned by the world, one for each node; one thread. What stays true: after a crash a log is what
// it was after some deed, of the last that was durable and all behind it; one that says that it is
// faulty may lack entries, and shows no wrong one.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "simulator/node.h"

namespace duramen::simulator {

class Scribe {
 public:
  Scribe(Rng rng, std::uint64_t logs);

  /// One deed. Empty, or what must never be. `touched`: the disk was, so that entries may be lost.
  std::string Act(Node& node, bool touched);
  /// The node is about to die.
  void OnCrash(Node& node);
  /// Its store was closed, so all that was accepted is durable.
  void OnClosed();
  /// It is back.
  std::string OnStart(Node& node, bool touched);
  std::uint64_t deeds() const { return deeds_; }
  /// The uids of his logs, as far as he has seen them.
  std::vector<std::string> Uids() const;
  /// A repair was asked to change that log; it is what it is.
  void OnMended(const std::string& uid);

 private:
  struct Line {
    Term term = 0;
    std::uint64_t checksum = 0;
    friend bool operator==(const Line&, const Line&) = default;
  };
  /// What a log is.
  struct Shape {
    Index begin = 1;
    Index end = 1;
    Term term_before_begin = 0;
    std::map<Index, Line> lines;
    Vote vote;
    std::map<std::string, std::string> values;
    bool deleted = false;
    bool partial = false;  // some of its lines could not be read when it was damaged
    void CutAt(Index new_end);
    void CutBelow(Index new_begin);
    Term TermBefore(Index index) const;
  };
  struct Deed {
    Ticket ticket = 0;
    std::function<void(Shape&)> change;
  };
  struct Notebook {
    std::string name;
    std::string uid;
    LogRef log;
    bool open = false;
    std::size_t shard = 0;  // whose Writer it is open in
    bool registered = false;  // for sure
    Shape known;              // durable
    Shape now;
    std::deque<Deed> pending;
    /// What stood at an index in a log of that name, cut or not: damage to what deleted one brings
    /// it back, and it is faulty then.
    std::map<Index, std::vector<Line>> ever;
    /// That of the next log of the name.
    Notebook Anew() const { return {.name = name, .ever = ever}; }
  };

  static void Settle(Node& node, Notebook& book);
  static Writer& WriterOf(Node& node, const Notebook& book);
  std::string Create(Node& node, Notebook& book, bool touched);
  std::string Write(Node& node, Notebook& book, bool touched);
  std::string Change(Node& node, Notebook& book, bool touched);
  std::string Cut(Node& node, Notebook& book, bool touched);
  std::string Read(Node& node, Notebook& book, bool touched);
  std::string Blunder(Node& node, Notebook& book, bool touched);
  std::string BlunderInRows(Node& node, Notebook& book, bool touched);
  std::string BlunderAround(Node& node, Notebook& book, bool touched);
  static std::string Refused(const Status& status, ErrorCode wanted, bool touched);
  std::string Compare(Node& node, Notebook& book, bool touched);
  std::string Match(Node& node, Notebook& book, bool touched, bool faulty);
  std::string Done(Notebook& book, const Result<Ticket>& result, bool touched,
                   std::function<void(Shape&)> change);
  /// What one call gives; `lines` get what can be read.
  std::string ReadAll(Node& node, const Notebook& book, bool touched,
                      std::map<Index, Line>& lines) const;

  /// Calls that a store posted, until the next deed.
  class Desk final : public Executor {
   public:
    ~Desk() override { Work(); }
    void Post(void (*run)(void*) noexcept, void* argument) noexcept override {
      calls_.emplace_back(run, argument);
    }
    void Work() {
      for (std::size_t at = 0; at < calls_.size(); ++at) calls_[at].first(calls_[at].second);
      calls_.clear();
    }

   private:
    std::vector<std::pair<void (*)(void*) noexcept, void*>> calls_;
  };

  Rng rng_;
  std::vector<Notebook> books_;
  std::uint64_t deeds_ = 0;
  std::uint64_t told_ = 0;  // of news
  std::unique_ptr<Desk> desk_ = std::make_unique<Desk>();
};

}  // namespace duramen::simulator
