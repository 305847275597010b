#include "simulator/wire.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace duramen::simulator {
namespace {

constexpr Moment kSoon = kMillisecond;
/// Hears how a system came to be on its network, and is gone before anybody asks it anything.
const std::string kBeaconName = "beacon";

/// Whoever sent it copes without it: Raft, a caller with a deadline, or a farewell said again.
bool MayBeLost(const server::Parcel& parcel) {
  return !std::holds_alternative<server::PeerNotice>(parcel) &&
         !std::holds_alternative<server::Notice>(parcel);
}

}  // namespace

std::string NodeName(std::uint64_t node) { return "node-" + std::to_string(node); }

/// Of a node on another's network.
class Wire::StandIn final : public server::Neighbour {
 public:
  StandIn(Wire& wire, std::uint64_t from, std::uint64_t to) : wire_(wire), from_(from), to_(to) {}

  void Deliver(std::vector<server::Parcel> parcels) override {
    wire_.Send(from_, to_, std::move(parcels));
  }
  void OnNode(const std::string&, std::optional<std::uint64_t>) override {}
  std::shared_ptr<server::Errand> Prepare(const ClusterOptions& options) override {
    return Ask([&](server::Neighbour& there) { return there.Prepare(options); });
  }
  std::shared_ptr<server::Errand> Begin(const ClusterOptions& options, const server::Birth& birth,
                                        const ServerUid& uid, Deadline deadline) override {
    return Ask(
        [&](server::Neighbour& there) { return there.Begin(options, birth, uid, deadline); });
  }
  void Abandon(const std::string& cluster, ClusterId id, Deadline deadline) override {
    (void)Ask([&](server::Neighbour& there) {
      there.Abandon(cluster, id, deadline);
      return std::make_shared<server::Errand>();
    });
  }

 private:
  /// What goes nowhere is never done.
  template <typename Call>
  std::shared_ptr<server::Errand> Ask(Call call) {
    if (!wire_.Reaches(from_, to_)) {
      wire_.LinkOf(from_, to_).lossy = true;
      return std::make_shared<server::Errand>();
    }
    End& end = wire_.ends_[to_];
    const std::shared_ptr<LocalNetwork> network = end.network;
    ++end.visitors;
    ++wire_.LinkOf(from_, to_).visitors;
    Result<std::shared_ptr<server::Errand>> errand =
        network->impl().network.With(NodeName(to_), [&](server::Neighbour& there) {
          return Result<std::shared_ptr<server::Errand>>(call(there));
        });
    --wire_.LinkOf(from_, to_).visitors;
    --end.visitors;
    return errand.ok() ? *errand : std::make_shared<server::Errand>();
  }

  Wire& wire_;
  std::uint64_t from_;
  std::uint64_t to_;
};

class Wire::Beacon final : public server::Neighbour {
 public:
  explicit Beacon(std::string node) : node_(std::move(node)) {}
  void Deliver(std::vector<server::Parcel>) override {}
  void OnNode(const std::string& node, std::optional<std::uint64_t> boot) override {
    if (node == node_) boot_ = boot;
  }
  std::shared_ptr<server::Errand> Prepare(const ClusterOptions&) override {
    return std::make_shared<server::Errand>();
  }
  std::shared_ptr<server::Errand> Begin(const ClusterOptions&, const server::Birth&,
                                        const ServerUid&, Deadline) override {
    return std::make_shared<server::Errand>();
  }
  void Abandon(const std::string&, ClusterId, Deadline) override {}
  std::optional<std::uint64_t> boot() const { return boot_; }

 private:
  std::string node_;
  std::optional<std::uint64_t> boot_;
};

Wire::Wire(LoopExecutor& executor, ManualClock& clock, Rng rng, std::uint64_t nodes)
    : clock_(clock), rng_(rng), carrier_(executor, clock), ends_(nodes) {
  for (std::uint64_t from = 0; from < nodes; ++from) {
    ends_[from].links.resize(nodes);
    for (std::uint64_t to = 0; to < nodes; ++to)
      ends_[from].links[to].stand_in = std::make_unique<StandIn>(*this, from, to);
  }
}

Wire::~Wire() = default;

std::shared_ptr<LocalNetwork> Wire::Connect(std::uint64_t node) {
  End& end = ends_[node];
  CHECK(end.network == nullptr);
  ++end.life;
  end.network = std::make_shared<LocalNetwork>();
  for (Link& link : end.links) link.joined = link.lossy = false;
  end.beacon = std::make_unique<Beacon>(NodeName(node));
  CHECK(end.network->impl().network.Join(kBeaconName, 0, *end.beacon).ok());
  for (std::uint64_t other = 0; other < ends_.size(); ++other) Join(node, other);
  return end.network;
}

void Wire::Announce(std::uint64_t node) {
  End& end = ends_[node];
  end.boot = end.beacon->boot();
  CHECK(end.boot.has_value());
  end.network->impl().network.Leave(kBeaconName);
  for (std::uint64_t other = 0; other < ends_.size(); ++other) {
    Leave(other, node);  // Its life before, where nobody has missed it yet.
    Join(other, node);
  }
}

