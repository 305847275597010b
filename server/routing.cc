// How requests find the leader, and how answers find who asked.
#include <algorithm>
#include <charconv>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/try.h"
#include "server/system_impl.h"

namespace duramen {

using server::Parcel;
using server::Request;
using server::Response;
using server::Worker;

namespace {

constexpr std::int64_t kBackoffNs = 10'000'000;
constexpr std::size_t kMessagesMax = 65536;  // of a client, not taken
constexpr std::size_t kOutcomesMax = 1'000'000;  // of a client, under way and not polled

Error Unanswered(const std::string& node) {
  if (node.empty()) return server::Closed();
  return {ErrorCode::kTimeout, "node '" + node + "' is gone",
          "whether it happens is unknown: read, or send it again in a session"};
}

}  // namespace

std::uint64_t System::Impl::NewNumber() {
  const std::lock_guard lock(clients_mutex_);
  return next_number_++;
}

std::shared_ptr<Client::Impl> System::Impl::NewClient() {
  auto client = std::make_shared<Client::Impl>();
  client->system = this;
  client->number = NewNumber();
  const std::lock_guard lock(clients_mutex_);
  clients_[client->number] = client;
  return client;
}

void System::Impl::DropClient(Client::Impl& client) {
  const std::lock_guard lock(clients_mutex_);
  clients_.erase(client.number);
}

Status System::Impl::Post(Client::Impl& client, Request request, const std::string& to) {
  const Visit visit(*this);
  if (visit.refused()) return Unanswered({});
  TRY(Check(request));
  const bool silent = request.reply == ReplyWhen::kNever;
  request.asker.node = options.node;
  request.asker.client = silent ? 0 : client.number;
  std::string node = to.empty() ? TRY(LeaderNode(request.cluster)) : to;
  if (node.empty() || server::StaysHere(request)) node = options.node;
  if (silent) return Submit(std::move(request), node);
  {
    const std::lock_guard lock(client.mutex);
    if (client.under_way + client.fresh.size() >= kOutcomesMax) {
      return Error{ErrorCode::kOverloaded, "a million of its calls are under way, or not polled",
                   "take its outcomes with Poll"};
    }
    Client::Impl::Call& call = client.Begin();
    call.correlation = request.asker.correlation;
    call.node = node;
    call.relay = request.reply_from;
    request.asker.call = call.number;
  }
  const std::uint64_t number = request.asker.call;
  const Status submitted = Submit(std::move(request), node);
  if (submitted.ok()) return {};
  const std::lock_guard lock(client.mutex);
  Client::Impl::Call* call = client.Find(number);
  if (call == nullptr) return {};  // That node went meanwhile, and there is an outcome.
  client.End(*call);
  return submitted;
}

Client::Impl::Call& Client::Impl::Begin() {
  if (free_calls.empty()) {
    free_calls.push_back(static_cast<std::uint32_t>(calls.size()));
    calls.emplace_back();
  }
  const std::uint32_t place = free_calls.back();
  free_calls.pop_back();
  ++under_way;
  calls[place].number = next_call++ << 32 | place;
  return calls[place];
}

Client::Impl::Call* Client::Impl::Find(std::uint64_t call_number) {
  const auto place = static_cast<std::uint32_t>(call_number);
  const bool there = place < calls.size() && call_number != 0 && calls[place].number == call_number;
  return there ? &calls[place] : nullptr;
}

void Client::Impl::End(Call& call) {
  free_calls.push_back(static_cast<std::uint32_t>(call.number));
  call.number = 0;
  --under_way;
}

/// Before it goes anywhere.
Status System::Impl::Check(const Request& request) const {
  std::size_t bytes = request.payload.size();
  if (request.ask == server::Ask::kCommand) {
    const server::CommandFrame frame = TRY(server::DecodeCommand(request.payload));
    bytes = frame.payload.size();
    if (frame.kind == server::CommandKind::kInSession &&
        (frame.mark.client == 0 || frame.mark.sequence <= frame.mark.acknowledged)) {
      return Error{ErrorCode::kInvalidArgument, "no place in a session",
                   "sessions have numbers above 0, sequences are above what is acknowledged"};
    }
  }
  if (bytes > options.max_command_bytes) {
    return Error{ErrorCode::kTooLarge, "a command of " + std::to_string(bytes) + " bytes",
                 "max_command_bytes is " + std::to_string(options.max_command_bytes)};
  }
  if (request.ask != server::Ask::kQuery) return {};
  if ((request.after.index == 0) != (request.after.term == 0)) {
    return Error{ErrorCode::kInvalidArgument, "a token has an index and a term, or neither",
                 "take it from an Outcome"};
  }
  if (request.consistency == Consistency::kLocal && !options.local_queries) {
    return Error{ErrorCode::kRefused, "local queries are switched off",
                 "ask with another consistency, or set local_queries"};
  }
  return {};
}

Status System::Impl::Submit(Request request, const std::string& to) {
  if (to == options.node) return WorkerOf(request.cluster).Take(std::move(request));
  std::vector<Parcel> parcels;
  parcels.emplace_back(std::move(request));
  if (options.network != nullptr && options.network->impl().network.Send(to, std::move(parcels)))
    return {};
  return Error{ErrorCode::kNotLeader, "node '" + to + "', which led the cluster, is gone",
               "wait for another leader"};
}

Result<Outcome> System::Impl::Ask(Request request, Deadline deadline) {
  const Visit visit(*this);
  const std::shared_ptr<Client::Impl> client = NewClient();
  const auto answered = [](void* argument) {
    auto* self = static_cast<Client::Impl*>(argument);
    return self->Rings() || self->system->closed();
  };
  Result<Outcome> result = Error{};
  std::string to;
  for (std::uint64_t attempt = 1;; ++attempt) {
    Request one = request;
    one.asker.correlation = attempt;
    const Status posted = Post(*client, std::move(one), to);
    to.clear();
    if (posted.ok()) {
      if (!Await(answered, client.get(), deadline)) {
        result = Error{ErrorCode::kTimeout, "the deadline passed",
                       "whether it happens is unknown: read, or send it again in a session"};
        break;
      }
      if (!client->Rings()) {
        result = Unanswered({});  // Close may have come before the call was entered.
        break;
      }
      Outcome outcome = std::move(client->fresh.front());
      client->fresh.clear();
      to = outcome.leader;
      result = outcome.error ? Result<Outcome>(*outcome.error) : std::move(outcome);
    } else {
      result = posted.error();
    }
    if (result.ok()) break;
    const ErrorCode code = result.error().code;
    // Nothing has happened, so it may be sent again.
    if (code != ErrorCode::kNotLeader && code != ErrorCode::kOverloaded) break;
    const Deadline soon(std::chrono::nanoseconds(clock_.NowNs() + kBackoffNs));
    if (soon >= deadline) break;
    (void)Await([](void*) { return false; }, nullptr, soon);
  }
  DropClient(*client);
  return result;
}

void System::Impl::Send(const std::string& node, std::vector<Parcel> parcels) {
  if (node == options.node) return Deliver(std::move(parcels));
  if (options.network != nullptr)
    (void)options.network->impl().network.Send(node, std::move(parcels));
}

void System::Impl::Deliver(std::vector<Parcel> parcels) {
  std::map<Worker*, std::vector<Parcel>> sorted;
  std::vector<server::Farewell> gone;
  {
    const std::shared_lock lock(routes_mutex_);
    for (Parcel& parcel : parcels) {
      if (auto* envelope = std::get_if<server::Envelope>(&parcel)) {
        const auto route = routes_.find(envelope->message.to);
        if (route != routes_.end()) sorted[route->second].push_back(std::move(parcel));
      } else if (auto* notice = std::get_if<server::PeerNotice>(&parcel)) {
        const auto route = routes_.find(notice->to);
        if (route != routes_.end()) sorted[route->second].push_back(std::move(parcel));
      } else if (auto* request = std::get_if<Request>(&parcel)) {
        Worker* worker = &WorkerOf(request->cluster);
        sorted[worker].push_back(std::move(parcel));
      } else if (auto* farewell = std::get_if<server::Farewell>(&parcel)) {
        const auto route = routes_.find(farewell->to);
        if (route != routes_.end()) {
          sorted[route->second].push_back(std::move(parcel));
        } else if (!farewell->reply) {
          gone.push_back(std::move(*farewell));
        }
      } else if (auto* relay = std::get_if<server::Relay>(&parcel)) {
        Worker* worker = &WorkerOf(relay->cluster);
        sorted[worker].push_back(std::move(parcel));
      }
    }
  }
  for (auto& [worker, list] : sorted) worker->Take(std::move(list));
  for (server::Farewell& one : gone) {
    if (HasLog(one.to)) continue;  // It could not be opened: that is not gone.
    std::vector<Parcel> back;
    back.emplace_back(server::Farewell{.to = one.about,
                                       .about = one.to,
                                       .node = options.node,
                                       .deleted = one.deleted,
                                       .reply = true});
    Send(one.node, std::move(back));
  }
  TakeResponses(parcels);
}

bool System::Impl::HasLog(const ServerUid& uid) const {
  const std::vector<LogInfo> logs = store_->Logs();
  return std::ranges::find(logs, uid.ToString(), &LogInfo::uid) != logs.end();
}

/// Most often many in a row are one client's.
void System::Impl::TakeResponses(std::vector<Parcel>& parcels) {
  std::shared_ptr<Client::Impl> client;
  std::unique_lock<std::mutex> lock;
  bool any = false;
  for (Parcel& parcel : parcels) {
    auto* response = std::get_if<Response>(&parcel);
    if (auto* notice = std::get_if<server::Notice>(&parcel)) {
      if (lock.owns_lock()) lock.unlock();
      client = nullptr;
      TakeNotice(*notice);
    }
    if (response == nullptr) continue;
    if (client == nullptr || client->number != response->client) {
      if (lock.owns_lock()) lock.unlock();
      client = FindClient(response->client);
      if (client == nullptr) continue;
      lock = std::unique_lock(client->mutex);
    }
    // One that was given up has its outcome.
    Client::Impl::Call* call = client->Find(response->call);
    if (call == nullptr) continue;
    response->outcome.correlation = call->correlation;
    client->End(*call);
    client->fresh.push_back(std::move(response->outcome));
    any = true;
  }
  if (lock.owns_lock()) lock.unlock();
  if (any) executor_.Progress();
}

void System::Impl::TakeNotice(server::Notice& notice) {
  const std::shared_ptr<Client::Impl> client = FindClient(notice.client);
  if (client == nullptr) return;
  {
    const std::lock_guard lock(client->mutex);
    if (client->messages.size() == kMessagesMax) client->messages.pop_front();
    client->messages.push_back(std::move(notice.message));
  }
  executor_.Progress();
}

std::shared_ptr<Client::Impl> System::Impl::FindClient(std::uint64_t number) {
  const std::lock_guard lock(clients_mutex_);
  const auto found = clients_.find(number);
  return found == clients_.end() ? nullptr : found->second;
}

void System::Impl::OnNode(const std::string& node, std::optional<std::uint64_t> boot) {
  for (const auto& worker : workers_) {
    Worker* one = worker.get();
    one->Call([one, node, boot] { one->OnNode(node, boot); });
  }
  if (boot) return;
  {
    const std::unique_lock lock(routes_mutex_);
    for (auto& [cluster, known] : known_) {
      if (known.leader == node) known.leader.clear();
    }
  }
  GiveUp(node);
}

void System::Impl::GiveUp(const std::string& node) {
  std::vector<std::shared_ptr<Client::Impl>> clients;
  {
    const std::lock_guard lock(clients_mutex_);
    for (const auto& [number, client] : clients_) clients.push_back(client);
  }
  for (const auto& client : clients) {
    const std::lock_guard lock(client->mutex);
    for (Client::Impl::Call& call : client->calls) {
      const bool theirs = node.empty() || call.node == node || call.relay == node;
      if (call.number == 0 || !theirs) continue;
      client->fresh.push_back({.correlation = call.correlation, .error = Unanswered(node)});
      client->End(call);
    }
  }
  executor_.Progress();
}

namespace server {
namespace {

std::vector<std::byte> FrameOf(Bytes command, const InSession& place) {
  return EncodeCommand({.kind = CommandKind::kInSession,
                        .mark = {.client = place.session,
                                 .sequence = place.sequence,
                                 .acknowledged = place.acknowledged},
                        .payload = command});
}

Request QueryOf(std::string_view cluster, Bytes query, const QueryOptions& options) {
  Request request{.ask = Ask::kQuery,
                  .consistency = options.consistency,
                  .after = options.after,
                  .cluster = std::string(cluster)};
  if (options.consistency != Consistency::kThroughLog) {
    request.payload = {query.begin(), query.end()};
    return request;
  }
  request.ask = Ask::kCommand;
  request.payload = EncodeCommand({.kind = CommandKind::kReads, .payload = query});
  return request;
}

}  // namespace

std::string AddressOf(const std::string& node, std::uint64_t client) {
  return std::to_string(client) + "@" + node;
}

std::string_view NodeOf(std::string_view address) {
  const std::size_t at = address.find('@');
  return at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
}

std::uint64_t ClientOf(std::string_view address) {
  std::uint64_t client = 0;
  const std::string_view digits = address.substr(0, address.find('@'));
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), client);
  return parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size() ? client : 0;
}

}  // namespace server

