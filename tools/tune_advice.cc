#include "tools/tune_advice.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/settings.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr double kWorthIt = 1.1;    // a tenth is not worth leaving the page cache for
constexpr double kAsGoodAs = 0.95;  // depths that differ by less are the same
constexpr double kStallFactor = 4;  // of the slowest write that was seen

using Rates = std::map<std::uint64_t, double>;  // by size of a write

Rates RatesOf(std::span<const TunedCell> cells, SyncMethod method, std::uint32_t depth) {
  Rates rates;
  for (const TunedCell& cell : cells) {
    const bool wanted = cell.layout == DiskLayout::kZeroFilled && cell.method == method &&
                        cell.depth == depth && cell.operations > 0;
    if (wanted) rates[cell.bytes] = cell.operations_per_s;
  }
  return rates;
}

/// How many times as fast `rates` are as `base`: the geometric mean over the sizes that both have.
std::optional<double> Compare(const Rates& rates, const Rates& base) {
  double sum = 0;
  int sizes = 0;
  for (const auto& [bytes, rate] : rates) {
    const auto other = base.find(bytes);
    if (other == base.end() || rate <= 0 || other->second <= 0) continue;
    sum += std::log(rate / other->second);
    ++sizes;
  }
  if (sizes == 0) return std::nullopt;
  return std::exp(sum / sizes);
}

struct Direct {
  std::uint32_t depth = 1;  // the least that is as good as the best
  double gain = 0;          // over the buffered method
};

std::optional<Direct> BestDirect(std::span<const TunedCell> cells, const Rates& buffered) {
  std::set<std::uint32_t> depths;
  for (const TunedCell& cell : cells) {
    if (cell.method == SyncMethod::kDsync) depths.insert(cell.depth);
  }
  std::map<std::uint32_t, double> gains;
  double best = 0;
  for (const std::uint32_t depth : depths) {
    const auto gain = Compare(RatesOf(cells, SyncMethod::kDsync, depth), buffered);
    if (!gain) continue;
    gains[depth] = *gain;
    best = std::max(best, *gain);
  }
  for (const auto& [depth, gain] : gains) {
    if (gain >= best * kAsGoodAs) return Direct{depth, gain};
  }
  return std::nullopt;
}

double SlowestUs(std::span<const TunedCell> cells, SyncMethod method) {
  double slowest = 0;
  for (const TunedCell& cell : cells) {
    if (cell.method == method && cell.layout == DiskLayout::kZeroFilled) {
      slowest = std::max(slowest, cell.max_us);
    }
  }
  return slowest;
}

AdvisedSetting StallThreshold(std::span<const TunedCell> cells, SyncMethod method) {
  const double slowest_ms = SlowestUs(cells, method) / 1000;
  const std::uint64_t usual = LogStoreOptions().wal_stall_threshold;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(slowest_ms * kStallFactor / 100)) * 100;
  return {.name = "wal_stall_threshold",
          .reason_name = "wal_stall_threshold_reason",
          .value = std::to_string(std::max(usual, wanted)),
          .reason = "the slowest write here took " + Decimal(slowest_ms, 1) +
                    " ms; what takes so much longer is worth a line in the log"};
}

}  // namespace

std::string MethodName(SyncMethod method) {
  LogStoreOptions options;
  options.wal_sync_method = method;
  return SettingText("wal_sync_method", options);
}

std::vector<AdvisedSetting> Advise(std::span<const TunedCell> cells,
                                   std::span<const SyncMethod> dishonest) {
  const auto honest = [&](SyncMethod method) {
    return std::find(dishonest.begin(), dishonest.end(), method) == dishonest.end();
  };
  const SyncMethod buffered =
      honest(SyncMethod::kDatasync) ? SyncMethod::kDatasync : SyncMethod::kFsync;
  const Rates base = RatesOf(cells, buffered, 1);
  if (!honest(buffered) || base.empty()) return {};
  const std::optional<Direct> direct =
      honest(SyncMethod::kDsync) ? BestDirect(cells, base) : std::nullopt;
  const bool takes_direct = direct && direct->gain >= kWorthIt;
  const SyncMethod method = takes_direct ? SyncMethod::kDsync : buffered;
  std::string reason = "direct I/O is not possible here, or not honest";
  if (direct) {
    reason = "dsync at depth " + std::to_string(direct->depth) + " made " +
             Decimal(direct->gain, 2) + " times as many writes durable as " + MethodName(buffered) +
             (takes_direct ? "" : "; a tenth more would be worth it");
  }
  std::vector<AdvisedSetting> settings = {{.name = "wal_sync_method",
                                           .reason_name = "wal_sync_method_reason",
                                           .value = MethodName(method),
                                           .reason = reason,
                                           .is_text = true}};
  if (direct) {
    settings.push_back({.name = "wal_pipeline_depth",
                        .reason_name = "wal_pipeline_depth_reason",
                        .value = std::to_string(direct->depth),
                        .reason = takes_direct
                                      ? "more writes in flight gained less than a twentieth"
                                      : "only with dsync; more in flight gained less than a "
                                        "twentieth"});
  }
  settings.push_back(StallThreshold(cells, method));
  return settings;
}

}  // namespace duramen::tools
