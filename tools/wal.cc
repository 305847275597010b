#include "tools/wal.h"

#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/try.h"
#include "shm/guarded_copy.h"
#include "shm/host.h"
#include "shm/service.h"
#include "shm/take_over.h"
#include "tools/interrupt.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr auto kCloseMax = std::chrono::seconds(60);
constexpr auto kFlushMax = std::chrono::seconds(5);
constexpr int kHeldMs = 1;
constexpr int kLookMs = 200;  // for an end that was asked for before this thread waited

ExitCode Refuse(Terminal& terminal, const Error& error) {
  terminal.Complain(error);
  return ExitCodeOf(error.code);
}

Result<uid_t> UserOf(const std::string& text) {
  const std::optional<std::uint64_t> number = ParseCount(text);
  if (number && *number < UINT32_MAX) {
    return static_cast<uid_t>(*number);
  }
  const passwd* user = ::getpwnam(text.c_str());
  if (user != nullptr) return user->pw_uid;
  return Error{ErrorCode::kInvalidArgument, "--user '" + text + "' is nobody here",
               "give a user's name or number"};
}

Result<gid_t> GroupOf(const std::string& text) {
  const std::optional<std::uint64_t> number = ParseCount(text);
  if (number && *number < UINT32_MAX) return static_cast<gid_t>(*number);
  const ::group* group = ::getgrnam(text.c_str());
  if (group != nullptr) return group->gr_gid;
  return Error{ErrorCode::kInvalidArgument, "--group '" + text + "' is no group here",
               "give a group's name or number"};
}

Result<shm::HostOptions> HostOptionsOf(const WalProcessOptions& options,
                                       const std::vector<shm::ActivatedSocket>& activated) {
  if (activated.size() > 1) {
    return Error{ErrorCode::kConfiguration,
                 "the service manager hands over " + std::to_string(activated.size()) + " sockets",
                 "a WAL process listens on one: one Listen line in its socket unit"};
  }
  shm::HostOptions host;
  host.socket_path = options.socket;
  host.clients_max = options.clients;
  host.quota.bytes = options.client_bytes;
  host.quota.logs = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(options.client_logs, wal::kNoticeCells));
  if (!activated.empty() && options.takeover) {
    return Error{ErrorCode::kConfiguration,
                 "--takeover, and the service manager hands over a socket as well",
                 "leave --takeover out: clients wait in that socket's queue"};
  }
  if (!activated.empty()) host.listening_fd = activated.front().fd.get();
  for (const std::string& text : options.users) host.users.push_back(TRY(UserOf(text)));
  if (!options.group.empty()) host.group = TRY(GroupOf(options.group));
  const bool own_socket = activated.empty() && !options.takeover;
  if (own_socket && !host.users.empty() && !host.group) {
    return Error{ErrorCode::kConfiguration,
                 "--user lets others attach, but they cannot open the socket",
                 "name a group of theirs with --group: it may open the socket"};
  }
  return host;
}

/// Of the one that runs, which lets go of its directory last.
Result<std::unique_ptr<shm::Host>> StartInstead(const LogStoreOptions& settings,
                                                shm::HostOptions options) {
  const shm::HandedOver handed = TRY(shm::TakeOver(options.socket_path, settings.data_dir));
  options.listening_fd = handed.socket.get();
  options.owns_socket_file = handed.owns_file;
  options.wal_end = handed.wal_end;
  const auto give_up = std::chrono::steady_clock::now() + kCloseMax;
  while (true) {
    Result<std::unique_ptr<shm::Host>> host = shm::Host::Start(settings, options);
    const bool held = !host.ok() && host.error().code == ErrorCode::kInUse;
    if (!held || Interrupted() || std::chrono::steady_clock::now() > give_up) return host;
    (void)::poll(nullptr, 0, kHeldMs);
  }
}

/// SIGTERM, or a successor that has the socket.
void AwaitEnd(shm::Host& host) {
  pollfd successor{host.handed_over_fd(), POLLIN, 0};
  while (!Interrupted()) {
    if (::poll(&successor, 1, kLookMs) <= 0) continue;
    return host.FlushForSuccessor(std::chrono::steady_clock::now() + kFlushMax);
  }
}

}  // namespace

ExitCode RunWalProcess(const WalProcessOptions& options, Terminal& terminal) {
  Result<SettingStack> stack = StackSettings(options.settings);
  if (!stack.ok()) return Refuse(terminal, stack.error());
  for (const std::string& warning : stack->warnings) terminal.Say("warning: " + warning);
  stack->options.data_dir = options.dir;
  const Result<std::vector<shm::ActivatedSocket>> activated = shm::TakeActivatedSockets();
  if (!activated.ok()) return Refuse(terminal, activated.error());
  const Result<shm::ServiceNotifier> manager = shm::ServiceNotifier::FromEnvironment();
  if (!manager.ok()) return Refuse(terminal, manager.error());
  const Result<shm::HostOptions> host_options = HostOptionsOf(options, *activated);
  if (!host_options.ok()) return Refuse(terminal, host_options.error());
  const shm::BusGuard bus_guard;
  Result<std::unique_ptr<shm::Host>> host =
      options.takeover ? StartInstead(stack->options, *host_options)
                       : shm::Host::Start(stack->options, *host_options);
  if (!host.ok()) return Refuse(terminal, host.error());
  const RecoveryReport& report = (*host)->report();
  terminal.Say(report.ToText());
  terminal.Out("ready " + options.socket + " pid " + std::to_string(::getpid()) + " boot " +
               std::to_string(report.boot) + "\n");
  Status status = terminal.Flush();
  (void)manager->Ready();  // Who does not hear it has its own patience.
  if (status.ok()) AwaitEnd(**host);
  (void)manager->Stopping();
  const Status closed = (*host)->Close(std::chrono::steady_clock::now() + kCloseMax);
  if (status.ok()) status = closed;
  return status.ok() ? ExitCode::kClean : Refuse(terminal, status.error());
}

}  // namespace duramen::tools
