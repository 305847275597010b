#include "simulator/scribe.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/checksum.h"

namespace duramen::simulator {
namespace {

constexpr std::uint64_t kEntriesMost = 6;
constexpr std::size_t kValueBytesMost = 10'000;  // too large for the WAL file of a start that slips
constexpr Index kIndexesMost = 200;  // of one log; then it is cut in front

/// A store that has no room, or cannot write, says so: that is no failure. Small WAL files take
/// small entries.
bool IsBusy(ErrorCode code) {
  return code == ErrorCode::kOverloaded || code == ErrorCode::kDiskFull ||
         code == ErrorCode::kWalDown || code == ErrorCode::kInUse || code == ErrorCode::kTooLarge;
}

/// What a damaged store may answer.
bool IsDamage(ErrorCode code) {
  return code == ErrorCode::kFaulty || code == ErrorCode::kCorruption || code == ErrorCode::kIo ||
         code == ErrorCode::kNotFound;
}

}  // namespace

void Scribe::Shape::CutAt(Index new_end) {
  lines.erase(lines.lower_bound(new_end), lines.end());
  end = new_end;
}

void Scribe::Shape::CutBelow(Index new_begin) {
  if (new_begin <= begin) return;
  term_before_begin = TermBefore(new_begin);
  lines.erase(lines.begin(), lines.lower_bound(new_begin));
  begin = new_begin;
}

Term Scribe::Shape::TermBefore(Index index) const {
  const auto line = lines.find(index - 1);
  return line == lines.end() ? term_before_begin : line->second.term;
}

Scribe::Scribe(Rng rng, std::uint64_t logs) : rng_(rng), books_(logs) {
  for (std::size_t number = 0; number < books_.size(); ++number) {
    books_[number].name = "scribe-" + std::to_string(number);
  }
}

/// Also while it is being deleted, when its name leads nowhere.
Writer& Scribe::WriterOf(Node& node, const Notebook& book) {
  return book.open ? node.writers()[book.shard] : node.WriterOf(book.name);
}

void Scribe::Settle(Node& node, Notebook& book) {
  const Writer& writer = WriterOf(node, book);
  while (!book.pending.empty() && book.pending.front().ticket <= writer.durable()) {
    book.pending.front().change(book.known);
    book.pending.pop_front();
    book.registered = true;
  }
  // Its name is free again.
  if (book.open && book.known.deleted) book = book.Anew();
}

void Scribe::OnCrash(Node& node) {
  for (Notebook& book : books_) Settle(node, book);
}

void Scribe::OnClosed() {
  for (Notebook& book : books_) {
    book.pending.clear();
    book.known = book.now;
    book.registered = book.open;
    if (book.open && book.known.deleted) book = book.Anew();
  }
}

std::string Scribe::Act(Node& node, bool touched) {
  desk_->Work();
  Notebook& book = books_[rng_.Below(books_.size())];
  Settle(node, book);
  ++deeds_;
  if (!book.open) return Create(node, book, touched);
  if (book.now.deleted) {
    const Writer& before = WriterOf(node, book);
    const Ticket deletion = book.pending.empty() ? 0 : book.pending.back().ticket;
    const std::string wrong = Create(node, book, touched);
    const bool anew = wrong.empty() && !book.now.deleted;
    if (!anew || before.durable() >= deletion) return wrong;
    return "log " + book.name + " is made again while its deletion is not durable";
  }
  std::string wrong;
  const std::uint64_t deed = rng_.Below(17);
  if (deed < 8) {
    wrong = Write(node, book, touched);
  } else if (deed < 10) {
    wrong = Change(node, book, touched);
  } else if (deed < 13) {
    wrong = Cut(node, book, touched);
  } else if (deed < 16) {
    wrong = Read(node, book, touched);
  } else {
    wrong = Blunder(node, book, touched);
  }
  return wrong.empty() ? wrong : "log " + book.name + ": " + wrong;
}

std::string Scribe::Create(Node& node, Notebook& book, bool touched) {
  Writer& writer = node.WriterOf(book.name);
  const Result<LogRef> log = node.store().OpenLog(writer, book.name, OpenMode::kCreate);
  if (!log.ok()) {
    if (IsBusy(log.error().code) || touched) return "";
    return "it cannot be made: " + log.error().message;
  }
  const auto shard = static_cast<std::size_t>(&writer - node.writers().data());
  book = book.Anew();
  book.log = *log;
  book.open = true;
  book.shard = shard;
  for (const LogInfo& info : node.store().Logs()) {
    if (info.log == *log) book.uid = info.uid;
  }
  return "";
}

/// What was accepted will be so.
std::string Scribe::Done(Notebook& book, const Result<Ticket>& result, bool touched,
                         std::function<void(Shape&)> change) {
  if (!result.ok()) {
    const ErrorCode code = result.error().code;
    if (IsBusy(code) || (touched && IsDamage(code))) return "";
    if (book.now.partial && code == ErrorCode::kTermBelowPredecessor) return "";
    return "a deed is refused: " + result.error().message;
  }
  change(book.now);
  book.pending.push_back({*result, std::move(change)});
  return "";
}

/// Some entries, at the end or over others.
std::string Scribe::Write(Node& node, Notebook& book, bool touched) {
  Index first = book.now.end;
  if (rng_.OneIn(6)) first -= rng_.Below(1 + std::min<Index>(first - book.now.begin, 8));
  Term term = std::max<Term>(1, book.now.TermBefore(first));
  std::vector<std::vector<std::byte>> payloads(1 + rng_.Below(kEntriesMost));
  std::vector<EntryView> entries;
  std::vector<Line> lines;
  for (std::vector<std::byte>& payload : payloads) {
    if (rng_.OneIn(8)) ++term;
    payload.resize(rng_.OneIn(12) ? rng_.Below(12'000) : rng_.Below(400));
    Rng content(rng_.Next());
    // Half of them is worth compressing.
    const std::uint64_t variety = rng_.OneIn(2) ? 4 : 256;
    for (std::byte& one : payload) one = static_cast<std::byte>(content.Below(variety));
    entries.push_back({.index = first + entries.size(), .term = term, .payload = payload});
    lines.push_back({term, Checksum(payload, 0)});
  }
  const LogAppend group{book.log, entries};
  const Result<Ticket> result = WriterOf(node, book).Append({&group, 1});
  // A crash may keep the first of them.
  Index index = first;
  for (const Line& line : lines) {
    const std::string wrong = Done(book, result, touched, [index, line](Shape& shape) {
      shape.CutAt(index);
      shape.lines[shape.end++] = line;
    });
    if (!result.ok()) return wrong;
    book.ever[index++].push_back(line);
  }
  return "";
}

/// Its rows.
std::string Scribe::Change(Node& node, Notebook& book, bool touched) {
  Writer& writer = WriterOf(node, book);
  switch (rng_.Below(3)) {
    case 0: {
      Vote vote = book.now.vote;
      if (rng_.OneIn(2)) vote = {vote.term + 1, ""};
      if (!rng_.OneIn(3)) vote.voted_for = book.name;
      return Done(book, writer.PutVote(book.log, vote.term, vote.voted_for), touched,
                  [vote](Shape& shape) { shape.vote = vote; });
    }
    case 1: {
      if (book.now.end <= book.now.begin) return "";
      const Index index = book.now.begin + rng_.Below(book.now.end - book.now.begin);
      return Done(book, writer.PutLastApplied(book.log, index), touched, [](Shape&) {});
    }
    default: {
      const std::string key = "key-" + std::to_string(rng_.Below(3));
      std::string value = rng_.OneIn(4) ? "" : std::string(1 + rng_.Below(100), 'v');
      if (value.size() > 90) value.resize(kValueBytesMost, 'v');
      const Durability durability = rng_.OneIn(3) ? Durability::kLazy : Durability::kSynced;
      return Done(book, writer.Put(book.log, key, AsBytes(value), durability), touched,
                  [key, value](Shape& shape) {
                    if (value.empty()) {
                      shape.values.erase(key);
                    } else {
                      shape.values[key] = value;
                    }
                  });
    }
  }
}

/// In front, behind, all of it, or the log itself.
std::string Scribe::Cut(Node& node, Notebook& book, bool touched) {
  Writer& writer = WriterOf(node, book);
  const Shape& now = book.now;
  const Index entries = now.end - now.begin;
  const std::uint64_t kind = entries > kIndexesMost ? 0 : rng_.Below(12);
  if (kind < 7) {
    const Index begin = now.begin + rng_.Below(entries + 1);
    return Done(book, writer.TruncatePrefix(book.log, begin), touched,
                [begin](Shape& shape) { shape.CutBelow(begin); });
  }
  if (kind < 10) {
    const Index end = now.end - rng_.Below(1 + std::min<Index>(entries, 10));
    return Done(book, writer.TruncateSuffix(book.log, end), touched,
                [end](Shape& shape) { shape.CutAt(end); });
  }
  if (kind == 10) {
    const Index begin = now.end + rng_.Below(20);
    const Term last = std::max<Term>(1, now.TermBefore(now.end));
    const Term term = begin == 1 ? 0 : last + rng_.Below(3);
    return Done(book, writer.Reset(book.log, begin, term), touched, [begin, term](Shape& shape) {
      shape.lines.clear();
      shape.begin = shape.end = begin;
      shape.term_before_begin = term;
    });
  }
  return Done(book, node.store().DeleteLog(writer, book.log), touched,
              [](Shape& shape) { shape.deleted = true; });
}

/// A stretch of it, hot or cold, is what was written.
std::string Scribe::Read(Node& node, Notebook& book, bool touched) {
  const Shape& now = book.now;
  if (now.end == now.begin) return "";
  const Index begin = now.begin + rng_.Below(now.end - now.begin);
  const Index end = begin + 1 + rng_.Below(now.end - begin);
  const Result<Pin> pin = node.store().Read(book.log, begin, end, rng_.Below(8'000));
  if (!pin.ok()) {
    if (pin.error().code == ErrorCode::kOverloaded || touched) return "";
    return "entry " + std::to_string(begin) + " cannot be read: " + pin.error().message;
  }
  if (pin->entries().empty()) return "a read gives nothing";
  Index next = begin;
  for (const EntryView& entry : pin->entries()) {
    const auto line = now.lines.find(next);
    if (now.partial && line == now.lines.end() && entry.index == next) {
      ++next;  // What a repair put there.
      continue;
    }
    if (entry.index != next || line == now.lines.end() ||
        !(line->second == Line{entry.term, Checksum(entry.payload, 0)})) {
      return "entry " + std::to_string(next) + " is not what was written there";
    }
    ++next;
  }
  const Result<Term> term = node.store().TermAt(book.log, begin - 1);
  if (term.ok() && *term == now.TermBefore(begin)) return "";
  return touched ? "" : "entry " + std::to_string(begin - 1) + " has another term";
}

/// Empty, if it was refused as it should be.
std::string Scribe::Refused(const Status& status, ErrorCode wanted, bool touched) {
  if (status.ok()) return std::string("what is wrong is taken, not ") + ErrorCodeName(wanted);
  const ErrorCode code = status.error().code;
  if (code == wanted || IsBusy(code) || (touched && IsDamage(code))) return "";
  return std::string("instead of ") + ErrorCodeName(wanted) + ": " + status.error().message;
}

/// What cannot be asked for is refused, and changes nothing.
std::string Scribe::Blunder(Node& node, Notebook& book, bool touched) {
  Writer& writer = WriterOf(node, book);
  LogStore& store = node.store();
  const Shape& now = book.now;
  const auto status = [](const auto& result) { return result.ok() ? Status() : result.error(); };
  std::vector<EntryView> entries(2);
  const Term term = std::max<Term>(1, now.TermBefore(now.end));
  entries[0] = {.index = now.end, .term = term};
  entries[1] = {.index = now.end + 1, .term = term};
  LogAppend group{book.log, entries};
  const auto append = [&] { return status(writer.Append({&group, 1})); };
  if (rng_.OneIn(4)) return BlunderAround(node, book, touched);
  if (rng_.OneIn(8)) return BlunderInRows(node, book, touched);
  switch (rng_.Below(13)) {
    case 0:
      entries[0].index += 1 + rng_.Below(3);
      entries[1].index = entries[0].index + 1;
      return Refused(append(), ErrorCode::kGap, touched);
    case 1:
      entries[1].index += 1 + rng_.Below(3);
      return Refused(append(), ErrorCode::kGap, touched);
    case 2:
      entries[1].term = term - 1;
      return Refused(append(), ErrorCode::kTermBelowPredecessor, touched);
    case 3:
      entries[1].kind = kFirstUserKind - 1;
      return Refused(append(), ErrorCode::kInvalidArgument, touched);
    case 4:
      group.log.generation += 2;
      return Refused(append(), ErrorCode::kStaleRef, touched);
    case 5:
      return Refused(status(writer.TruncatePrefix(book.log, now.end + 1)), ErrorCode::kOutOfRange,
                     touched);
    case 6:
      return Refused(status(writer.TruncateSuffix(book.log, now.end + 1)), ErrorCode::kOutOfRange,
                     touched);
    case 7:
      return Refused(status(writer.Reset(book.log, 0, 1)), ErrorCode::kInvalidArgument, touched);
    case 8:
      return Refused(status(store.Read(book.log, now.end, now.end + 1, 1)), ErrorCode::kOutOfRange,
                     touched);
    case 9:
      return Refused(status(store.TermAt(book.log, now.end + 5)), ErrorCode::kOutOfRange, touched);
    case 10: {
      const char* const names[] = {"", "a\tb", "\xC3", "\xED\xA0\x80", "\xFF"};
      const char* name = names[rng_.Below(std::size(names))];
      return Refused(status(store.OpenLog(writer, name, OpenMode::kOpenOrCreate)),
                     ErrorCode::kInvalidArgument, touched);
    }
    case 11:
      entries.resize(300);  // More than a ring holds.
      for (std::size_t at = 0; at < entries.size(); ++at) {
        entries[at] = {.index = now.end + at, .term = term};
      }
      group.entries = entries;
      return Refused(append(), ErrorCode::kTooLarge, touched);
    default: {
      Writer& other = node.writers()[rng_.Below(node.writers().size())];
      if (&other == &writer) return "";
      const Status opened = status(store.OpenLog(other, book.name, OpenMode::kOpen));
      if (opened.ok()) return "a Writer of another shard opens it";
      return Refused(status(other.Append({&group, 1})), ErrorCode::kWrongWriter, touched);
    }
  }
}

std::string Scribe::BlunderInRows(Node& node, Notebook& book, bool touched) {
  Writer& writer = WriterOf(node, book);
  const auto status = [](const auto& result) { return result.ok() ? Status() : result.error(); };
  const Vote& vote = book.now.vote;
  switch (rng_.Below(7)) {
    case 0:
      return Refused(status(writer.PutVote(book.log, vote.term + 1, std::string(300, 'v'))),
                     ErrorCode::kTooLarge, touched);
    case 1:
      return Refused(status(writer.PutLastApplied(book.log, book.now.end)), ErrorCode::kOutOfRange,
                     touched);
    case 2:
      return Refused(status(writer.Put(book.log, "key", std::vector<std::byte>(70'000),
                                       Durability::kSynced)),
                     ErrorCode::kTooLarge, touched);
    case 3:
      if (vote.term == 0) return "";
      return Refused(status(writer.PutVote(book.log, vote.term - 1, "")),
                     ErrorCode::kTermBelowPredecessor, touched);
    case 4:
      if (vote.voted_for.empty()) return "";
      return Refused(status(writer.PutVote(book.log, vote.term, "somebody")),
                     ErrorCode::kInvalidArgument, touched);
    case 5:
      return Refused(status(writer.PutFault(book.log, {.from = 5, .to = 3, .reason = "none"})),
                     ErrorCode::kInvalidArgument, touched);
    default: {  // No blunder, but rarely needed.
      (void)writer.WaitForRoom(book.log, 1 + rng_.Below(300), rng_.Below(100'000), Deadline{});
      (void)writer.written_fd();
      if (book.pending.empty()) return "";
      const Status waited = writer.Wait(book.pending.back().ticket, Deadline{});
      return waited.ok() ? "" : Refused(waited, ErrorCode::kTimeout, touched);
    }
  }
}

/// With what is not there, or is somebody else's.
std::string Scribe::BlunderAround(Node& node, Notebook& book, bool touched) {
  Writer& writer = WriterOf(node, book);
  LogStore& store = node.store();
  const auto status = [](const auto& result) { return result.ok() ? Status() : result.error(); };
  const Index below = book.now.begin - 1;
  const EntryView entry{.index = below, .term = 1};
  LogAppend group{book.log, {&entry, 1}};
  switch (rng_.Below(7)) {
    case 0:
      if (below == 0) return "";
      return Refused(status(writer.Append({&group, 1})), ErrorCode::kOutOfRange, touched);
    case 1: {
      group.entries = {};
      const Result<Ticket> none = writer.Append({&group, 1});  // No blunder, either.
      return none.ok() ? "" : Refused(none.error(), ErrorCode::kOverloaded, touched);
    }
    case 2:
      return Refused(writer.Wait(~Ticket{0}, Deadline{}), ErrorCode::kInvalidArgument, touched);
    case 3:
      return Refused(status(store.OpenLog(writer, "nobody's", OpenMode::kOpen)),
                     ErrorCode::kNotFound, touched);
    case 4:
      return Refused(status(store.OpenLog(writer, book.name, OpenMode::kCreate)),
                     ErrorCode::kAlreadyExists, touched);
    case 5:
      return Refused(status(store.Get(book.log, "no key")), ErrorCode::kNotFound, touched);
    default: {
      Result<Writer> made = store.NewWriter(static_cast<std::uint32_t>(book.shard));
      if (!made.ok()) return "";  // There may be no room for it.
      Writer second(std::move(*made));
      const Status opened = status(store.OpenLog(second, book.name, OpenMode::kOpen));
      if (opened.ok()) return "two Writers have it";
      return Refused(status(second.Append({&group, 1})), ErrorCode::kWrongWriter, touched);
    }
  }
}

std::vector<std::string> Scribe::Uids() const {
  std::vector<std::string> uids;
  for (const Notebook& book : books_) {
    if (book.open && !book.uid.empty()) uids.push_back(book.uid);
  }
  return uids;
}

void Scribe::OnMended(const std::string& uid) {
  for (Notebook& book : books_) {
    if (book.uid == uid) book.uid.clear();
  }
}

std::string Scribe::OnStart(Node& node, bool touched) {
  desk_->Work();
  if (rng_.OneIn(2)) {
    const auto count = [](void* told, Writer&) noexcept { ++*static_cast<std::uint64_t*>(told); };
    node.writers()[0].OnWritten(*desk_, count, &told_);
  }
  for (Notebook& book : books_) {
    if (!book.open) continue;
    const std::string wrong = Compare(node, book, touched);
    if (!wrong.empty()) return "log " + book.name + ": " + wrong;
  }
  return "";
}

std::string Scribe::Compare(Node& node, Notebook& book, bool touched) {
  Writer& writer = node.WriterOf(book.name);
  const Result<LogRef> log = node.store().OpenLog(writer, book.name, OpenMode::kOpen);
  if (!log.ok()) {
    const bool may_be_gone = touched || !book.registered || book.now.deleted;
    if (log.error().code == ErrorCode::kNotFound && may_be_gone) {
      book = book.Anew();
      return "";
    }
    return "it cannot be opened: " + log.error().message;
  }
  book.log = *log;
  book.shard = static_cast<std::size_t>(&writer - node.writers().data());
  const Result<LogFault> fault = node.store().FaultOf(*log);
  if (!fault.ok()) return "its fault cannot be asked for: " + fault.error().message;
  if (fault->faulty() && !touched) return "it is faulty on a disk that is sound: " + fault->reason;
  const std::string wrong = Match(node, book, touched, fault->faulty());
  if (!wrong.empty()) return wrong;
  book.pending.clear();
  book.registered = true;
  if (!fault->faulty()) return "";
  // Whoever has nobody to get it back from gives it up.
  const Result<Ticket> ticket = node.store().DeleteLog(writer, *log);
  if (!ticket.ok()) return IsBusy(ticket.error().code) ? "" : ticket.error().message;
  book.now.deleted = true;
  book.pending.push_back({*ticket, [](Shape& shape) { shape.deleted = true; }});
  return "";
}

std::string Scribe::ReadAll(Node& node, const Notebook& book, bool touched,
                            std::map<Index, Line>& lines) const {
  const Result<Bounds> bounds = node.store().BoundsOf(book.log);
  if (!bounds.ok()) return bounds.error().message;
  for (Index next = bounds->begin; next < bounds->end;) {
    const Result<Pin> pin = node.store().Read(book.log, next, bounds->end, 64u << 10);
    if (!pin.ok() && !touched) {
      return "entry " + std::to_string(next) + " cannot be read: " + pin.error().message;
    }
    if (!pin.ok()) {
      ++next;
      continue;
    }
    for (const EntryView& entry : pin->entries()) {
      // A repair may have put no-ops in the place of what was lost.
      if (entry.kind >= kFirstUserKind) {
        lines[entry.index] = {entry.term, Checksum(entry.payload, 0)};
      }
      next = entry.index + 1;
    }
  }
  return "";
}

/// What there is now is one of the shapes that it may have; it goes on from there.
std::string Scribe::Match(Node& node, Notebook& book, bool touched, bool faulty) {
  std::map<Index, Line> lines;
  const std::string unreadable = ReadAll(node, book, touched, lines);
  if (!unreadable.empty()) return unreadable;
  std::string uid;
  for (const LogInfo& info : node.store().Logs()) {
    if (info.log == book.log) uid = info.uid;
  }
  const bool anew = uid != book.uid;  // It was salvaged.
  if (anew && !touched) return "it has another uid";
  book.uid = uid;
  const Bounds bounds = *node.store().BoundsOf(book.log);
  const Vote vote = *node.store().VoteOf(book.log);
  Shape shape = book.known;
  for (std::size_t done = 0;; ++done) {
    bool equal = !shape.deleted && shape.begin == bounds.begin && shape.end == bounds.end &&
                 (shape.partial || shape.term_before_begin == bounds.term_before_begin) &&
                 shape.vote.term == vote.term && shape.vote.voted_for == vote.voted_for;
    for (const auto& [key, value] : shape.values) {
      const Result<std::string> there = node.store().Get(book.log, key);
      equal = equal && there.ok() && *there == value;
    }
    for (const auto& [index, line] : lines) {
      const auto mine = shape.lines.find(index);
      equal = equal && mine != shape.lines.end() && mine->second == line;
    }
    if (equal && !faulty && !anew) {
      book.known = book.now = shape;
      return "";
    }
    if (done == book.pending.size()) break;
    book.pending[done].change(shape);
  }
  if (!faulty && !anew) {
    return "it is [" + std::to_string(bounds.begin) + ", " + std::to_string(bounds.end) +
           "), and was never like that since [" + std::to_string(book.known.begin) + ", " +
           std::to_string(book.known.end) + ") was durable";
  }
  // Where nothing says what was lost, what cut an entry may be, too.
  for (const auto& [index, line] : lines) {
    const auto had = book.ever.find(index);
    if (had != book.ever.end() && std::ranges::count(had->second, line) > 0) continue;
    return "it is damaged, and shows an entry " + std::to_string(index) + " that was never there";
  }
  Shape left{.begin = bounds.begin,
             .end = bounds.end,
             .term_before_begin = bounds.term_before_begin,
             .lines = lines,
             .vote = vote,
             .partial = true};
  book.known = book.now = std::move(left);
  return "";
}

}  // namespace duramen::simulator
