// Clients of a simulated world, on a network of their own that is only slow.
#include <algorithm>
#include <utility>

#include "simulator/world.h"

namespace duramen::simulator {
namespace {

constexpr Moment kAttemptTimeout = 2 * kSecond;
constexpr Moment kPatience = 12 * kSecond;
/// Some give up while the answer is on its way.
constexpr Moment kHaste = 3 * kMillisecond;

}  // namespace

void World::StartClients() {
  for (std::uint32_t number = 0; number < settings_.clients * settings_.lanes; ++number) {
    Client client{.number = number, .rng = Rng(rng_.Next()), .process = next_process_++};
    if (number % settings_.lanes == 0) sessions_.push_back({.number = client.process});
    client.session = sessions_.size() - 1;
    client.leaders.resize(clusters_.size());
    clients_.push_back(std::move(client));
  }
  for (const Client& client : clients_) {
    In(Exponential(settings_.think_ms),
       [this, number = client.number] { BeginOperation(clients_[number]); });
  }
}

/// Some of everything.
void World::DrawRequest(Rng& rng, Attempt& attempt) {
  Request& request = attempt.request;
  switch (rng.Below(8)) {
    case 0:
    case 1:
      request.act = Act::kWrite;
      request.value = next_value_++;
      break;
    case 2:
      request.act = Act::kCas;
      request.expected = std::max<std::int64_t>(
          1, next_value_ - 1 - static_cast<std::int64_t>(rng.Below(6)));
      request.value = next_value_++;
      break;
    case 3:
      request.act = Act::kAdd;
      request.value = next_value_++;
      break;
    case 4:
      request.act = Act::kMembers;
      attempt.by_query = true;
      break;
    default:
      request.act = Act::kRead;
      attempt.by_query = !rng.OneIn(4);
      attempt.by_lease = settings_.lease_margin_ms > 0 && rng.OneIn(2);
  }
}

/// Any; once all has healed, more often one that has not served since: in a crowd it may be minutes
/// until chance asks for each.
std::uint32_t World::ClusterFor(Rng& rng) const {
  const auto any = static_cast<std::uint32_t>(rng.Below(clusters_.size()));
  if (trouble_ || rng.OneIn(2)) return any;
  for (std::uint32_t tried = 0; tried < clusters_.size(); ++tried) {
    const auto number = static_cast<std::uint32_t>((any + tried) % clusters_.size());
    if (!served_after_healing_.contains(number)) return number;
  }
  return any;
}

void World::BeginOperation(Client& client) {
  Session& session = sessions_[client.session];
  if (session.sequence - session.acknowledged() >= server::SessionTable::kWindow) {
    // One of its commands is long under way; the servers keep no more answers than that.
    return In(kAttemptTimeout,
              [this, number = client.number] { BeginOperation(clients_[number]); });
  }
  Attempt& attempt = client.attempt;
  attempt.client = client.number;
  attempt.cluster = ClusterFor(client.rng);
  attempt.by_query = attempt.by_lease = false;
  Request& request = attempt.request;
  request = {.key = client.rng.Below(settings_.keys)};
  if (trouble_ && settings_.reads > 0 && client.rng.Below(100) < settings_.reads) {
    attempt.by_query = true;
    attempt.by_lease = settings_.lease_margin_ms > 0;
  } else {
    DrawRequest(client.rng, attempt);
  }
  if (!attempt.by_query) {
    request.mark.acknowledged = session.acknowledged();
    request.mark.client = session.number;
    request.mark.sequence = ++session.sequence;
    session.unanswered.insert(session.sequence);
  }
  client.busy = true;
  client.began_at = now();
  client.give_up_at = now() + (client.rng.OneIn(12) ? kHaste : kPatience);
  ++tally_.operations;
  records_.push_back({Record::Kind::kInvoke, client.process, attempt.cluster, request, {}, now()});
  if (settings_.roam > 0 && client.rng.OneIn(settings_.roam)) {
    return Try(client, static_cast<std::uint32_t>(client.rng.Below(nodes_.size())));
  }
  Try(client, client.leaders[attempt.cluster]);
}

/// Sends the operation once more, under the same number in its session.
void World::Try(Client& client, std::uint32_t node) {
  if (now() >= client.give_up_at) return EndOperation(client, Record::Kind::kInfo, {});
  client.attempt.number = next_ticket_++;
  const Attempt attempt = client.attempt;
  In(Delay(node, node), [this, node, attempt] { Arrive(node, attempt); });
  In(std::min(kAttemptTimeout, client.give_up_at - now()),
     [this, number = client.number, ticket = attempt.number] {
       Client& waiting = clients_[number];
       if (!waiting.busy || waiting.attempt.number != ticket) return;
       Try(waiting, static_cast<std::uint32_t>(waiting.rng.Below(nodes_.size())));
     });
}

void World::Arrive(std::uint32_t number, const Attempt& attempt) {
  Node& node = *nodes_[number];
  if (!node.is_up()) return;
  if (node.paused_until > now())
    return agenda_.At(node.paused_until + Late(), [=, this] { Arrive(number, attempt); });
  Resident* resident = node.Find(attempt.cluster);
  if (resident == nullptr || !resident->replica) {
    return Answer(number, attempt, {.ticket = attempt.number, .answer = core::Answer::kNotLeader},
                  "");
  }
  attempts_[attempt.number] = attempt;
  attempts_[attempt.number].floor = referee_.acknowledged(attempt.cluster);
  StepAt(node, *resident, [&](core::Microseconds at) {
    if (attempt.by_query) {
      const auto kind =
          attempt.by_lease ? core::Query::Kind::kLease : core::Query::Kind::kConsistent;
      resident->replica->Step(at, core::Query{.ticket = attempt.number, .kind = kind});
    } else {
      resident->replica->Propose(at, {{attempt.number, Encode(attempt.request)}});
    }
  });
}

void World::OnReply(server::Replica& replica, const core::Reply& reply) {
  const auto at = attempts_.find(reply.ticket);
  if (at == attempts_.end()) {
    if (reply.answer == core::Answer::kDone)
      ++(reply.at.index > 0 ? tally_.changes : tally_.transfers);
    return;
  }
  const Attempt attempt = at->second;
  attempts_.erase(at);
  Answer(AddressOf(replica.uid())->node, attempt, reply, "");
}

void World::OnApplied(server::Replica& replica, std::uint64_t ticket, server::Applied applied) {
  const auto at = attempts_.find(ticket);
  if (at == attempts_.end()) return;
  const Attempt attempt = at->second;
  attempts_.erase(at);
  Answer(AddressOf(replica.uid())->node, attempt,
         {.ticket = ticket, .at = {0, replica.applied()}}, applied.answer);
}

void World::OnQuery(server::Replica& replica, std::uint64_t ticket) {
  const auto at = attempts_.find(ticket);
  if (at == attempts_.end()) return;
  const Attempt attempt = at->second;
  attempts_.erase(at);
  const Address* where = AddressOf(replica.uid());
  ++tally_.reads;
  referee_.OnRead(where->cluster, attempt.floor, replica);
  Answer(where->node, attempt, {.ticket = ticket},
         Encode(nodes_[where->node]->Find(where->cluster)->machine->Read(attempt.request)));
}

void World::Answer(std::uint32_t node, const Attempt& attempt, const core::Reply& reply,
                   const std::string& answer) {
  if (trouble_ && rng_.OneIn(40)) return;  // Answers get lost, too: that is what sessions are for.
  In(Delay(node, node), [=, this] { TakeAnswer(attempt, reply, answer); });
}

void World::RetryLater(Client& client, std::uint32_t node, Moment delay) {
  const std::uint64_t ticket = client.attempt.number;
  In(delay, [this, number = client.number, node, ticket] {
    Client& waiting = clients_[number];
    if (waiting.busy && waiting.attempt.number == ticket) Try(waiting, node);
  });
}

void World::TakeAnswer(const Attempt& attempt, const core::Reply& reply,
                       const std::string& answer) {
  Client& client = clients_[attempt.client];
  if (!client.busy || client.attempt.number != attempt.number) return;  // It has moved on.
  if (reply.answer == core::Answer::kDone) {
    const Response response = DecodeResponse(answer);
    referee_.OnAcknowledged(attempt.cluster, reply.at.index);
    if (response.expired) return EndOperation(client, Record::Kind::kInfo, {});
    return EndOperation(client, Record::Kind::kOk, response);
  }
  auto next = static_cast<std::uint32_t>(client.rng.Below(nodes_.size()));
  if (const Address* hinted = AddressOf(reply.leader)) next = hinted->node;
  client.leaders[attempt.cluster] = next;
  RetryLater(client, next, static_cast<Moment>(1 + client.rng.Below(100)) * kMillisecond);
}

void World::EndOperation(Client& client, Record::Kind kind, const Response& response) {
  const Attempt& attempt = client.attempt;
  Session& session = sessions_[client.session];
  session.unanswered.erase(attempt.request.mark.sequence);
  client.busy = false;
  records_.push_back({kind, client.process, attempt.cluster, attempt.request, response, now()});
  if (kind == Record::Kind::kOk) {
    // What began after all had healed counts as service.
    if (!trouble_ && !attempt.by_query &&
        client.began_at > static_cast<Moment>(settings_.trouble_ms) * kMillisecond) {
      served_after_healing_.insert(attempt.cluster);
    }
  } else {
    ++tally_.unknown;
    client.process = next_process_++;
    // Who has others under way in it goes on in its session.
    if (settings_.lanes == 1) session = {.number = client.process};
  }
  In(Exponential(settings_.think_ms),
     [this, number = client.number] { BeginOperation(clients_[number]); });
}

std::string World::JudgeLiveness() {
  for (std::uint32_t number = 0; number < clusters_.size(); ++number) {
    if (served_after_healing_.count(number) > 0) continue;
    std::string state;
    for (const std::unique_ptr<Node>& node : nodes_) {
      const Resident* resident = node->is_up() ? node->Find(number) : nullptr;
      if (resident == nullptr || !resident->replica) continue;
      const core::Core& core = resident->replica->core();
      state += "; node " + std::to_string(node->number()) + " " +
               std::string(core::NameOf(core.role_kind())) + " term " +
               std::to_string(core.term()) + " log " + std::to_string(core.log().last().index) +
               " written " + std::to_string(core.written()) + " commit " +
               std::to_string(core.commit()) +
               (core.configuration().IsVoter(resident->uid) ? " voter" : " no voter") + " of " +
               std::to_string(core.configuration().voters());
    }
    return "cluster " + std::to_string(number) + " does not serve again after all has healed" +
           state;
  }
  if (!AllSound()) return "a server is still faulty long after all has healed";
  return "";
}

}  // namespace duramen::simulator
