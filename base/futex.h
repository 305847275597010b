// The one primitive under the threads' parking: sleep while a word has a value. Linux only.
// No lock and no queue of its own; the word lives in its owner, any thread may call.
#pragma once

#include <cstdint>

#include "base/atomics.h"

namespace duramen {

/// Whether other processes wait for the word too, or wake those who do.
enum class FutexScope : std::uint8_t { kPrivate, kShared };

/// Returns when woken, when `word` is not `expected`, or when the monotonic clock reaches
/// `until_ns` (INT64_MAX: never), sometimes for no reason: the caller tests again.
void FutexWait(Atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t until_ns,
               FutexScope scope = FutexScope::kPrivate);
/// Wakes all who wait for `word`.
void FutexWakeAll(Atomic<std::uint32_t>& word, FutexScope scope = FutexScope::kPrivate);

}  // namespace duramen
