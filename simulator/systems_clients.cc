// Clients of simulated systems: commands, alone or in sessions, and queries of every consistency,
// sent again as their outcomes allow, and a record of all of it for the judge.
#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "duramen/machines.h"
#include "simulator/systems_world.h"

namespace duramen::simulator {
namespace {

constexpr Moment kAttemptTimeout = 2 * kSecond;
constexpr Moment kPatience = 12 * kSecond;

std::string RegisterKey(std::uint64_t key) { return "r" + std::to_string(key); }
std::string SetPrefix(std::uint64_t key) { return "s" + std::to_string(key) + "/"; }

std::int64_t NumberOf(std::string_view text) {
  std::int64_t number = -1;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// Of a query for keys: each as its length, a space and itself.
std::vector<std::int64_t> ElementsOf(std::string_view answer, std::size_t prefix) {
  std::vector<std::int64_t> elements;
  while (!answer.empty()) {
    const auto length = static_cast<std::size_t>(NumberOf(answer));
    const std::size_t begin = answer.find(' ') + 1;
    if (begin == 0 || length > answer.size() - begin) break;
    elements.push_back(NumberOf(answer.substr(begin, length).substr(prefix)));
    answer.remove_prefix(begin + length);
  }
  return elements;
}

Response ResponseOf(const Request& request, const std::string& answer) {
  Response response;
  response.swapped = answer == "ok";
  if (request.act == Act::kRead && answer.starts_with("ok ")) {
    response.value = NumberOf(std::string_view(answer).substr(3));
  }
  if (request.act == Act::kMembers)
    response.elements = ElementsOf(answer, SetPrefix(request.key).size());
  return response;
}

}  // namespace

void SystemsWorld::StartClients() {
  parties_.resize(settings_.clients);
  for (Party& party : parties_) party.sessions.resize(settings_.clusters);
  for (std::size_t number = 0; number < settings_.clients * settings_.lanes; ++number) {
    Caller caller{.number = number, .rng = Rng(rng_.Next()), .process = ++next_};
    caller.own.resize(settings_.clusters);
    caller.own_text.resize(settings_.clusters);
    callers_.push_back(std::move(caller));
  }
  callers_hand_.Always([this] { Poll(); });
  for (std::size_t number = 0; number < callers_.size(); ++number) {
    callers_hand_.In(Exponential(settings_.think_ms),
                     [this, number] { Begin(callers_[number]); });
  }
}

void SystemsWorld::Begin(Caller& caller) {
  if (!trouble_) return;
  caller.busy = true;
  caller.cluster = static_cast<std::uint32_t>(caller.rng.Below(settings_.clusters));
  caller.request = {.key = caller.rng.Below(settings_.keys)};
  caller.give_up_at = now() + kPatience;
  if (caller.rng.OneIn(2)) {
    DrawCommand(caller);
  } else {
    DrawQuery(caller);
  }
  ++tally_.operations;
  if (caller.how != How::kOwn) {
    records_.push_back(
        {Record::Kind::kInvoke, caller.process, caller.cluster, caller.request, {}, now()});
  }
  Try(caller);
}

void SystemsWorld::DrawCommand(Caller& caller) {
  Request& request = caller.request;
  request.value = next_value_++;
  const std::string value = std::to_string(request.value);
  switch (caller.rng.Below(4)) {
    case 0:
      request.act = Act::kCas;
      request.expected = std::max<std::int64_t>(
          1, request.value - 1 - static_cast<std::int64_t>(caller.rng.Below(8)));
      caller.text = Kv::CompareAndPut(RegisterKey(request.key), std::to_string(request.expected),
                                      value);
      break;
    case 1:
      request.act = Act::kAdd;
      caller.text = Kv::Put(SetPrefix(request.key) + value, "");
      break;
    default:
      request.act = Act::kWrite;
      caller.text = Kv::Put(RegisterKey(request.key), value);
  }
  Session& session = SessionOf(caller);
  // No more answers are kept than that.
  const bool has_room =
      session.sequence - session.acknowledged() < server::SessionTable::kWindow;
  const bool in_session =
      session.number != 0 && has_room && caller.rng.Below(100) < settings_.in_session;
  caller.how = in_session ? How::kInSession : How::kPlain;
  if (!in_session) return;
  request.mark = {.client = session.number, .sequence = ++session.sequence};
  session.unanswered.insert(session.sequence);
}

/// Shared by the lanes of a client.
Session& SystemsWorld::SessionOf(const Caller& caller) {
  return parties_[caller.number / settings_.lanes].sessions[caller.cluster];
}

void SystemsWorld::DrawQuery(Caller& caller) {
  Request& request = caller.request;
  caller.how = How::kQuery;
  constexpr Consistency kLinear[] = {Consistency::kConsistent, Consistency::kLease,
                                     Consistency::kThroughLog};
  caller.query = {.consistency = kLinear[caller.rng.Below(3)]};
  const std::uint64_t drawn = caller.rng.Below(5);
  if (drawn == 0) {
    request.act = Act::kMembers;
    caller.text = Kv::Keys(SetPrefix(request.key));
    return;
  }
  request.act = Act::kRead;
  caller.text = Kv::Get(RegisterKey(request.key));
  const Token own = caller.own[caller.cluster];
  if (drawn > 1 || own.index == 0) return;
  caller.how = How::kOwn;
  caller.query = {.consistency = Consistency::kLocal, .after = own};
}

/// Once more, somewhere.
void SystemsWorld::Try(Caller& caller) {
  caller.attempt = 0;
  if (now() >= caller.give_up_at) return End(caller, Record::Kind::kInfo, {});
  Home* home = AnyHome(caller.rng);
  if (home == nullptr) return Again(caller, 100 * kMillisecond);
  const std::uint64_t correlation = ++next_;
  caller.attempt = correlation;
  pending_[correlation] = {.caller = caller.number, .node = home->number};
  const Status posted = Post(caller, *home, correlation);
  if (!posted.ok()) {
    pending_.erase(correlation);
    const ErrorCode code = posted.error().code;
    const bool expected = code == ErrorCode::kNotFound || code == ErrorCode::kOverloaded ||
                          code == ErrorCode::kNotLeader || code == ErrorCode::kClosed;
    if (!expected) Fail("a client's request is refused: " + posted.error().message);
    return Again(caller, static_cast<Moment>(1 + caller.rng.Below(50)) * kMillisecond);
  }
  callers_hand_.In(kAttemptTimeout, [this, number = caller.number, correlation] {
    if (callers_[number].attempt == correlation) OnUnknown(callers_[number]);
  });
}

Status SystemsWorld::Post(Caller& caller, Home& home, std::uint64_t correlation) {
  const std::string cluster = ClusterName(caller.cluster);
  if (caller.how == How::kQuery || caller.how == How::kOwn)
    return home.client->Ask(cluster, correlation, AsBytes(caller.text), caller.query);
  SendOptions options;
  if (caller.rng.OneIn(4)) options.priority = Priority::kLow;
  if (settings_.relays > 0 && caller.rng.OneIn(settings_.relays))
    options.reply_from = NodeName(caller.rng.Below(homes_.size()));
  if (caller.how == How::kInSession) {
    options.place = InSession{.session = caller.request.mark.client,
                              .sequence = caller.request.mark.sequence,
                              .acknowledged = SessionOf(caller).acknowledged()};
  }
  return home.client->Send(cluster, correlation, AsBytes(caller.text), options);
}

void SystemsWorld::Again(Caller& caller, Moment delay) {
  const std::uint64_t attempt = caller.attempt = ++next_;  // Of nobody: no outcome names it.
  callers_hand_.In(delay, [this, number = caller.number, attempt] {
    if (callers_[number].attempt == attempt) Try(callers_[number]);
  });
}

/// A command alone may have run; in a session it may be sent again, as a query may.
void SystemsWorld::OnUnknown(Caller& caller) {
  if (caller.how == How::kPlain) return End(caller, Record::Kind::kInfo, {});
  ++tally_.retries;
  Again(caller, static_cast<Moment>(1 + caller.rng.Below(50)) * kMillisecond);
}

void SystemsWorld::Poll() {
  for (const auto& home : homes_) {
    if (home->system) Poll(*home);
  }
}

/// Each has an outcome once.
void SystemsWorld::Poll(Home& home) {
  for (const duramen::Outcome& outcome : home.client->Poll()) {
    Note(outcome.correlation,
         outcome.error ? static_cast<std::uint64_t>(outcome.error->code) : outcome.index << 8);
    const auto pending = pending_.find(outcome.correlation);
    if (pending == pending_.end() || pending->second.node != home.number) {
      Fail("an outcome of nothing, or a second one");
      continue;
    }
    const auto number = pending->second.caller;
    pending_.erase(pending);
    if (!number || callers_[*number].attempt != outcome.correlation) continue;  // It has moved on.
    Take(callers_[*number], outcome);
  }
  for (const Message& message : home.client->Messages()) {
    ++tally_.messages;
    const std::string what =
        home.client->address() + " of " + message.cluster + ": " + message.payload;
    Note(message.payload.size(), tally_.messages);
    // One from the nearest may come again, of a member that has come anew.
    const bool once = message.payload.starts_with(kOnce);
    if (once && !heard_.insert(what).second) Fail("a message comes a second time, to " + what);
  }
}

void SystemsWorld::Take(Caller& caller, const duramen::Outcome& outcome) {
  if (!outcome.error) return TakeAnswer(caller, outcome);
  const Moment soon = static_cast<Moment>(1 + caller.rng.Below(50)) * kMillisecond;
  switch (outcome.error->code) {
    case ErrorCode::kNotLeader:
    case ErrorCode::kOverloaded:
    case ErrorCode::kNotFound:
    case ErrorCode::kWalDown:
    case ErrorCode::kFaulty:  // Nothing has happened.
      return Again(caller, soon);
    case ErrorCode::kRefused:
      if (outcome.error->message.ends_with("was lost"))
        Fail("client " + std::to_string(caller.number) + ": " + outcome.error->message);
      return Again(caller, soon);
    case ErrorCode::kTimeout:
    case ErrorCode::kClosed:
      return OnUnknown(caller);
    default:
      Fail("client " + std::to_string(caller.number) + " of " + ClusterName(caller.cluster) +
           ": " + outcome.error->message);
      return End(caller, Record::Kind::kInfo, {});
  }
}

void SystemsWorld::TakeAnswer(Caller& caller, const duramen::Outcome& outcome) {
  ++tally_.acknowledged;
  if (caller.how == How::kOwn) {
    JudgeOwn(caller, outcome.answer);
    return End(caller, Record::Kind::kOk, {});
  }
  if (caller.request.act == Act::kWrite) {
    caller.own[caller.cluster] = {.index = outcome.index, .term = outcome.term};
    caller.own_text[caller.cluster] = caller.text;
  }
  if (caller.how != How::kQuery) JudgePlace(caller, outcome);
  End(caller, Record::Kind::kOk, ResponseOf(caller.request, outcome.answer));
}

/// What is acknowledged was applied, where it is said to stand; a retry stands behind that.
void SystemsWorld::JudgePlace(const Caller& caller, const duramen::Outcome& outcome) {
  const std::string cluster = ClusterName(caller.cluster);
  const Index place = chronicle_.PlaceOf(cluster, caller.text);
  if (place == 0)
    return Fail(cluster + ": nobody has applied what is acknowledged: " + caller.text);
  const bool there = caller.how == How::kPlain ? place == outcome.index : place <= outcome.index;
  if (!there) {
    Fail(cluster + ": " + caller.text + " stands at " + std::to_string(place) + ", not at " +
         std::to_string(outcome.index) + ", as its client is told");
  }
}

/// RD5: what it sees is no older than what it wrote.
void SystemsWorld::JudgeOwn(Caller& caller, const std::string& answer) {
  ++tally_.own_reads;
  const std::string& written = caller.own_text[caller.cluster];
  const std::string key = RegisterKey(caller.request.key);
  if (!written.starts_with(Kv::Put(key, "").substr(0, key.size() + 6))) return;  // Another key.
  const std::string cluster = ClusterName(caller.cluster);
  const std::string value = answer.starts_with("ok ") ? answer.substr(3) : "";
  const Index seen = chronicle_.PlaceOf(cluster, Kv::Put(key, value));
  // A compare-and-put has a place that is not looked for: any other value is as good.
  if (value.empty() || (seen != 0 && seen < chronicle_.PlaceOf(cluster, written)))
    Fail(cluster + ": who wrote " + written + " reads '" + answer + "' behind it");
}

void SystemsWorld::End(Caller& caller, Record::Kind kind, const Response& response) {
  caller.busy = false;
  caller.attempt = 0;
  if (caller.how != How::kOwn) {
    records_.push_back(
        {kind, caller.process, caller.cluster, caller.request, response, now()});
  }
  if (caller.how == How::kInSession)
    SessionOf(caller).unanswered.erase(caller.request.mark.sequence);
  if (kind == Record::Kind::kInfo) {
    ++tally_.unknown;
    caller.process = ++next_;
    // Who has others under way in it goes on in its session.
    if (caller.how == How::kInSession && settings_.lanes == 1) SessionOf(caller) = {};
  }
  callers_hand_.In(Exponential(settings_.think_ms),
                   [this, number = caller.number] { Begin(callers_[number]); });
}

}  // namespace duramen::simulator
