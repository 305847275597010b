#include "tools/half_repair.h"

#include <memory>
#include <vector>

#include "base/try.h"
#include "log/quarantine.h"
#include "log/repair_format.h"
#include "log/system_file.h"
#include "tools/read_only_directory.h"

namespace duramen::tools {
namespace {

constexpr char kPendingName[] = "PENDING";

}  // namespace

Result<std::optional<HalfRepair>> ReadHalfRepair(const std::string& data_dir) {
  const HalfRepair unreadable{.data_dir = data_dir};
  const auto directory = ReadOnlyDirectory::Open(data_dir);
  if (!directory.ok()) return std::optional<HalfRepair>();
  const auto quarantine = (*directory)->OpenDirectory(log::kQuarantineName);
  if (!quarantine.ok()) return std::optional<HalfRepair>();
  const Result<std::vector<std::byte>> bytes = log::ReadSmallFile(**quarantine, kPendingName);
  if (!bytes.ok() && bytes.error().code == ErrorCode::kNotFound) return std::optional<HalfRepair>();
  if (!bytes.ok()) return std::optional<HalfRepair>(unreadable);
  const Result<log::PendingRepair> pending = log::DecodePendingRepair(*bytes);
  if (!pending.ok() && pending.error().code == ErrorCode::kUnknownVersion) return pending.error();
  if (!pending.ok()) return std::optional<HalfRepair>(unreadable);
  return std::optional<HalfRepair>(
      HalfRepair{pending->id, pending->direction == log::RepairDirection::kUndo, data_dir});
}

std::string SentenceOf(const HalfRepair& half) {
  if (half.id.empty()) {
    return "a repair is half in place, and quarantine/PENDING, which names it, cannot be read";
  }
  return (half.undo ? "the undo of repair " : "repair ") + half.id + " is half in place";
}

std::string NextOf(const HalfRepair& half) {
  if (!half.id.empty()) {
    return "duramen repair " + half.data_dir + " --apply  # finishes it; so does a start";
  }
  return "restore " + half.data_dir +
         "/quarantine/PENDING, or remove it to go on with the files as they are now";
}

std::string VerdictSentence(const HalfRepair& half) {
  return SentenceOf(half) + "; what else was found is not judged until it is finished";
}

Field HalfRepairField(const std::optional<HalfRepair>& half) {
  Field field{.name = "half_repair", .type = ColumnType::kText, .value = {}};
  if (half) field.value = half->id.empty() ? std::string(kPendingName) : half->id;
  return field;
}

}  // namespace duramen::tools
