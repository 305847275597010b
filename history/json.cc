#include "history/json.h"

#include <algorithm>
#include <charconv>

#include "base/try.h"
#include "base/utf8.h"

namespace duramen::history {
namespace {

constexpr std::string_view kSpaces = " \t\r";

void AppendUtf8(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view line) : line_(line) {}

  Result<std::vector<Member>> Object() {
    std::vector<Member> members;
    TRY(Expect('{'));
    if (!Take('}')) {
      do {
        if (members.size() == kMembersMax) return Wrong("too many members");
        Member member = TRY(OneMember());
        const bool twice = std::any_of(members.begin(), members.end(), [&](const Member& other) {
          return other.name == member.name;
        });
        if (twice) return Wrong("\"" + member.name + "\" is there twice");
        members.push_back(std::move(member));
      } while (Take(','));
      TRY(Expect('}'));
    }
    SkipSpaces();
    if (at_ != line_.size()) return Wrong("something stands behind the object");
    return members;
  }

 private:
  Error Wrong(const std::string& what) const {
    return {ErrorCode::kInvalidArgument, what + " (byte " + std::to_string(at_ + 1) + ")", ""};
  }

  void SkipSpaces() {
    while (at_ < line_.size() && kSpaces.find(line_[at_]) != std::string_view::npos) ++at_;
  }

  bool Take(char wanted) {
    SkipSpaces();
    if (at_ == line_.size() || line_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  Status Expect(char wanted) {
    if (!Take(wanted)) return Wrong(std::string("expected ") + wanted);
    return {};
  }

  bool TakeWord(std::string_view word) {
    if (!line_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  Result<Member> OneMember() {
    Member member;
    member.name = TRY(Text());
    TRY(Expect(':'));
    if (!Take('[')) {
      member.value = TRY(Scalar());
      return member;
    }
    member.elements.emplace();
    if (Take(']')) return member;
    do {
      member.elements->push_back(TRY(Scalar()));
    } while (Take(','));
    TRY(Expect(']'));
    return member;
  }

  Result<Value> Scalar() {
    SkipSpaces();
    if (at_ < line_.size() && line_[at_] == '"') return Value(TRY(Text()));
    if (TakeWord("null")) return Value{};
    if (TakeWord("true")) return Value{true};
    if (TakeWord("false")) return Value{false};
    return Number();
  }

  Result<Value> Number() {
    const std::string_view rest = line_.substr(at_);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error == std::errc::result_out_of_range) return Wrong("a number of more than 64 bits");
    if (error != std::errc()) return Wrong("expected null, true, false, a number or a text");
    const std::string_view digits(rest.data(), static_cast<std::size_t>(end - rest.data()));
    const std::string_view behind = rest.substr(digits.size());
    if (!behind.empty() && std::string_view(".eE").find(behind.front()) != std::string_view::npos) {
      return Wrong("a number that is not whole");
    }
    if (digits != std::to_string(number)) return Wrong("a number in an unusual form");
    at_ += digits.size();
    return Value{number};
  }

  Result<std::string> Text() {
    TRY(Expect('"'));
    std::string text;
    while (at_ < line_.size() && line_[at_] != '"') {
      if (line_[at_] == '\\') {
        TRY(Escape(text));
        continue;
      }
      const std::size_t length = Utf8Length(line_.substr(at_));
      if (length == 0) return Wrong("not UTF-8");
      if (static_cast<unsigned char>(line_[at_]) < 0x20) return Wrong("a control character");
      text += line_.substr(at_, length);
      at_ += length;
    }
    if (at_ == line_.size()) return Wrong("a text without an end");
    ++at_;
    return text;
  }

  Status Escape(std::string& text) {
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (at_ + 1 == line_.size()) return Wrong("a text without an end");
    const char letter = line_[at_ + 1];
    const std::size_t known = kLetters.find(letter);
    if (known != std::string_view::npos) {
      text.push_back(kMeanings[known]);
      at_ += 2;
      return {};
    }
    std::uint32_t code = TRY(Unit());
    if (code >= 0xDC00 && code < 0xE000) return Wrong("half a surrogate pair");
    if (code >= 0xD800 && code < 0xDC00) {
      const std::uint32_t low = TRY(Unit());
      if (low < 0xDC00 || low >= 0xE000) return Wrong("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    AppendUtf8(text, code);
    return {};
  }

  /// \uXXXX.
  Result<std::uint32_t> Unit() {
    const std::string_view digits = line_.substr(at_, 6);
    std::uint32_t code = 0;
    if (digits.size() < 6 || !digits.starts_with("\\u")) return Wrong("an unknown escape");
    const auto [end, error] = std::from_chars(digits.data() + 2, digits.data() + 6, code, 16);
    if (error != std::errc() || end != digits.data() + 6) return Wrong("an unknown escape");
    at_ += 6;
    return code;
  }

  std::string_view line_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::vector<Member>> ParseObject(std::string_view line) { return Parser(line).Object(); }

}  // namespace duramen::history
