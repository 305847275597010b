#include "duramen/machines.h"

#include <charconv>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/try.h"

namespace duramen {
namespace {

Error NoCommand(std::string_view machine, std::string_view text) {
  return {ErrorCode::kInvalidArgument,
          "no command or query of a " + std::string(machine) + ": '" +
              std::string(text.substr(0, 40)) + "'",
          "make it with the functions of duramen/machines.h"};
}

template <typename Number>
std::optional<Number> NumberOf(std::string_view text) {
  Number number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

/// A word, and parts of any bytes: verb, then a space, the length, a space and the bytes of each.
std::string Join(std::string_view verb, std::initializer_list<std::string_view> parts) {
  std::string text(verb);
  for (const std::string_view part : parts) {
    text += " " + std::to_string(part.size()) + " ";
    text += part;
  }
  return text;
}

struct Parts {
  std::string_view verb;
  std::vector<std::string_view> parts;
};

std::optional<Parts> Split(std::string_view text) {
  Parts result{.verb = text.substr(0, text.find(' '))};
  text.remove_prefix(result.verb.size());
  while (!text.empty()) {
    text.remove_prefix(1);
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const auto length = NumberOf<std::size_t>(text.substr(0, space));
    text.remove_prefix(space + 1);
    if (!length || *length > text.size()) return std::nullopt;
    result.parts.push_back(text.substr(0, *length));
    text.remove_prefix(*length);
    if (!text.empty() && text.front() != ' ') return std::nullopt;
  }
  return result;
}

/// That verb with so many parts.
bool Is(const std::optional<Parts>& command, std::string_view verb, std::size_t parts) {
  return command && command->verb == verb && command->parts.size() == parts;
}

class CounterOfAll final : public Machine {
 public:
  Status Validate(Bytes command) const override {
    const std::string_view text = AsText(command);
    if (text.empty() || NumberOf<std::int64_t>(text)) return {};
    return NoCommand("counter", text);
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      const std::string_view text = AsText(commands[at].payload);
      const std::int64_t added = text.empty() ? 1 : NumberOf<std::int64_t>(text).value_or(0);
      sum_ += static_cast<std::uint64_t>(added);
      if (effects.wants_reply(at)) effects.Reply(at, Text());
    }
  }
  Status Query(Bytes, std::string& answer) const override {
    answer = Text();
    return {};
  }

 private:
  std::string Text() const { return std::to_string(static_cast<std::int64_t>(sum_)); }
  std::uint64_t sum_ = 0;  // Its overflow is defined.
};

/// Sets `value` if it is what `expected` says.
std::string CompareAndSet(std::string& value, std::string_view expected, std::string_view wanted) {
  if (value != expected) return "no " + value;
  value = wanted;
  return "ok";
}

class RegisterOfOne final : public Machine {
 public:
  Status Validate(Bytes command) const override {
    const auto parts = Split(AsText(command));
    if (Is(parts, "set", 1) || Is(parts, "cas", 2)) return {};
    return NoCommand("register", AsText(command));
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      const auto command = Split(AsText(commands[at].payload));
      if (Is(command, "set", 1)) {
        effects.Reply(at, std::exchange(value_, std::string(command->parts[0])));
      } else if (Is(command, "cas", 2)) {
        effects.Reply(at, CompareAndSet(value_, command->parts[0], command->parts[1]));
      }
    }
  }
  Status Query(Bytes, std::string& answer) const override {
    answer = value_;
    return {};
  }

 private:
  std::string value_;
};

class Map final : public Machine {
 public:
  Status Validate(Bytes command) const override {
    const auto parts = Split(AsText(command));
    if (Is(parts, "put", 2) || Is(parts, "delete", 1) || Is(parts, "cas", 3)) return {};
    return NoCommand("kv", AsText(command));
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at)
      effects.Reply(at, Do(Split(AsText(commands[at].payload))));
  }
  Status Query(Bytes query, std::string& answer) const override {
    const auto parts = Split(AsText(query));
    if (Is(parts, "get", 1)) {
      const auto found = values_.find(parts->parts[0]);
      answer = found == values_.end() ? "none" : "ok " + found->second;
    } else if (Is(parts, "size", 0)) {
      answer = std::to_string(values_.size());
    } else if (Is(parts, "keys", 1)) {
      const std::string_view prefix = parts->parts[0];
      for (auto at = values_.lower_bound(prefix); at != values_.end(); ++at) {
        if (!at->first.starts_with(prefix)) break;
        answer += std::to_string(at->first.size()) + " " + at->first;
      }
    } else {
      return NoCommand("kv", AsText(query));
    }
    return {};
  }

 private:
  std::string Do(const std::optional<Parts>& command) {
    if (Is(command, "put", 2)) {
      values_[std::string(command->parts[0])] = command->parts[1];
      return "ok";
    }
    if (Is(command, "delete", 1)) {
      const auto found = values_.find(command->parts[0]);
      if (found == values_.end()) return "none";
      values_.erase(found);
      return "ok";
    }
    if (!Is(command, "cas", 3)) return "";
    const auto [key, expected, wanted] =
        std::tie(command->parts[0], command->parts[1], command->parts[2]);
    const auto found = values_.find(key);
    if (found != values_.end()) return CompareAndSet(found->second, expected, wanted);
    if (!expected.empty()) return "no ";
    values_[std::string(key)] = wanted;
    return "ok";
  }

  std::map<std::string, std::string, std::less<>> values_;
};

template <typename Kind>
MachineType TypeOf(const char* name) {
  return {.name = name, .make = [] { return std::make_unique<Kind>(); }};
}

}  // namespace

inline namespace v1 {

MachineType CounterMachine() { return TypeOf<CounterOfAll>("counter"); }
MachineType RegisterMachine() { return TypeOf<RegisterOfOne>("register"); }
MachineType KvMachine() { return TypeOf<Map>("kv"); }

std::string Register::Set(std::string_view value) { return Join("set", {value}); }
std::string Register::CompareAndSet(std::string_view expected, std::string_view value) {
  return Join("cas", {expected, value});
}

std::string Kv::Put(std::string_view key, std::string_view value) {
  return Join("put", {key, value});
}
std::string Kv::Delete(std::string_view key) { return Join("delete", {key}); }
std::string Kv::CompareAndPut(std::string_view key, std::string_view expected,
                              std::string_view value) {
  return Join("cas", {key, expected, value});
}
std::string Kv::Get(std::string_view key) { return Join("get", {key}); }
std::string Kv::Size() { return "size"; }
std::string Kv::Keys(std::string_view prefix) { return Join("keys", {prefix}); }

}  // namespace v1
}  // namespace duramen
