#include "tools/store_filler.h"

#include <chrono>
#include <utility>

#include "base/rng.h"
#include "base/try.h"
#include "tools/interrupt.h"
#include "tools/line_entry.h"

namespace duramen::tools {
namespace {

using std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(60);

}  // namespace

StoreFiller::StoreFiller(Writer writer, const Shape& shape)
    : shape_(shape), writer_(std::move(writer)), payload_(shape.entry_bytes) {
  Rng rng(shape.seed);
  for (std::byte& byte : payload_) byte = static_cast<std::byte>(rng.Below(256));
}

Result<StoreFiller> StoreFiller::Make(LogStore& store, const Shape& shape) {
  StoreFiller filler(TRY(store.NewWriter()), shape);
  for (std::uint64_t i = 0; i < shape.servers; ++i) {
    filler.logs_.push_back(TRY(filler.Open(store, i)));
  }
  return filler;
}

/// Each registration is a record on its way to the WAL, and there may be many.
Result<LogRef> StoreFiller::Open(LogStore& store, std::uint64_t server) {
  while (true) {
    Result<LogRef> log = store.OpenLog(writer_, ServerName(server), OpenMode::kCreate);
    if (log.ok() || log.error().code != ErrorCode::kOverloaded || Interrupted()) return log;
    const Ticket vote = TRY(writer_.PutVote(logs_.back(), 1, ""));
    TRY(writer_.Wait(vote, steady_clock::now() + kPatience));
  }
}

Status StoreFiller::Add(std::uint64_t entries) {
  for (std::uint64_t i = 0; i < entries && !Interrupted(); ++i) TRY(Append());
  return writer_.Wait(newest_, steady_clock::now() + kPatience);
}

Status StoreFiller::Append() {
  const std::uint64_t server = entries_ % shape_.servers;
  const EntryView entry{
      .index = entries_ / shape_.servers + 1, .term = 1, .kind = kLineKind, .payload = payload_};
  const LogAppend group{logs_[server], std::span(&entry, 1)};
  Result<Ticket> ticket = writer_.Append(std::span(&group, 1));
  if (!ticket.ok() && ticket.error().code == ErrorCode::kOverloaded) {
    TRY(writer_.Wait(newest_, steady_clock::now() + kPatience));
    ticket = writer_.Append(std::span(&group, 1));
  }
  newest_ = TRY(std::move(ticket));
  ++entries_;
  return {};
}

}  // namespace duramen::tools
