// A log that was found damaged stays so when nothing of the WAL that said it is left.
#include <algorithm>

#include "base/rng.h"
#include "base/try.h"
#include "tests/explorer/damage_sweep.h"

namespace duramen::explorer {
namespace {

constexpr std::int64_t kPatienceNs = 1'000'000'000;
constexpr std::uint64_t kFlushes = 4;

std::string FaultyUid(const LogStore& store) {
  for (const LogInfo& log : store.Logs()) {
    if (log.faulty) return log.uid;
  }
  return "";
}

// Until the WAL files of the start are gone.
Status WriteOn(Subject& subject) {
  TRY(subject.MakeWriters(1));
  Writer& writer = subject.writers().front();
  const LogRef log = TRY(subject.store().OpenLog(writer, "log-100", OpenMode::kCreate));
  const std::vector<std::byte> payload(3000);
  for (Index index = 1; subject.Metric("flush_rounds") < kFlushes; ++index) {
    if (index > 200) return Error{ErrorCode::kTimeout, "nothing is flushed", ""};
    const EntryView entry{index, 1, 130, payload};
    const LogAppend append{log, {&entry, 1}};
    const Ticket ticket = TRY(writer.Append({&append, 1}));
    TRY(writer.Wait(ticket, subject.DeadlineIn(kPatienceNs)));
    subject.executor().RunUntilIdle(200);
  }
  subject.writers().clear();
  return subject.store().Close(subject.DeadlineIn(kPatienceNs));
}

}  // namespace

Result<std::string> FaultOutlivesTheWal(const Specimen& specimen) {
  sim::SiteTable sites;
  for (const SpecimenFile& file : specimen.wal_files) {
    for (const Piece& piece : file.map.pieces) {
      if (piece.part != Part::kPayload || piece.row || piece.index == 0) continue;
      sim::Image image = specimen.image;
      sim::FileContent& content = image.MutableContent(image.FindPath(file.path));
      std::byte byte{};
      content.Read(piece.begin, {&byte, 1});
      byte ^= std::byte{0x10};
      content.Write(piece.begin, {&byte, 1});
      sim::SimFileSystem machine(sim::DiskState(image), sites);
      Subject subject(machine, piece.begin, specimen.sizes);
      TRY(subject.Open());
      const std::string uid = FaultyUid(subject.store());
      if (uid.empty()) continue;
      TRY(WriteOn(subject));
      sim::SimFileSystem later(sim::DiskState(machine.disk().durable()), sites);
      Subject again(later, piece.begin + 1, specimen.sizes);
      TRY(again.Open());
      if (FaultyUid(again.store()) == uid) return std::string();
      return uid + " was faulty, and is not any more once the WAL was recycled";
    }
  }
  return Error{ErrorCode::kNotFound, "no damage made a log faulty", ""};
}

}  // namespace duramen::explorer
