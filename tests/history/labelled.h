// Recorded histories with a verdict of somebody else's: a folder with `verdicts.tsv`.
#pragma once

#include <string>
#include <vector>

#include "history/event_line.h"

namespace duramen::history::testing {

struct Labelled {
  std::string file;
  bool linearizable = false;
  std::string text;  // as a history of our own format
};

/// Every history that `folder`/verdicts.tsv names: lines of file, tab, `linearizable` or `not`.
/// *.jsonl are in our own format; *.log and *.txt are converted:
///   *.log  one register, lines `INFO  jepsen.util - PROCESS <tab> :TYPE <tab> :F <tab> VALUE`
///   *.txt  keys of a kv, one EDN map a line with :process, :type, :f, :key and :value
/// Reports a test failure for what it cannot read.
std::vector<Labelled> ReadLabelled(const std::string& folder);

/// The checker says of each what the label says; and of each linearizable one no more once an
/// answer is altered, so that it tells of what nobody ever wrote. Prints how many they were.
void ExpectVerdictsOf(const std::string& folder);
void ExpectAlteredOnesFail(const std::string& folder);

/// Through the reader. Reports a test failure if it refuses.
History Read(const std::string& text);

}  // namespace duramen::history::testing
