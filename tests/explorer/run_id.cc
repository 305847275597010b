// Names of states, and how a crash turns one disk into another.
#include <charconv>
#include <cstdio>

#include "base/bytes.h"
#include "base/checksum.h"
#include "tests/explorer/explorer.h"

namespace duramen::explorer {
namespace {

bool TakeNumber(std::string_view& text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

std::string_view TakeUntil(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return taken;
}

}  // namespace

const char* CrashName(Crash crash) {
  static constexpr const char* kNames[] = {"ext4", "adversary", "kill"};
  return kNames[static_cast<std::size_t>(crash)];
}

std::uint64_t RunId::Hash() const {
  std::uint64_t hash = seed * 0x9E3779B97F4A7C15ULL + workload + 1;
  for (const CrashPoint& point : crashes) {
    const std::uint64_t words[3] = {point.boundary, static_cast<std::uint64_t>(point.crash),
                                    point.ordinal};
    hash = Checksum(std::as_bytes(std::span(words)), hash);
  }
  return hash;
}

std::string RunId::ToString() const {
  std::string text = std::to_string(seed) + "/" + std::string(WorkloadOf(workload).name);
  for (const CrashPoint& point : crashes) {
    text += "/" + std::to_string(point.boundary) + "." + CrashName(point.crash) + "." +
            std::to_string(point.ordinal);
  }
  return text;
}

std::optional<RunId> RunId::Parse(std::string_view text) {
  RunId id;
  if (!TakeNumber(text, id.seed) || !text.starts_with('/')) return std::nullopt;
  text.remove_prefix(1);
  const std::string_view name = TakeUntil(text, '/');
  id.workload = kWorkloadCount;
  for (std::uint32_t i = 0; i < kWorkloadCount; ++i) {
    if (WorkloadOf(i).name == name) id.workload = i;
  }
  if (id.workload == kWorkloadCount) return std::nullopt;
  while (!text.empty()) {
    std::string_view part = TakeUntil(text, '/');
    CrashPoint point;
    std::uint64_t boundary = 0;
    if (!TakeNumber(part, boundary) || !part.starts_with('.')) return std::nullopt;
    part.remove_prefix(1);
    const std::string_view how = TakeUntil(part, '.');
    std::size_t crash = 0;
    while (crash < kCrashKinds && how != CrashName(static_cast<Crash>(crash))) ++crash;
    if (crash == kCrashKinds || !TakeNumber(part, point.ordinal)) return std::nullopt;
    point.boundary = static_cast<std::uint32_t>(boundary);
    point.crash = static_cast<Crash>(crash);
    id.crashes.push_back(point);
  }
  return id;
}

std::string Failure::ToString() const {
  std::string out = "FAILED: " + text + "\n  seed " + std::to_string(id.seed) + ", workload " +
                    std::string(WorkloadOf(id.workload).name);
  for (const CrashPoint& point : id.crashes) {
    out += std::string("\n  ") + (point.crash == Crash::kKill ? "killed" : "power lost") +
           " after operation " + std::to_string(point.boundary) + " of that life (" +
           CrashName(point.crash) + ", choice " + std::to_string(point.ordinal) + ")";
  }
  if (!choice.empty()) out += "\n  the last crash kept of what was pending: " + choice;
  return out + "\n  replay: duramen_explorer --replay " + id.ToString();
}

sim::DiskState Crashed(const sim::DiskState& disk, const sim::Op* next, const CrashPoint& point,
                       std::string& choice) {
  if (point.crash == Crash::kKill) {
    sim::DiskState killed = disk;
    choice = "all of it, in the page cache";
    if (disk.in_flight() > 0) {
      // A function of the point, so that a replay settles it the same way.
      const std::uint64_t done = (point.boundary * 0x9E3779B97F4A7C15ULL) >> 32;
      killed.SettleFlight(done);
      choice += "; of " + std::to_string(disk.in_flight()) + " in flight those done that are in " +
                std::to_string(done % 64);
    }
    if (point.ordinal > 0 && next != nullptr && next->kind == sim::OpKind::kWrite) {
      sim::Op part = *next;
      const std::uint64_t bytes =
          std::min<std::uint64_t>(point.ordinal * sim::kSectorBytes, next->bytes->size());
      part.bytes = std::make_shared<const std::vector<std::byte>>(
          next->bytes->begin(), next->bytes->begin() + static_cast<std::ptrdiff_t>(bytes));
      killed.Apply(part);
      choice += ", and " + std::to_string(bytes) + " bytes of the next write";
    }
    return killed;
  }
  const bool crash_is_ext4 = point.crash == Crash::kExt4;
  const sim::Profile profile = crash_is_ext4 ? sim::Profile::kExt4 : sim::Profile::kAdversary;
  const sim::CrashStates states(disk, profile);
  const sim::Choice kept = states.At(point.ordinal % states.count());
  choice.clear();
  for (std::size_t i = 0; i < kept.keep.size(); ++i) {
    const sim::Pending& change = disk.pending()[i];
    choice += "\n    " + kept.ToString(i) + "  " + sim::Describe(change.op);
    if (crash_is_ext4 && change.journaled) choice += " (journaled: kept)";
  }
  if (choice.empty()) choice = "nothing was pending";
  return sim::DiskState(states.Materialize(kept));
}

}  // namespace duramen::explorer
