#include "tools/simulated_histories.h"

#include "base/try.h"
#include "history/event_line.h"
#include "simulator/judge.h"
#include "tools/demo_frame.h"
#include "tools/version.h"

namespace duramen::tools {

Status WriteHistories(const std::string& dir, std::uint64_t seed, std::uint64_t clusters,
                      const std::vector<simulator::Record>& records) {
  for (std::uint32_t cluster = 0; cluster < clusters; ++cluster) {
    for (const history::ModelKind model :
         {history::ModelKind::kRegister, history::ModelKind::kSet}) {
      history::HistoryWriter writer(model, {{"seed", static_cast<std::int64_t>(seed)},
                                            {"commit", CommitOfBuild()},
                                            {"cluster", std::int64_t{cluster}}});
      for (const history::Event& event : simulator::EventsOf(records, cluster, model))
        TRY(writer.Add(event));
      const std::string name = "seed-" + std::to_string(seed) + "-cluster-" +
                               std::to_string(cluster) + "-" +
                               std::string(history::NameOf(model)) + ".jsonl";
      TRY(WriteDemoFile(dir, name, writer.TakeText()));
    }
  }
  return {};
}

}  // namespace duramen::tools
