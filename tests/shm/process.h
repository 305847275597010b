// A process that a test or a harness starts and ends, whose lines it reads as they come. One
// thread; several may each have processes of their own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace duramen::shm::testing {

/// A directory for a run, in memory where that is to be had.
inline std::string RunDirectory() {
  const char* parent = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  std::string path = std::string(parent) + "/duramen-run-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

/// Its standard output is read here; its errors go to the end of a file.
class Process {
 public:
  struct More {
    int third = -1;           // its descriptor 3; -1: it has none
    std::string environment;  // "NAME=VALUE", or empty
  };
  Process(const std::vector<std::string>& arguments, const std::string& errors, More more) {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, errors.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    if (more.third >= 0) posix_spawn_file_actions_adddup2(&actions, more.third, 3);
    std::vector<char*> argv;
    for (const std::string& one : arguments) argv.push_back(const_cast<char*>(one.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> variables;
    for (char** one = environ; *one != nullptr; ++one) variables.push_back(*one);
    if (!more.environment.empty()) variables.push_back(more.environment.data());
    variables.push_back(nullptr);
    if (::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), variables.data()) != 0) {
      std::abort();
    }
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    out_ = ends[0];
  }
  Process(const std::vector<std::string>& arguments, const std::string& errors)
      : Process(arguments, errors, More{}) {}
  ~Process() {
    if (pid_ > 0) (void)End(SIGKILL);
    ::close(out_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int fd() const { return out_; }
  pid_t pid() const { return pid_; }
  /// Waits for output; whole lines go to `each`. False: it has closed its output.
  template <typename Each>
  bool Read(Each each) {
    if (!ReadMore()) return false;
    while (const std::optional<std::string> line = TakeLine()) each(*line);
    return true;
  }
  /// The next whole line; nothing when the process has closed its output.
  std::optional<std::string> Line() {
    while (true) {
      if (std::optional<std::string> line = TakeLine()) return line;
      if (!ReadMore()) return std::nullopt;
    }
  }
  void Signal(int signal) const { ::kill(pid_, signal); }
  /// Returns when none of its threads runs; SIGCONT lets them go on.
  void Stop() const {
    Signal(SIGSTOP);
    int status = 0;
    if (::waitpid(pid_, &status, WUNTRACED) != pid_ || !WIFSTOPPED(status)) std::abort();
  }
  /// Its exit code, or 128 and the signal that ended it.
  int End(int signal) {
    Signal(signal);
    return Wait();
  }
  int Wait() {
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) std::abort();
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  std::optional<std::string> TakeLine() {
    const std::size_t end = pending_.find('\n', begin_);
    if (end == std::string::npos) return std::nullopt;
    std::string line = pending_.substr(begin_, end - begin_);
    begin_ = end + 1;
    return line;
  }
  bool ReadMore() {
    pending_.erase(0, begin_);
    begin_ = 0;
    char bytes[16384];
    const ssize_t got = ::read(out_, bytes, sizeof bytes);
    if (got > 0) pending_.append(bytes, static_cast<std::size_t>(got));
    return got > 0;
  }

  pid_t pid_ = -1;
  int out_ = -1;
  std::string pending_;
  std::size_t begin_ = 0;  // in it; what is before was taken
};

}  // namespace duramen::shm::testing
