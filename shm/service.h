// What a service manager says to a WAL process and hears from it: sockets that it opened before the
// process was there, and when the process is ready. The protocols of systemd, which others speak
// too; without a manager nothing is there and nothing is sent.
//
// Written out here, not linked: libsystemd has it, but both protocols are stable by promise and as
// short as this file, and whoever links a storage library would get that one to load as well.
//
// The environment is read and changed: on the main thread, before there are others.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.h"
#include "duramen/result.h"

namespace duramen::shm {

struct ActivatedSocket {
  std::string name;  // FileDescriptorName= of the unit
  Descriptor fd;     // judge it by Listener::Adopt
};

/// Takes the sockets that were opened for this very process (LISTEN_PID, LISTEN_FDS,
/// LISTEN_FDNAMES), once: the variables are removed, so that no child takes them for its own.
/// Errors: kConfiguration  the variables contradict themselves or what is open.
Result<std::vector<ActivatedSocket>> TakeActivatedSockets();

/// Tells the manager (NOTIFY_SOCKET) how it stands. A value; one thread at a time.
class ServiceNotifier {
 public:
  /// Reads NOTIFY_SOCKET and removes it. Without it every call succeeds and does nothing.
  /// Errors: kConfiguration  it names no socket.
  static Result<ServiceNotifier> FromEnvironment();
  /// Clients are let in from now on.
  Status Ready() const { return Send("READY=1"); }
  /// It drains and ends.
  Status Stopping() const { return Send("STOPPING=1"); }
  /// One sentence for people; what would end it early is replaced by blanks.
  Status Tell(std::string_view sentence) const;

 private:
  Status Send(std::string_view message) const;

  std::string path_;  // empty: nobody listens; @ in front: an abstract name
};

}  // namespace duramen::shm
