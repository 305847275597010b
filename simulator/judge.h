// What clients saw, held against what one copy of the data could have shown them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "history/history.h"
#include "simulator/client.h"

namespace duramen::simulator {

/// The history of one cluster's registers, or of its sets, as events in order.
std::vector<history::Event> EventsOf(const std::vector<Record>& records, std::uint32_t cluster,
                                     history::ModelKind model);

/// Whether the records of each cluster are linearizable, and with one answer altered are not any
/// more. Empty, or what is wrong, for people.
std::string JudgeRecords(const std::vector<Record>& records, std::uint64_t clusters);

/// The same history with one answer altered, so that no order explains it any more; nothing if it
/// holds no answer that can be altered for sure. What a judge finds nothing in then is no judge.
std::vector<history::Event> WithOneAnswerAltered(std::vector<history::Event> events,
                                                 std::uint64_t seed);

}  // namespace duramen::simulator