inline namespace v1 {

Client::Client(Client&& other) noexcept = default;
Client::Client(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Client::~Client() {
  if (impl_ != nullptr) impl_->system->DropClient(*impl_);
}

Status Client::Send(std::string_view cluster, std::uint64_t correlation, Bytes command,
                    const SendOptions& options) {
  server::Request request{.asker = {.correlation = correlation},
                          .ask = server::Ask::kCommand,
                          .reply = options.reply,
                          .priority = options.priority,
                          .reply_from = options.reply_from,
                          .cluster = std::string(cluster)};
  request.payload = options.place ? server::FrameOf(command, *options.place)
                                  : server::EncodeCommand({.payload = command});
  return impl_->system->Post(*impl_, std::move(request));
}

Status Client::Ask(std::string_view cluster, std::uint64_t correlation, Bytes query,
                   const QueryOptions& options) {
  server::Request request = server::QueryOf(cluster, query, options);
  request.asker.correlation = correlation;
  return impl_->system->Post(*impl_, std::move(request));
}

std::span<const Message> Client::Messages() {
  impl_->taken_messages.clear();
  const std::lock_guard lock(impl_->mutex);
  for (Message& message : impl_->messages) impl_->taken_messages.push_back(std::move(message));
  impl_->messages.clear();
  return impl_->taken_messages;
}

std::string Client::address() const {
  return server::AddressOf(impl_->system->options.node, impl_->number);
}

std::span<const Outcome> Client::Poll() {
  impl_->taken.clear();
  const std::lock_guard lock(impl_->mutex);
  impl_->taken.swap(impl_->fresh);
  return impl_->taken;
}

Status Client::Wait(Deadline deadline) {
  const auto answered = [](void* argument) {
    auto* self = static_cast<Impl*>(argument);
    if (self->Rings()) return true;
    const std::lock_guard lock(self->mutex);
    return self->system->closed() && self->under_way == 0;
  };
  if (!impl_->system->Await(answered, impl_.get(), deadline))
    return Error{ErrorCode::kTimeout, "the deadline passed without an outcome", "wait again"};
  return impl_->Rings() ? Status() : Status(server::Closed());
}

Result<System> System::Open(const SystemOptions& options) {
  return Impl::OpenHere(options);
}

System::System(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
System::System(System&& other) noexcept = default;
System::~System() = default;

Status System::Close(Deadline deadline) { return impl_->Close(deadline); }
Result<StartedCluster> System::StartCluster(const ClusterOptions& options, Deadline deadline) {
  return impl_->StartCluster(options, deadline);
}
Status System::StartOrRestartCluster(const ClusterOptions& options, Deadline deadline) {
  return impl_->StartOrRestart(options, deadline);
}
Status System::StopServer(std::string_view cluster, Deadline deadline) {
  return impl_->StopServer(std::string(cluster), deadline);
}
Status System::RestartServer(std::string_view cluster, Deadline deadline) {
  return impl_->RestartServer(std::string(cluster), deadline);
}
Status System::ForceDeleteServer(std::string_view cluster, Deadline deadline) {
  return impl_->ForceDeleteServer(std::string(cluster), deadline);
}
Result<bool> System::AddMember(std::string_view cluster, std::string_view node,
                               Deadline deadline) {
  return impl_->AddMember(std::string(cluster), std::string(node), deadline);
}
Result<bool> System::RemoveMember(std::string_view cluster, std::string_view node,
                                  Deadline deadline) {
  return impl_->RemoveMember(std::string(cluster), std::string(node), deadline);
}
Result<std::string> System::AwaitLeader(std::string_view cluster, Deadline deadline) {
  return impl_->AwaitLeader(std::string(cluster), deadline);
}

Result<std::string> System::Execute(std::string_view cluster, Bytes command, Deadline deadline) {
  Outcome outcome = TRY(impl_->Ask({.ask = server::Ask::kCommand,
                                    .cluster = std::string(cluster),
                                    .payload = server::EncodeCommand({.payload = command})},
                                   deadline));
  return std::move(outcome.answer);
}

Result<std::string> System::Query(std::string_view cluster, Bytes query, Consistency consistency,
                                  Deadline deadline) {
  return Query(cluster, query, QueryOptions{.consistency = consistency}, deadline);
}

Result<std::string> System::Query(std::string_view cluster, Bytes query,
                                  const QueryOptions& options, Deadline deadline) {
  Outcome outcome = TRY(impl_->Ask(server::QueryOf(cluster, query, options), deadline));
  return std::move(outcome.answer);
}

Result<std::string> System::Aux(std::string_view cluster, Bytes message, Deadline deadline) {
  Outcome outcome = TRY(impl_->Ask({.ask = server::Ask::kAux,
                                    .cluster = std::string(cluster),
                                    .payload = {message.begin(), message.end()}},
                                   deadline));
  return std::move(outcome.answer);
}

Result<bool> System::Leave(std::string_view cluster, Leaving leaving, Deadline deadline) {
  const std::string name(cluster);
  const bool was = TRY(impl_->RemoveMember(name, impl_->options.node, deadline));
  if (leaving == Leaving::kDelete) {
    TRY(impl_->ForceDeleteServer(name, deadline));
  } else {
    TRY(impl_->StopServer(name, deadline));
  }
  return was;
}

Status System::DeleteCluster(std::string_view cluster, Deadline deadline) {
  TRY(impl_->Ask({.ask = server::Ask::kDelete, .cluster = std::string(cluster)}, deadline));
  return {};
}

Result<std::uint64_t> System::OpenSession(std::string_view cluster, Deadline deadline) {
  const server::CommandFrame opening{.kind = server::CommandKind::kOpensSession};
  const Outcome outcome = TRY(impl_->Ask({.ask = server::Ask::kCommand,
                                          .cluster = std::string(cluster),
                                          .payload = server::EncodeCommand(opening)},
                                         deadline));
  std::uint64_t number = 0;
  const std::string& text = outcome.answer;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  CHECK(parsed.ec == std::errc());
  return number;
}

Result<std::string> System::ExecuteOnce(std::string_view cluster, Bytes command,
                                        const InSession& place, Deadline deadline) {
  for (bool failed = false;;) {
    Result<Outcome> outcome = impl_->Ask({.ask = server::Ask::kCommand,
                                          .cluster = std::string(cluster),
                                          .payload = server::FrameOf(command, place)},
                                         deadline);
    if (outcome.ok()) return std::move(outcome->answer);
    // Where a leader's machine failed, that of the next one may not.
    const bool fails = outcome.error().code == ErrorCode::kMachineFailed;
    const bool unknown = outcome.error().code == ErrorCode::kTimeout || (fails && !failed);
    failed = failed || fails;
    if (!unknown || impl_->IsPast(deadline)) return outcome.error();
  }
}

Client System::NewClient() { return Client(impl_->NewClient()); }

Status System::TransferLeadership(std::string_view cluster, std::string_view node,
                                  Deadline deadline) {
  TRY(impl_->Ask({.ask = server::Ask::kTransfer,
                  .cluster = std::string(cluster),
                  .target = std::string(node)},
                 deadline));
  return {};
}

Status System::TriggerElection(std::string_view cluster, Deadline deadline) {
  TRY(impl_->Ask({.ask = server::Ask::kTrigger, .cluster = std::string(cluster)}, deadline));
  return {};
}

Result<ServerStatus> System::StatusOf(std::string_view cluster, Deadline deadline) {
  return impl_->StatusOf(std::string(cluster), deadline);
}

std::vector<std::string> System::Clusters() const { return impl_->Clusters(); }
Result<KeyMetrics> System::MetricsOf(std::string_view cluster) const {
  return impl_->MetricsOf(cluster);
}
SystemOverview System::Overview() const { return impl_->Overview(); }
void System::VisitStoreMetrics(void (*visit)(void* argument, const Metric& metric),
                               void* argument) const {
  impl_->VisitStoreMetrics(visit, argument);
}
std::vector<Leading> System::Leaderboard() const { return impl_->Leaderboard(); }

}  // namespace v1
}  // namespace duramen
