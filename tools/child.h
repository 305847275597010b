// A child process whose standard output and error are read by its parent: how `demo` runs `load`
// and `dump`, so that a SIGKILL ends a real process.
//
// Owned by one thread. The destructor kills a child that still runs and waits for it.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "duramen/result.h"

namespace duramen::tools {

class Child {
 public:
  /// Starts `arguments[0]` with /dev/null as its input. Errors: kIo.
  static Result<Child> Start(const std::vector<std::string>& arguments);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();

  /// Receives whole lines, without the newline, as they come.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void OnOut(std::string_view line) = 0;
    virtual void OnErr(std::string_view line) = 0;
    /// Asked after each line; true sends SIGKILL, once.
    virtual bool WantsKill() { return false; }
  };
  /// Reads both streams to their end, then waits for the child. What a killed child had written is
  /// read as well. Errors: kIo.
  struct Exit {
    bool killed = false;  // by SIGKILL
    int code = 0;         // of exit(), or 128 + signal
  };
  Result<Exit> Run(Listener& listener);
  /// Any thread, also while another is in Run. Nothing happens to a child that has ended.
  void Signal(int signal) const noexcept;

  /// The path of this very program.
  static std::string OwnPath();

 private:
  struct Stream {
    int fd = -1;
    std::string pending;  // the part of a line that has come so far
  };
  Child(pid_t pid, int pid_fd, Stream out, Stream err)
      : pid_(pid), pid_fd_(pid_fd), out_(std::move(out)), err_(std::move(err)) {}
  void Read(Stream& stream, Listener& listener);
  void Kill();
  pid_t pid_;
  int pid_fd_;  // this child's alone, also when its number is another's; -1: the kernel gave none
  bool kill_sent_ = false;
  Stream out_;
  Stream err_;
};

}  // namespace duramen::tools
