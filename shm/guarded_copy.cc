#include "shm/guarded_copy.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"

namespace duramen::shm {

/// What the handler sees of a region. `taken` gives it to one region at a time; `begin` is written
/// last and taken out first, so that the handler sees no half region.
struct GuardedSlot {
  std::atomic<bool> taken{false};
  std::atomic<std::uintptr_t> begin{0};  // 0: none
  std::atomic<std::uintptr_t> end{0};
  std::atomic<std::uint32_t> lost_pages{0};
};

namespace {

/// A map is split for each page that is lost, and a process has only so many maps: behind this many
/// the whole region becomes zeros.
constexpr std::uint32_t kSinglePagesMax = 64;

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);

// The handler has no argument of ours, so what it needs is the process's.
GuardedSlot slots[kGuardedRegionsMax];
std::atomic<std::size_t> slots_used{0};  // those behind it were never taken
std::atomic<bool> guarded{false};
struct sigaction former = {};
std::uintptr_t page_bytes = 0;

/// The bare system call: what a library or a sanitizer puts around it is not for a signal handler.
bool PutZeros(std::uintptr_t begin, std::size_t size_bytes) {
  return ::syscall(SYS_mmap, begin, size_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
                   0) == static_cast<long>(begin);
}

/// Async-signal-safe. False: the address is of no region, or nothing can be done.
bool Mend(std::uintptr_t address) {
  const std::size_t used = slots_used.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < used; ++i) {
    GuardedSlot& slot = slots[i];
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    const std::uintptr_t end = slot.end.load(std::memory_order_relaxed);
    if (begin == 0 || address < begin || address >= end) continue;
    // Counted before the zeros are there: whoever reads them finds the count.
    const std::uint32_t lost = slot.lost_pages.fetch_add(1, std::memory_order_acq_rel);
    if (lost < kSinglePagesMax && PutZeros(address & ~(page_bytes - 1), page_bytes)) return true;
    return PutZeros(begin, end - begin);
  }
  return false;
}

void PassOn(int signal, siginfo_t* about, void* context) {
  if ((former.sa_flags & SA_SIGINFO) != 0) {
    former.sa_sigaction(signal, about, context);
    return;
  }
  if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
    former.sa_handler(signal);
    return;
  }
  if (about->si_code <= 0 && former.sa_handler == SIG_IGN) return;  // Sent by a process.
  struct sigaction usual = {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGBUS, &usual, nullptr);
  // The instruction is tried again and ends the process where it stands; a signal that was sent is
  // sent again.
  if (about->si_code <= 0) ::raise(SIGBUS);
}

void OnBusError(int signal, siginfo_t* about, void* context) {
  const int error_number = errno;
  const bool is_fault = about->si_code > 0;
  if (!is_fault || !Mend(reinterpret_cast<std::uintptr_t>(about->si_addr))) {
    PassOn(signal, about, context);
  }
  errno = error_number;
}

GuardedSlot* TakeSlot() {
  for (std::size_t i = 0; i < kGuardedRegionsMax; ++i) {
    if (slots[i].taken.exchange(true, std::memory_order_acq_rel)) continue;
    std::size_t used = slots_used.load(std::memory_order_relaxed);
    while (used <= i && !slots_used.compare_exchange_weak(used, i + 1)) {
    }
    return &slots[i];
  }
  return nullptr;
}

}  // namespace

BusGuard::BusGuard() {
  CHECK(!guarded.exchange(true));
  page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  // Read before it is replaced: the handler may run at once.
  CHECK(::sigaction(SIGBUS, nullptr, &former) == 0);
  struct sigaction ours = {};
  ours.sa_sigaction = OnBusError;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  ::sigemptyset(&ours.sa_mask);
  CHECK(::sigaction(SIGBUS, &ours, nullptr) == 0);
}

BusGuard::~BusGuard() {
  for (std::size_t i = 0; i < slots_used.load(); ++i) CHECK(!slots[i].taken.load());
  CHECK(::sigaction(SIGBUS, &former, nullptr) == 0);
  guarded.store(false);
}

Result<GuardedRegion> GuardedRegion::Over(std::span<const std::byte> memory) {
  CHECK(guarded.load());
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  CHECK(begin % page_bytes == 0 && memory.size() % page_bytes == 0 && !memory.empty());
  GuardedSlot* const slot = TakeSlot();
  if (slot == nullptr) {
    return Error{ErrorCode::kOverloaded,
                 "more than " + std::to_string(kGuardedRegionsMax) + " regions of shared memory",
                 "attach fewer clients to one WAL process"};
  }
  slot->lost_pages.store(0, std::memory_order_relaxed);
  slot->end.store(begin + memory.size(), std::memory_order_relaxed);
  slot->begin.store(begin, std::memory_order_release);
  return GuardedRegion(*slot);
}

GuardedRegion::GuardedRegion(GuardedRegion&& other) noexcept
    : slot_(std::exchange(other.slot_, nullptr)) {}

GuardedRegion& GuardedRegion::operator=(GuardedRegion&& other) noexcept {
  if (this != &other) {
    End();
    slot_ = std::exchange(other.slot_, nullptr);
  }
  return *this;
}

GuardedRegion::~GuardedRegion() { End(); }

void GuardedRegion::End() noexcept {
  if (slot_ == nullptr) return;
  slot_->begin.store(0, std::memory_order_release);
  slot_->taken.store(false, std::memory_order_release);
}

Status GuardedRegion::Copy(std::uint64_t offset, std::span<std::byte> out) const {
  const std::uintptr_t begin = slot_->begin.load(std::memory_order_relaxed);
  const std::uint64_t size_bytes = slot_->end.load(std::memory_order_relaxed) - begin;
  if (offset > size_bytes || out.size() > size_bytes - offset) {
    return Error{ErrorCode::kOutOfRange,
                 std::to_string(out.size()) + " bytes at " + std::to_string(offset) +
                     " are not all in a region of " + std::to_string(size_bytes),
                 ""};
  }
  if (out.empty()) return {};
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(begin + offset), out.size());
  if (lost_pages() == 0) return {};
  return Error{ErrorCode::kIo, "pages of the shared memory cannot be read",
               "its owner has lost them, or the machine's memory fails: see the kernel's log"};
}

std::uint32_t GuardedRegion::lost_pages() const {
  std::atomic_signal_fence(std::memory_order_seq_cst);  // Behind the reads, in this thread too.
  return slot_->lost_pages.load(std::memory_order_acquire);
}

}  // namespace duramen::shm
