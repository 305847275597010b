#include "history/event_line.h"

#include "base/try.h"
#include "history/json.h"

namespace duramen::history {
namespace {

Error Wrong(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message), ""}; }

void Append(std::string& line, std::string_view name, const std::string& text) {
  line += line.empty() ? "{" : ",";
  line.append(Quoted(name)).append(":").append(text);
}

bool IsNull(const Value& value) { return std::holds_alternative<std::monostate>(value); }

/// The members of one line, each to be taken once.
class Members {
 public:
  explicit Members(std::vector<Member> members) : members_(std::move(members)) {}

  /// Nothing where it is not there.
  std::optional<Member> Take(std::string_view name) {
    for (auto member = members_.begin(); member != members_.end(); ++member) {
      if (member->name != name) continue;
      Member taken = std::move(*member);
      members_.erase(member);
      return taken;
    }
    return std::nullopt;
  }

  Result<Value> Scalar(std::string_view name) {
    std::optional<Member> member = Take(name);
    if (!member) return Value{};
    if (member->elements) return Wrong(Quoted(name) + " is a list");
    return std::move(member->value);
  }

  Result<std::string> Text(std::string_view name) {
    Value value = TRY(Scalar(name));
    auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) return Wrong(Quoted(name) + " is missing, or is no text");
    return std::move(*text);
  }

  Result<std::optional<std::uint64_t>> Count(std::string_view name) {
    const Value value = TRY(Scalar(name));
    if (IsNull(value)) return std::optional<std::uint64_t>();
    const auto* number = std::get_if<std::int64_t>(&value);
    if (number == nullptr || *number < 0) return Wrong(Quoted(name) + " is no count");
    return std::optional(static_cast<std::uint64_t>(*number));
  }

  /// An error if anything is left: it would mean something that this release does not know.
  Status Empty() const {
    if (members_.empty()) return {};
    return Wrong("unknown member " + Quoted(members_.front().name));
  }

 private:
  std::vector<Member> members_;
};

Status CheckVersion(Members& members) {
  const Value version = TRY(members.Scalar("v"));
  if (version == Value{kHistoryVersion}) return {};
  const auto* number = std::get_if<std::int64_t>(&version);
  if (number == nullptr) return Wrong("\"v\" is missing, or is no number");
  return Error{ErrorCode::kUnknownVersion,
               "version " + std::to_string(*number) + " of histories, this release reads " +
                   std::to_string(kHistoryVersion),
               "duramen version"};
}

Error AtLine(std::uint64_t line, Error error) {
  error.message = "line " + std::to_string(line) + ": " + error.message;
  if (error.hint.empty()) error.hint = "docs/history-format.md says what stands in a line";
  return error;
}

}  // namespace

std::string LineOf(const Event& event) {
  std::string line;
  Append(line, "v", std::to_string(kHistoryVersion));
  Append(line, "kind", Quoted(NameOf(event.kind)));
  Append(line, "process", std::to_string(event.process));
  Append(line, "f", Quoted(NameOf(event.function)));
  Append(line, "key", Quoted(event.key));
  const bool swaps = event.function == Function::kCas && event.kind == EventKind::kInvoke;
  if (swaps || !IsNull(event.expected)) {
    Append(line, "expected", TextOf(event.expected));
  }
  if (!IsNull(event.value)) Append(line, "value", TextOf(event.value));
  if (event.elements) {
    std::string list = "[";
    for (const Value& element : *event.elements) {
      if (list.size() > 1) list.push_back(',');
      list += TextOf(element);
    }
    Append(line, "result", list + "]");
  } else if (!IsNull(event.result)) {
    Append(line, "result", TextOf(event.result));
  }
  if (event.time_ns) Append(line, "time_ns", std::to_string(*event.time_ns));
  return line + "}";
}

Result<Event> ParseEvent(std::string_view line) {
  Members members(TRY(ParseObject(line)));
  TRY(CheckVersion(members));
  const std::string kind = TRY(members.Text("kind"));
  const std::string function = TRY(members.Text("f"));
  const std::optional<EventKind> event_kind = EventNamed(kind);
  const std::optional<Function> event_function = FunctionNamed(function);
  if (!event_kind) return Wrong("unknown kind " + Quoted(kind));
  if (!event_function) return Wrong("unknown f " + Quoted(function));
  Event event;
  event.kind = *event_kind;
  event.function = *event_function;
  const std::optional<std::uint64_t> process = TRY(members.Count("process"));
  if (!process) return Wrong("\"process\" is missing");
  event.process = *process;
  event.key = TRY(members.Text("key"));
  event.value = TRY(members.Scalar("value"));
  event.expected = TRY(members.Scalar("expected"));
  if (std::optional<Member> result = members.Take("result")) {
    event.result = std::move(result->value);
    event.elements = std::move(result->elements);
  }
  event.time_ns = TRY(members.Count("time_ns"));
  TRY(members.Empty());
  return event;
}

HistoryWriter::HistoryWriter(ModelKind model, const Facts& facts) : builder_(model) {
  Append(text_, "v", std::to_string(kHistoryVersion));
  Append(text_, "kind", "\"history\"");
  Append(text_, "model", Quoted(NameOf(model)));
  for (const auto& [name, value] : facts) Append(text_, name, TextOf(value));
  text_ += "}\n";
}

Status HistoryWriter::Add(const Event& event) {
  TRY(CheckText(event));
  const std::string line = LineOf(event);
  if (line.size() > kHistoryLineBytesMax) {
    return Error{ErrorCode::kTooLarge, "an event takes a line of more than 1 MiB", ""};
  }
  TRY(builder_.Add(event));
  text_.append(line).push_back('\n');
  return {};
}

Status HistoryReader::Add(std::string_view line) {
  ++lines_;
  if (line.size() > kHistoryLineBytesMax) {
    return AtLine(lines_, {ErrorCode::kTooLarge, "it has more than 1 MiB", ""});
  }
  if (!builder_) {
    Status header = AddHeader(line);
    return header.ok() ? Status() : AtLine(lines_, std::move(header).error());
  }
  Result<Event> event = ParseEvent(line);
  if (!event.ok()) return AtLine(lines_, std::move(event).error());
  Status added = builder_->Add(*std::move(event));
  return added.ok() ? Status() : AtLine(lines_, std::move(added).error());
}

/// Members that it does not know are for people.
Status HistoryReader::AddHeader(std::string_view line) {
  Members members(TRY(ParseObject(line)));
  TRY(CheckVersion(members));
  const std::string kind = TRY(members.Text("kind"));
  if (kind != "history") return Wrong("the first line has to be of kind \"history\"");
  const Value model = TRY(members.Scalar("model"));
  if (!IsNull(model)) {
    const auto* name = std::get_if<std::string>(&model);
    const std::optional<ModelKind> named = name == nullptr ? std::nullopt : ModelNamed(*name);
    if (!named) return Wrong("unknown model " + TextOf(model));
    if (model_ && *named != *model_) {
      return Error{ErrorCode::kConfiguration, "the history is of a " + *name, "leave --model away"};
    }
    model_ = named;
  }
  if (!model_) {
    return Error{ErrorCode::kConfiguration, "the history does not say of what it is",
                 "--model register, kv or set"};
  }
  builder_.emplace(*model_);
  return {};
}

Result<History> HistoryReader::Take() {
  if (!builder_) {
    return Error{ErrorCode::kShortRead, "line 1: there is none, and so no history",
                 "docs/history-format.md says what stands in one"};
  }
  return builder_->Take();
}

}  // namespace duramen::history
