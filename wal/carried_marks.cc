#include "wal/carried_marks.h"

namespace duramen::wal {

void AppendMarks(std::uint32_t slot, const SlotBounds& before, const SlotBounds& now,
                 std::vector<RunHeader>& marks) {
  RunHeader begin{.slot = slot,
                  .first = now.begin,
                  .term = now.term_before_begin,
                  .epoch = now.epoch,
                  .kind = RunKind::kFloor};
  if (now.epoch != before.epoch && now.begin == now.end) {  // Cut empty, or begun anew.
    begin.kind = RunKind::kReset;
    marks.push_back(begin);
    return;
  }
  RunHeader cut{.slot = slot,
                .first = now.end,
                .term = now.last_term,
                .epoch = before.epoch,
                .kind = RunKind::kTruncateSuffix};
  while (cut.epoch < now.epoch) {
    ++cut.epoch;
    marks.push_back(cut);
  }
  if (now.begin != before.begin) marks.push_back(begin);
}

}  // namespace duramen::wal
