// What still has to be done on a thread when one of its CHECKs fails, before the process aborts.
#pragma once

namespace duramen {

/// While one lives, its function is called on the thread of a failed CHECK, once; the newest of a
/// thread is the one that is called.
class CheckHook {
 public:
  CheckHook(void (*run)(void* argument) noexcept, void* argument) noexcept;
  ~CheckHook();
  CheckHook(const CheckHook&) = delete;
  CheckHook& operator=(const CheckHook&) = delete;
  /// For CheckFailed alone.
  static void RunNewest() noexcept;

 private:
  void (*run_)(void*) noexcept;
  void* argument_;
  CheckHook* former_;
};

}  // namespace duramen
