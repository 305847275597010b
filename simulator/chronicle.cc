#include "simulator/chronicle.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "duramen/machines.h"

namespace duramen::simulator {
namespace {

constexpr Index kEchoEvery = 16;
constexpr Index kMessageEvery = 3;
constexpr std::string_view kEchoKey = "echo";

class Watched final : public duramen::Machine {
 public:
  explicit Watched(Chronicle& chronicle) : chronicle_(chronicle) {}

  Status Init(const MachineInit& init) override {
    cluster_ = init.config;
    return {};
  }
  Status Validate(Bytes command) const override { return kv_->Validate(command); }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (const Command& command : commands) {
      const Index index = command.meta.index;
      digest_ = Checksum(command.payload, digest_ ^ index);
      chronicle_.OnApply(cluster_, command, digest_);
      effects.Call([this, index] { chronicle_.OnEffect(cluster_, index); });
      if (index % kMessageEvery == 0) {
        const bool once = index % 2 == 0;
        const std::string what =
            std::string(once ? kOnce : "") + cluster_ + " " + std::to_string(index);
        effects.Send(chronicle_.ListenerFor(index), AsBytes(what),
                     once ? Sender::kLeader : Sender::kNearest);
      }
      const bool own = AsText(command.payload).find(kEchoKey) != std::string_view::npos;
      if (index % kEchoEvery == 0 && !own)
        effects.Append(AsBytes(Kv::Put(kEchoKey, std::to_string(index))));
    }
    kv_->Apply(commands, effects);
  }
  Status Query(Bytes query, std::string& answer) const override {
    return kv_->Query(query, answer);
  }

 private:
  Chronicle& chronicle_;
  std::unique_ptr<duramen::Machine> kv_ = KvMachine().make();
  std::string cluster_;
  std::uint64_t digest_ = 0;
};

class Moody final : public duramen::Machine {
 public:
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      // Beyond its end: std::out_of_range.
      if (AsText(commands[at].payload) == kThrows) (void)std::string().at(1);
      effects.Reply(at, "calm");
    }
  }
  Status Query(Bytes, std::string& answer) const override {
    answer = "calm";
    return {};
  }
};

}  // namespace

void Chronicle::OnApply(const std::string& cluster, const Command& command, std::uint64_t digest) {
  const Index index = command.meta.index;
  const std::string_view text = AsText(command.payload);
  ++applied_;
  note_(index, digest);
  Log& log = logs_[cluster];
  const auto [entry, first] = log.entries.try_emplace(
      index, Entry{command.meta.term, std::string(text), digest});
  const std::string where = cluster + " at " + std::to_string(index);
  if (!first) {
    if (entry->second.command != text || entry->second.term != command.meta.term)
      fail_(where + ": two members apply different commands");
    if (entry->second.digest != digest)
      fail_(where + ": two members have applied different commands before it");
    return;
  }
  if (entry != std::prev(log.entries.end())) fail_(where + ": the first to come there left it out");
  const auto place = log.places.try_emplace(std::string(text), index);
  if (!place.second) {
    fail_(where + ": a command runs a second time, which stands at " +
          std::to_string(place.first->second) + ", too: " + std::string(text));
  }
}

void Chronicle::OnEffect(const std::string& cluster, Index index) {
  note_(index, 1);
  if (!executed_.insert({cluster, index}).second)
    fail_(cluster + " at " + std::to_string(index) + ": an effect is executed a second time");
}

std::string Chronicle::ListenerFor(Index index) const {
  if (listeners_.empty()) return "";
  return std::next(listeners_.begin(), static_cast<std::ptrdiff_t>(index % listeners_.size()))
      ->second;
}

Index Chronicle::PlaceOf(const std::string& cluster, std::string_view command) const {
  const auto log = logs_.find(cluster);
  if (log == logs_.end()) return 0;
  const auto place = log->second.places.find(command);
  return place == log->second.places.end() ? 0 : place->second;
}

MachineType WatchedKv(Chronicle& chronicle) {
  return {.name = "kv", .make = [&chronicle] { return std::make_unique<Watched>(chronicle); }};
}

MachineType MoodyMachine() {
  return {.name = "moody", .make = [] { return std::make_unique<Moody>(); }};
}

}  // namespace duramen::simulator
