#include "tests/log/machine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"

namespace duramen::log {

Machine::Machine()
    : disk_(std::make_unique<sim::SimFileSystem>(sim::DiskState(), sites_)),
      executor_(Rng(7), clock_) {
  options.data_dir = "/data";
  options.wal_max_size_bytes = 48 << 10;
  options.wal_max_files = 8;
  options.wal_max_age = 0;  // Time passes in jumps here.
  options.flush_delay = 0;
  options.memory_budget = 4 << 20;
  tuning.ring_records = 256;
  tuning.ring_bytes = 64 << 10;
  tuning.chunk_bytes = 8 << 10;
  tuning.batch_bytes_max = 16 << 10;
  tuning.alone_bytes_max = 0;
  disk_->Observe(this);
}

Machine::~Machine() { Restart(disk_->disk()); }

Status Machine::Open() {
  Result<LogStore> opened =
      OpenLogStore(options, {*disk_, clock_, executor_, Rng(seed + opens_++)}, tuning);
  if (!opened.ok()) return std::move(opened).error();
  store_.emplace(std::move(opened).value());
  return {};
}

void Machine::Start() {
  const Status opened = Open();
  ASSERT_TRUE(opened.ok()) << opened.error().message;
}

Writer& Machine::writer(std::size_t number) {
  while (writers_.size() <= number) {
    Result<Writer> made = store_->NewWriter();
    EXPECT_TRUE(made.ok()) << made.error().message;
    writers_.push_back(std::move(made).value());
  }
  return writers_[number];
}

LogRef Machine::Log(const std::string& name, std::size_t writer_number) {
  const Result<LogRef> log = store_->OpenLog(writer(writer_number), name, OpenMode::kOpenOrCreate);
  EXPECT_TRUE(log.ok()) << log.error().message;
  return log.ok() ? *log : LogRef{};
}

Result<Ticket> Machine::Append(LogRef log, Index first, Term term,
                               const std::vector<std::string>& texts, std::size_t writer_number) {
  std::vector<EntryView> entries;
  for (const std::string& text : texts) {
    entries.push_back({first + entries.size(), term, kFirstUserKind, AsBytes(text)});
  }
  const LogAppend group{log, entries};
  return writer(writer_number).Append({&group, 1});
}

void Machine::Write(LogRef log, Index first, Term term, const std::vector<std::string>& texts) {
  const Result<Ticket> ticket = Append(log, first, term, texts);
  ASSERT_TRUE(ticket.ok()) << ticket.error().message;
  const Status waited = Wait(*ticket);
  ASSERT_TRUE(waited.ok()) << waited.error().message;
}

Deadline Machine::In(std::int64_t ns) const {
  return Deadline(std::chrono::nanoseconds(clock_.NowNs() + ns));
}

Status Machine::Wait(Ticket ticket, std::size_t writer_number) {
  return writer(writer_number).Wait(ticket, In(60'000'000'000));
}

void Machine::Settle() {
  EXPECT_TRUE(executor_.RunUntilIdle(1'000'000));
  for (Writer& writer : writers_) (void)writer.Poll();
}

void Machine::Idle() {
  for (int i = 0; i < 4; ++i) {
    Settle();
    if (!executor_.AdvanceToNextTimer()) return;
  }
  Settle();
}

std::vector<std::string> Machine::Contents(LogRef log) {
  std::vector<std::string> lines;
  const Result<Bounds> bounds = store_->BoundsOf(log);
  if (!bounds.ok()) return {ErrorCodeName(bounds.error().code)};
  for (Index index = bounds->begin; index < bounds->end; ++index) {
    const Result<Pin> pin = store_->Read(log, index, index + 1, 1 << 20);
    if (!pin.ok()) {
      lines.push_back(std::to_string(index) + "!" + ErrorCodeName(pin.error().code));
      continue;
    }
    const EntryView& entry = pin->entries()[0];
    EXPECT_EQ(entry.index, index);
    EXPECT_EQ(store_->TermAt(log, index).value(), entry.term);
    lines.push_back(std::to_string(index) + ":" + std::to_string(entry.term) + ":" +
                    std::string(AsText(entry.payload)));
  }
  return lines;
}

std::vector<std::string> Machine::Contents(const std::string& name) {
  for (const LogInfo& info : store_->Logs()) {
    if (info.name == name) return Contents(info.log);
  }
  return {"no such log"};
}

std::uint64_t Machine::Metric(std::string_view name) const {
  struct Wanted {
    std::string_view name;
    std::uint64_t value = 0;
  } wanted{name};
  store_->VisitMetrics(
      [](void* argument, const duramen::Metric& metric) {
        Wanted& into = *static_cast<Wanted*>(argument);
        if (metric.name == into.name) into.value = metric.value;
      },
      &wanted);
  return wanted.value;
}

void Machine::Restart(sim::DiskState disk) {
  disk_->Crash();
  writers_.clear();
  store_.reset();
  action_ = nullptr;
  disk_ = std::make_unique<sim::SimFileSystem>(std::move(disk), sites_);
  disk_->Observe(this);
}

void Machine::Kill(std::uint64_t landed) {
  sim::DiskState left = disk_->disk();
  left.SettleFlight(landed);
  Restart(std::move(left));
}

void Machine::PowerLoss() { Restart(sim::DiskState(disk_->disk().durable())); }

void Machine::PowerLoss(sim::Profile profile, std::uint64_t ordinal) {
  const sim::CrashStates states(disk_->disk(), profile);
  Restart(sim::DiskState(states.Materialize(states.At(ordinal % states.count()))));
}

void Machine::UseDisk(const sim::DiskState& disk) { Restart(disk); }

Status Machine::Close() {
  writers_.clear();
  const Status closed = store_->Close(In(60'000'000'000));
  store_.reset();
  return closed;
}

Result<MendReport> Machine::Mend(const MendOptions& mend) {
  return MendStore(options, {*disk_, clock_, executor_, Rng(seed + opens_++)}, tuning, mend);
}

std::string Machine::UidOf(const std::string& name) const {
  for (const LogInfo& info : store_->Logs()) {
    if (info.name == name) return info.uid;
  }
  return "";
}

bool Machine::Faulty(const std::string& name) const {
  for (const LogInfo& info : store_->Logs()) {
    if (info.name == name) return info.faulty;
  }
  return false;
}

std::vector<std::string> Machine::NamesIn(const std::string& directory) const {
  std::vector<std::string> names;
  const sim::Image& image = disk_->disk().visible();
  const sim::Node node = image.FindPath(directory);
  if (node == 0) return names;
  for (const auto& [name, child] : image.entries(node)) names.push_back(name);
  return names;
}

void Machine::AtOperation(std::uint64_t n, std::function<void()> action) {
  operations_left_ = n;
  action_ = std::move(action);
}

std::uint64_t Machine::Moment() {
  if (action_ && --operations_left_ == 0) {
    const std::function<void()> action = std::move(action_);
    action_ = nullptr;
    action();
  }
  return 0;
}

std::vector<std::string> Machine::WalFiles() const {
  std::vector<std::string> names;
  const sim::Image& image = disk_->disk().visible();
  const sim::Node wal = image.FindPath("/data/wal");
  if (wal == 0) return names;
  for (const auto& [name, node] : image.entries(wal)) {
    if (name.ends_with(".wal")) names.push_back(name);
  }
  return names;
}

std::vector<std::byte> Machine::FileBytes(const std::string& path) const {
  const sim::Image& image = disk_->disk().visible();
  const sim::Node node = image.FindPath(path);
  EXPECT_NE(node, 0u) << path;
  std::vector<std::byte> bytes(image.content(node).size_bytes());
  image.content(node).Read(0, bytes);
  return bytes;
}

void Machine::Rot(const std::string& path, std::uint64_t offset) {
  disk_->Rot(path, offset, FileBytes(path)[offset] ^ std::byte{4});
}

}  // namespace duramen::log
