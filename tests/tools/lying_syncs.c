// A library to be loaded in front of the C library, as libeatmydata is: every sync says success and
// does nothing, and a write that is to sync itself is a plain one.
#define _GNU_SOURCE
#include <sys/types.h>
#include <sys/uio.h>

int fdatasync(int fd) { return (void)fd, 0; }
int fsync(int fd) { return (void)fd, 0; }
int syncfs(int fd) { return (void)fd, 0; }

ssize_t pwritev2(int fd, const struct iovec* pieces, int count, off_t offset, int flags) {
  (void)flags;
  return pwritev(fd, pieces, count, offset);
}
ssize_t pwritev64v2(int fd, const struct iovec* pieces, int count, off64_t offset, int flags) {
  return pwritev2(fd, pieces, count, offset, flags);
}
