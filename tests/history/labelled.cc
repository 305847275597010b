#include "tests/history/labelled.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/rng.h"
#include "history/checker.h"

namespace duramen::history::testing {
namespace {

std::vector<std::string> LinesOf(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

EventKind KindOf(const std::string& type) {
  const std::optional<EventKind> kind = EventNamed(type);
  EXPECT_TRUE(kind.has_value()) << type;
  return kind.value_or(EventKind::kInfo);
}

Function FunctionOf(const std::string& name) {
  const std::optional<Function> function = FunctionNamed(name);
  EXPECT_TRUE(function.has_value()) << name;
  return function.value_or(Function::kRead);
}

/// "nil" or a number.
Value NumberOf(const std::string& text) {
  if (text == "nil") return {};
  return Value{static_cast<std::int64_t>(std::stoll(text))};
}

/// A refused compare-and-set is `:fail` there; here it is an answer, which says what it saw.
Event RegisterEvent(const std::string& line) {
  std::istringstream words(line.substr(line.find('-') + 1));
  std::string process, type, function, first, second;
  words >> process >> type >> function >> first >> second;
  Event event;
  event.kind = KindOf(type.substr(1));
  event.process = std::stoull(process);
  event.function = FunctionOf(function.substr(1));
  const bool invoked = event.kind == EventKind::kInvoke;
  const bool cas = event.function == Function::kCas;
  if (cas && event.kind == EventKind::kFail) {
    event.kind = EventKind::kOk;
    event.result = Value{false};
  } else if (cas && event.kind == EventKind::kOk) {
    event.result = Value{true};
  } else if (cas && invoked) {
    event.expected = NumberOf(first.substr(1));
    event.value = NumberOf(second.substr(0, second.size() - 1));
  } else if (event.function == Function::kRead && event.kind == EventKind::kOk) {
    event.result = NumberOf(first);
  } else if (event.function == Function::kWrite && invoked) {
    event.value = NumberOf(first);
  }
  return event;
}

/// What stands behind `name`, up to a comma, a brace or the end of a text.
std::string MemberOf(const std::string& line, const std::string& name) {
  const std::size_t at = line.find(name + " ");
  EXPECT_NE(at, std::string::npos) << line;
  const std::size_t begin = at + name.size() + 1;
  if (line[begin] != '"') return line.substr(begin, line.find_first_of(",}", begin) - begin);
  return line.substr(begin + 1, line.find('"', begin + 1) - begin - 1);
}

Event KvEvent(const std::string& line) {
  Event event;
  event.kind = KindOf(MemberOf(line, ":type").substr(1));
  event.process = std::stoull(MemberOf(line, ":process"));
  event.function = FunctionOf(MemberOf(line, ":f").substr(1));
  event.key = MemberOf(line, ":key");
  const std::string value = MemberOf(line, ":value");
  const bool get = event.function == Function::kGet;
  if (get && event.kind == EventKind::kOk) event.result = Value{value};
  if (!get && event.kind == EventKind::kInvoke) event.value = Value{value};
  return event;
}

std::string Convert(const std::string& path) {
  const bool log = path.ends_with(".log");
  HistoryWriter writer(log ? ModelKind::kRegister : ModelKind::kKv);
  for (const std::string& line : LinesOf(path)) {
    const Status added = writer.Add(log ? RegisterEvent(line) : KvEvent(line));
    EXPECT_TRUE(added.ok()) << path << ": " << line << ": " << added.error().message;
  }
  return writer.TakeText();
}

}  // namespace

std::vector<Labelled> ReadLabelled(const std::string& folder) {
  std::vector<Labelled> all;
  for (const std::string& line : LinesOf(folder + "/verdicts.tsv")) {
    const std::size_t tab = line.find('\t');
    EXPECT_NE(tab, std::string::npos) << line;
    Labelled one{line.substr(0, tab), line.substr(tab + 1) == "linearizable", ""};
    EXPECT_TRUE(one.linearizable || line.substr(tab + 1) == "not") << line;
    const std::string path = folder + "/" + one.file;
    if (path.ends_with(".jsonl")) {
      std::ifstream in(path);
      one.text.assign(std::istreambuf_iterator<char>(in), {});
    } else {
      one.text = Convert(path);
    }
    all.push_back(std::move(one));
  }
  return all;
}

History Read(const std::string& text) {
  HistoryReader reader(std::nullopt);
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const Status added = reader.Add(line);
    EXPECT_TRUE(added.ok()) << added.error().message;
  }
  Result<History> history = reader.Take();
  EXPECT_TRUE(history.ok());
  return history.ok() ? *std::move(history) : History{};
}

namespace {

bool LooksAt(const Operation& operation) {
  return operation.outcome == Outcome::kOk &&
         (operation.function == Function::kRead || operation.function == Function::kGet);
}

/// Makes `operation` answer what was never written.
void Alter(Operation& operation) {
  if (operation.elements) {
    operation.elements->push_back(Value{std::int64_t{1'000'007}});
  } else if (operation.function == Function::kGet) {
    const auto* text = std::get_if<std::string>(&operation.result);
    operation.result = Value{(text == nullptr ? "" : *text) + "?"};
  } else {
    operation.result = Value{std::int64_t{1'000'007}};
  }
}

}  // namespace

void ExpectVerdictsOf(const std::string& folder) {
  std::size_t histories = 0;
  for (const Labelled& one : ReadLabelled(folder)) {
    const Report report = CheckHistory(Read(one.text), {});
    EXPECT_EQ(report.verdict, one.linearizable ? Verdict::kLinearizable : Verdict::kNotLinearizable)
        << one.file;
    ++histories;
  }
  EXPECT_GT(histories, 0U);
  std::printf("%zu labelled histories in %s\n", histories, folder.c_str());
}

void ExpectAlteredOnesFail(const std::string& folder) {
  constexpr int kAltered = 10;  // of each
  int altered = 0;
  for (const Labelled& one : ReadLabelled(folder)) {
    if (!one.linearizable) continue;
    const History history = Read(one.text);
    std::vector<std::size_t> looks;
    for (std::size_t i = 0; i < history.operations.size(); ++i) {
      if (LooksAt(history.operations[i])) looks.push_back(i);
    }
    ASSERT_FALSE(looks.empty()) << one.file;
    Rng rng(history.operations.size());
    for (int i = 0; i < kAltered; ++i, ++altered) {
      History wrong = history;
      const std::size_t at = looks[rng.Below(looks.size())];
      Alter(wrong.operations[at]);
      const Report report = CheckHistory(wrong, {});
      ASSERT_EQ(report.verdict, Verdict::kNotLinearizable) << one.file;
      for (const KeyReport& key : report.keys) {
        EXPECT_TRUE(!key.violation || key.violation->operation == at) << one.file;
      }
    }
  }
  EXPECT_GT(altered, 0);
  std::printf("%d altered histories from %s\n", altered, folder.c_str());
}

}  // namespace duramen::history::testing
