#include "tools/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/posix_io.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kReadBytes = 64 << 10;

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  bool Open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    read_end = ends[0];
    write_end = ends[1];
    return true;
  }
  ~Pipe() {
    if (read_end >= 0) ::close(read_end);
    if (write_end >= 0) ::close(write_end);
  }
  int TakeReadEnd() { return std::exchange(read_end, -1); }
};

int Spawn(const std::vector<std::string>& arguments, const Pipe& out, const Pipe& err, pid_t& pid) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out.write_end, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err.write_end, STDERR_FILENO);
  const int error = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

Result<Child> Child::Start(const std::vector<std::string>& arguments) {
  Pipe out;
  Pipe err;
  if (!out.Open() || !err.Open()) return PosixError("make a pipe for", arguments[0], errno);
  pid_t pid = -1;
  const int error = Spawn(arguments, out, err, pid);
  if (error != 0) return PosixError("start", arguments[0], error);
  // Nobody has waited for it yet, so the number is still its own.
  const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  return Child(pid, pid_fd, {out.TakeReadEnd(), {}}, {err.TakeReadEnd(), {}});
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pid_fd_(std::exchange(other.pid_fd_, -1)),
      kill_sent_(other.kill_sent_),
      out_{std::exchange(other.out_.fd, -1), std::move(other.out_.pending)},
      err_{std::exchange(other.err_.fd, -1), std::move(other.err_.pending)} {}

Child::~Child() {
  if (out_.fd >= 0) ::close(out_.fd);
  if (err_.fd >= 0) ::close(err_.fd);
  if (pid_fd_ >= 0) ::close(pid_fd_);
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<Child::Exit> Child::Run(Listener& listener) {
  while (out_.fd >= 0 || err_.fd >= 0) {
    std::array<pollfd, 2> waits = {{{out_.fd, POLLIN, 0}, {err_.fd, POLLIN, 0}}};
    const int ready = ::poll(waits.data(), waits.size(), -1);  // A negative fd is left out.
    if (ready < 0 && errno != EINTR) return PosixError("wait for", "a child process", errno);
    if (ready <= 0) continue;
    if (waits[1].revents != 0) Read(err_, listener);
    if (waits[0].revents != 0) Read(out_, listener);
  }
  int status = 0;
  pid_t waited = 0;
  do {
    waited = ::waitpid(pid_, &status, 0);
  } while (waited < 0 && errno == EINTR);
  pid_ = -1;
  if (waited < 0) return PosixError("wait for", "a child process", errno);
  if (WIFSIGNALED(status)) {
    return Exit{WTERMSIG(status) == SIGKILL, 128 + WTERMSIG(status)};
  }
  return Exit{false, WEXITSTATUS(status)};
}

void Child::Read(Stream& stream, Listener& listener) {
  std::array<char, kReadBytes> bytes;
  const ssize_t read = ::read(stream.fd, bytes.data(), bytes.size());
  if (read < 0 && errno == EINTR) return;
  if (read <= 0) {
    ::close(stream.fd);
    stream.fd = -1;
    return;
  }
  stream.pending.append(bytes.data(), static_cast<std::size_t>(read));
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = stream.pending.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    const std::string_view line = std::string_view(stream.pending).substr(begin, end - begin);
    if (&stream == &out_) {
      listener.OnOut(line);
    } else {
      listener.OnErr(line);
    }
    if (!kill_sent_ && listener.WantsKill()) Kill();
  }
  stream.pending.erase(0, begin);
}

void Child::Signal(int signal) const noexcept {
  if (pid_fd_ >= 0) (void)::syscall(SYS_pidfd_send_signal, pid_fd_, signal, nullptr, 0);
}

void Child::Kill() {
  kill_sent_ = true;
  ::kill(pid_, SIGKILL);
}

std::string Child::OwnPath() {
  std::array<char, PATH_MAX> path;
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : "duramen";
}

}  // namespace duramen::tools