void Wire::Disconnect(std::uint64_t node) {
  End& end = ends_[node];
  end.network = nullptr;
  end.boot.reset();
  for (std::uint64_t other = 0; other < ends_.size(); ++other) Miss(other, node);
}

bool Wire::Reaches(std::uint64_t from, std::uint64_t to) {
  return ends_[from].network != nullptr && ends_[to].network != nullptr && ends_[to].boot &&
         !LinkOf(from, to).cut;
}

void Wire::Join(std::uint64_t at, std::uint64_t about) {
  Link& link = LinkOf(at, about);
  if (at == about || link.joined || !Reaches(at, about)) return;
  const Status joined = ends_[at].network->impl().network.Join(
      NodeName(about), *ends_[about].boot, *link.stand_in);
  CHECK(joined.ok());
  link.joined = true;
  link.lossy = false;
}

void Wire::Leave(std::uint64_t at, std::uint64_t about) {
  Link& link = LinkOf(at, about);
  if (!link.joined || ends_[at].network == nullptr) return;
  CHECK(link.visitors == 0);
  ends_[at].network->impl().network.Leave(NodeName(about));
  link.joined = false;
  ++link.times_left;
}

/// It shows after a while that nobody answers.
void Wire::Miss(std::uint64_t at, std::uint64_t about) {
  const Moment delay = settings_.detect_ms == 0 ? 0 : Exponential(settings_.detect_ms * 1000);
  carrier_.In(delay, [this, at, about, life = ends_[at].life, of = ends_[about].life] {
    if (ends_[at].life != life || ends_[about].life != of || Reaches(at, about)) return;
    if (LinkOf(at, about).visitors > 0) {
      carrier_.In(kSoon, [this, at, about] { Miss(at, about); });
      return;
    }
    Leave(at, about);
  });
}

void Wire::Cut(std::uint64_t one, std::uint64_t other) {
  for (const auto& [at, about] : {std::pair{one, other}, std::pair{other, one}}) {
    LinkOf(at, about).cut = true;
    Miss(at, about);
  }
}

void Wire::Mend(std::uint64_t one, std::uint64_t other) {
  if (LinkOf(one, other).visitors + LinkOf(other, one).visitors > 0) {
    carrier_.In(kSoon, [this, one, other] { Mend(one, other); });
    return;
  }
  const bool lossy = LinkOf(one, other).lossy || LinkOf(other, one).lossy;
  for (const auto& [at, about] : {std::pair{one, other}, std::pair{other, one}}) {
    LinkOf(at, about).cut = false;
    if (lossy) Leave(at, about);
    Join(at, about);
  }
}

void Wire::Send(std::uint64_t from, std::uint64_t to, std::vector<server::Parcel> parcels) {
  parcels_ += parcels.size();
  if (!Reaches(from, to)) {
    LinkOf(from, to).lossy = true;
    lost_ += parcels.size();
    return;
  }
  if (settings_.loss > 0) {
    lost_ += std::erase_if(parcels, [this](const server::Parcel& parcel) {
      return MayBeLost(parcel) && rng_.OneIn(settings_.loss);
    });
  }
  if (settings_.straggle > 0) {
    std::vector<server::Parcel> prompt;
    for (server::Parcel& parcel : parcels) {
      if (!std::holds_alternative<server::Envelope>(parcel) || !rng_.OneIn(settings_.straggle)) {
        prompt.push_back(std::move(parcel));
        continue;
      }
      std::vector<server::Parcel> late;
      late.push_back(std::move(parcel));
      Travel(from, to, std::move(late), Exponential(500'000));
    }
    parcels = std::move(prompt);
  }
  if (parcels.empty()) return;
  if (settings_.delay_us == 0 && LinkOf(from, to).last <= clock_.NowNs())
    return Arrive(to, std::move(parcels));
  Moment& last = LinkOf(from, to).last;
  last = std::max<Moment>(last, clock_.NowNs() + Exponential(settings_.delay_us));
  Travel(from, to, std::move(parcels), last - clock_.NowNs());
}

/// What is under way when a link goes is lost with it.
void Wire::Travel(std::uint64_t from, std::uint64_t to, std::vector<server::Parcel> parcels,
                  Moment delay) {
  auto load = std::make_shared<std::vector<server::Parcel>>(std::move(parcels));
  const std::uint64_t times_left = LinkOf(to, from).times_left;
  carrier_.In(delay, [this, from, to, load, times_left, life = ends_[to].life] {
    const bool stands = ends_[to].life == life && LinkOf(to, from).times_left == times_left;
    if (stands && Reaches(from, to)) return Arrive(to, std::move(*load));
    LinkOf(from, to).lossy = true;
    lost_ += load->size();
  });
}

void Wire::Arrive(std::uint64_t to, std::vector<server::Parcel> parcels) {
  (void)ends_[to].network->impl().network.Send(NodeName(to), std::move(parcels));
}

Moment Wire::Exponential(std::uint64_t mean_us) {
  const double uniform =
      (static_cast<double>(rng_.Below(1u << 20)) + 1) / static_cast<double>(1u << 20);
  return static_cast<Moment>(-std::log(uniform) * static_cast<double>(mean_us) * kMicrosecond);
}

}  // namespace duramen::simulator
