#include "wal/notice_table.h"

#include <bit>

#include "base/check.h"
#include "base/kill_step.h"

namespace duramen::wal {
namespace {

constexpr int kReadTries = 1000;  // a publisher that died half-way leaves a cell for ever odd

}  // namespace

void NoticeSource::Publish(std::span<const Notice> notices) {
  for (const Notice& notice : notices) {
    CHECK(notice.slot < kNoticeCells);
    NoticeCell& cell = memory_.cells[notice.slot];
    const std::uint64_t odd = cell.version.load(std::memory_order_relaxed) | 1;
    cell.version.store(odd, std::memory_order_release);
    // Each of them after `version`, for who sees it.
    cell.epoch.store(notice.epoch, std::memory_order_release);
    Pass(KillStep::kNoticeHalf);
    cell.end.store(notice.end, std::memory_order_release);
    cell.row_sequence.store(notice.row_sequence, std::memory_order_release);
    cell.refused_position.store(notice.refused_position, std::memory_order_release);
    cell.refused.store(notice.refused ? 1 : 0, std::memory_order_release);
    cell.refusal.store(static_cast<std::uint32_t>(notice.refusal), std::memory_order_release);
    cell.version.store(odd + 1, std::memory_order_release);
    Pass(KillStep::kNoticeWritten);
    const std::uint32_t word = notice.slot / 64;
    memory_.words[word].fetch_or(1ULL << (notice.slot % 64), std::memory_order_acq_rel);
    memory_.groups[word / 64].fetch_or(1ULL << (word % 64), std::memory_order_acq_rel);
  }
  if (!notices.empty()) memory_.published.fetch_add(1, std::memory_order_acq_rel);
}

void NoticeSink::Take(std::vector<Notice>& out) {
  out.clear();
  if (empty()) return;
  seen_.store(memory_.published.load(std::memory_order_acquire), std::memory_order_relaxed);
  for (std::uint32_t group = 0; group < NoticeMemory::kWords / 64; ++group) {
    if (memory_.groups[group].load(std::memory_order_acquire) == 0) continue;
    std::uint64_t words = memory_.groups[group].exchange(0, std::memory_order_acq_rel);
    for (; words != 0; words &= words - 1) {
      TakeWord(group * 64 + static_cast<std::uint32_t>(std::countr_zero(words)), out);
    }
  }
}

void NoticeSink::TakeWord(std::uint32_t word, std::vector<Notice>& out) {
  std::uint64_t cells = memory_.words[word].exchange(0, std::memory_order_acq_rel);
  for (; cells != 0; cells &= cells - 1) {
    Notice notice{.slot = word * 64 + static_cast<std::uint32_t>(std::countr_zero(cells))};
    const NoticeCell& cell = memory_.cells[notice.slot];
    for (int attempt = 0; attempt < kReadTries; ++attempt) {
      const std::uint64_t before = cell.version.load(std::memory_order_acquire);
      notice.epoch = cell.epoch.load(std::memory_order_acquire);
      notice.end = cell.end.load(std::memory_order_acquire);
      notice.row_sequence = cell.row_sequence.load(std::memory_order_acquire);
      notice.refused_position = cell.refused_position.load(std::memory_order_acquire);
      notice.refused = cell.refused.load(std::memory_order_acquire) != 0;
      notice.refusal = static_cast<ErrorCode>(cell.refusal.load(std::memory_order_acquire));
      if (before % 2 != 0 || cell.version.load(std::memory_order_acquire) != before) continue;
      out.push_back(notice);
      break;
    }
  }
}

}  // namespace duramen::wal
