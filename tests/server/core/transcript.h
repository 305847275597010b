// Plays a transcript: commands to a world of cores, and in words what the cores do. A transcript is
// blocks of command lines, `----`, and what they print, up to a blank line; `#` begins a comment.
// The commands stand in tests/testdata/raft/README.md.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/server/core/world.h"

namespace duramen::core {

/// One command: `verb word... name=value...`.
struct Command {
  std::string verb;
  std::vector<std::string> words;
  std::map<std::string, std::string> named;

  static Command Parse(const std::string& line);
  std::string Named(const std::string& name, const std::string& otherwise = "") const;
  std::uint64_t Number(const std::string& name, std::uint64_t otherwise) const;
  /// The word at `at` as a number.
  int Id(std::size_t at) const;
};

class Transcript {
 public:
  Transcript();
  /// All blocks of `text`, with what they print now in the place of what they printed.
  std::string Play(const std::string& text);

 private:
  using Verb = void (Transcript::*)(const Command&);
  static const std::map<std::string, Verb>& Verbs();
  std::string Block(const std::vector<std::string>& commands);

  // who is there
  void Members(const Command& command);
  void Start(const Command& command);
  void Crash(const Command& command);
  void Restart(const Command& command);
  void Status(const Command& command);
  // time
  void Pass(const Command& command);
  void Tick(const Command& command);
  void Elect(const Command& command);
  void Settle(const Command& command);
  // network and disks
  void Deliver(const Command& command);
  void Duplicate(const Command& command);
  void Lose(const Command& command);
  void Trim(const Command& command);
  void Cut(const Command& command);
  void Mend(const Command& command);
  void Disk(const Command& command);
  void Install(const Command& command);
  // callers and the outside
  void Ask(const Command& command);
  void Tell(const Command& command);

  void Hear(int id, const Effects& effects);
  void Say(int id, const std::string& what);
  void Deliver(const Command& command, bool keep);
  bool Selects(const Command& command, const Wire& wire) const;
  void SettleOnce(const std::vector<int>& among);
  std::vector<int> Ids(const Command& command);

  World world_{1};
  CoreSettings settings_;
  std::map<int, std::string> roles_;  // as last told
  std::vector<std::pair<int, int>> cut_;
  std::string out_;
  std::string indent_;
  bool terse_ = false;  // only what matters in the end
  std::uint64_t tickets_ = 0;
};

}  // namespace duramen::core
