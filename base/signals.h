// Threads of ours take no signal that is sent to the process: the host's handlers run in the host's
// threads.
#pragma once

#include <signal.h>

#include <initializer_list>

namespace duramen {

/// Blocks signals in the thread that it lives in, which a thread made meanwhile inherits. Those
/// that a thread raises by its own fault stay.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
      ::sigdelset(&all, fault);
    }
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace duramen
