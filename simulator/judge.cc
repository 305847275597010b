#include "simulator/judge.h"

#include "base/check.h"
#include "history/checker.h"

namespace duramen::simulator {
namespace {

using history::Event;
using history::EventKind;
using history::Function;
using history::ModelKind;

bool IsOfSets(Act act) { return act == Act::kAdd || act == Act::kMembers; }

Function FunctionOf(Act act) {
  switch (act) {
    case Act::kWrite:
      return Function::kWrite;
    case Act::kCas:
      return Function::kCas;
    case Act::kAdd:
      return Function::kAdd;
    case Act::kRead:
    case Act::kMembers:
      break;
  }
  return Function::kRead;
}

EventKind KindOf(Record::Kind kind) {
  switch (kind) {
    case Record::Kind::kInvoke:
      return EventKind::kInvoke;
    case Record::Kind::kOk:
      return EventKind::kOk;
    case Record::Kind::kFail:
      return EventKind::kFail;
    case Record::Kind::kInfo:
      break;
  }
  return EventKind::kInfo;
}

Event EventOf(const Record& record) {
  const Request& request = record.request;
  Event event{
      .kind = KindOf(record.kind), .process = record.process, .function = FunctionOf(request.act)};
  event.key = std::to_string(request.key);
  event.time_ns = static_cast<std::uint64_t>(record.at);
  if (record.kind == Record::Kind::kInvoke) {
    if (event.function != Function::kRead) event.value = request.value;
    if (event.function == Function::kCas) event.expected = request.expected;
  } else if (record.kind == Record::Kind::kOk) {
    if (event.function == Function::kCas) event.result = record.response.swapped;
    if (request.act == Act::kRead && record.response.value) event.result = *record.response.value;
    if (request.act == Act::kMembers) {
      event.elements.emplace();
      for (const std::int64_t element : record.response.elements)
        event.elements->emplace_back(element);
    }
  }
  return event;
}

history::History HistoryOf(ModelKind model, const std::vector<Event>& events) {
  history::HistoryBuilder builder(model);
  for (const Event& event : events) {
    const Status added = builder.Add(event);
    CHECK(added.ok());
  }
  return builder.Take();
}

}  // namespace

std::vector<Event> EventsOf(const std::vector<Record>& records, std::uint32_t cluster,
                            ModelKind model) {
  std::vector<Event> events;
  for (const Record& record : records) {
    if (record.cluster != cluster || IsOfSets(record.request.act) != (model == ModelKind::kSet))
      continue;
    events.push_back(EventOf(record));
  }
  return events;
}

std::string JudgeRecords(const std::vector<Record>& records, std::uint64_t clusters) {
  for (std::uint32_t cluster = 0; cluster < clusters; ++cluster) {
    for (const ModelKind model : {ModelKind::kRegister, ModelKind::kSet}) {
      const std::vector<Event> events = EventsOf(records, cluster, model);
      const history::History whole = HistoryOf(model, events);
      const history::Report report = history::CheckHistory(whole, {});
      if (report.verdict == history::Verdict::kLinearizable) {
        // A judge that finds nothing in what is wrong is none.
        const std::vector<Event> altered = WithOneAnswerAltered(events, records.size());
        if (altered.empty() || history::CheckHistory(HistoryOf(model, altered), {}).verdict !=
                                   history::Verdict::kLinearizable)
          continue;
        return "the judge accepts a history with an answer that nobody can have got";
      }
      std::string text = "cluster " + std::to_string(cluster) + ": what clients saw of its " +
                         std::string(history::NameOf(model)) + "s is " +
                         std::string(NameOf(report.verdict));
      for (const history::KeyReport& key : report.keys) {
        if (key.violation) text += "\n" + Explain(whole, key);
      }
      return text;
    }
  }
  return "";
}

std::vector<Event> WithOneAnswerAltered(std::vector<Event> events, std::uint64_t seed) {
  std::vector<std::size_t> answers;
  for (std::size_t at = 0; at < events.size(); ++at) {
    if (events[at].kind == EventKind::kOk && events[at].function == Function::kRead)
      answers.push_back(at);
  }
  if (answers.empty()) return {};
  Event& event = events[answers[seed % answers.size()]];
  // A value that nobody ever wrote.
  if (event.elements) {
    event.elements->emplace_back(std::int64_t{-1});
  } else {
    event.result = std::int64_t{-1};
  }
  return events;
}

}  // namespace duramen::simulator
