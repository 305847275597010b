#include "meta/checkpoint_files.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/read_around.h"
#include "base/try.h"

namespace duramen::meta {
namespace {

/// Half as much again, so that a growing checkpoint needs new space only now and then.
std::uint64_t AllocationFor(std::uint64_t size_bytes) {
  return RoundUp(size_bytes + size_bytes / 2, kCheckpointGrainBytes);
}

struct Front {
  std::vector<std::byte> bytes;
  std::uint64_t unreadable_bytes = 0;
};

/// As many bytes as there are, `size_bytes` at most.
Result<Front> ReadFront(const File& file, std::uint64_t size_bytes) {
  Front front;
  front.bytes.resize(std::min(size_bytes, TRY(file.SizeBytes())));
  const AroundRead read = TRY(ReadAround(file, 0, front.bytes));
  front.bytes.resize(read.bytes);
  front.unreadable_bytes = read.unreadable_bytes;
  return front;
}

/// The bytes of the checkpoint in that file; those of its headers where they do not tell its size,
/// which decoding says then. Errors: those of ReadAround.
Result<Front> ReadCheckpoint(const File& file, const SystemUuid& system) {
  Front headers = TRY(ReadFront(file, kCheckpointHeaderBytes));
  const Result<std::uint64_t> size_bytes = CheckpointBytes(headers.bytes, system);
  if (!size_bytes.ok()) return headers;
  return ReadFront(file, *size_bytes);
}

}  // namespace

CheckpointFiles::CheckpointFiles(Directory& directory, const SystemUuid& system)
    : directory_(directory),
      system_(system),
      slots_{Slot{.name = kCheckpointNames[0]}, Slot{.name = kCheckpointNames[1]}} {}

Result<LoadedCheckpoints> CheckpointFiles::Load() {
  LoadedCheckpoints loaded;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    loaded.files[i] = TRY(LoadSlot(slots_[i], loaded.findings));
  }
  return loaded;
}

Result<CheckpointFile> CheckpointFiles::LoadSlot(Slot& slot,
                                                 std::vector<CheckpointFinding>& findings) {
  const auto opened = directory_.Open(slot.name, OpenFor::kRead);
  if (!opened.ok() && opened.error().code == ErrorCode::kNotFound) return CheckpointFile{};
  // No descriptors are left, say; nothing was learnt about the bytes [G12].
  if (!opened.ok() && opened.error().code == ErrorCode::kIo) return opened.error();
  slot.present = true;
  const auto unreadable = [&](const Error& error) -> Result<CheckpointFile> {
    const ErrorCode code = error.code;
    if (code == ErrorCode::kUnknownVersion || code == ErrorCode::kPermission) return error;
    // Of the reading, not of the bytes.
    if (code == ErrorCode::kOverloaded || code == ErrorCode::kRefused) return error;
    slot.poisoned = slot.poisoned || code != ErrorCode::kCorruption;
    findings.push_back({slot.name, {0, slot.size_bytes, true, std::nullopt, error.message}});
    return CheckpointFile{.present = true, .content = std::nullopt};
  };
  if (!opened.ok()) return unreadable(opened.error());
  const Result<std::uint64_t> size = (*opened)->SizeBytes();
  if (size.ok()) slot.size_bytes = slot.file_bytes = *size;
  const Result<Front> front = ReadCheckpoint(**opened, system_);
  if (!front.ok()) return unreadable(front.error());
  slot.poisoned = front->unreadable_bytes > 0;
  const Bytes bytes(front->bytes);
  const std::uint64_t highest = HighestCheckpointSequence(bytes, system_);
  next_sequence_ = std::max(next_sequence_, highest + 1);
  Result<DecodedCheckpoint> content = DecodeCheckpoint(bytes, system_);
  if (!content.ok()) return unreadable(content.error());
  for (const CheckpointDamage& damage : content->damage) findings.push_back({slot.name, damage});
  slot.whole = content->whole();
  slot.sequence = content->sequence;
  slot.size_bytes = content->size_bytes;
  slot.covers = content->covers;
  return CheckpointFile{.present = true, .content = std::move(*content)};
}

std::size_t CheckpointFiles::Next() const {
  const auto rank = [](const Slot& slot) { return std::pair(slot.whole, slot.sequence); };
  return rank(slots_[1]) < rank(slots_[0]) ? 1 : 0;
}

std::uint64_t CheckpointFiles::covered_file() const {
  for (const Slot& slot : slots_) {
    if (!slot.whole || !slot.durable) return 0;
  }
  return std::min(slots_[0].covers.file, slots_[1].covers.file);
}

Result<WrittenCheckpoint> CheckpointFiles::Write(CheckpointContent content) {
  Slot& slot = slots_[Next()];
  Slot& other = slots_[1 - Next()];
  content.sequence = next_sequence_++;
  const std::vector<std::byte> bytes = EncodeCheckpoint(system_, content);
  const bool fits = bytes.size() <= slot.file_bytes;
  // By accident, or because its content shrank: a copy of it would seem to need all that.
  const bool grown =
      slot.file_bytes / 4 > AllocationFor(std::max<std::uint64_t>(bytes.size(), slot.size_bytes));
  // A file that is not whole may be the rest of one that is needed, as long as nothing new stands
  // beside it: it is replaced if the disk has room.
  bool in_place = slot.whole && fits && !grown && MayOverwrite(slot, other);
  Status written = in_place ? Overwrite(slot, bytes) : Replace(slot, bytes);
  const bool full = !written.ok() && written.error().code == ErrorCode::kDiskFull;
  if (full && !in_place && fits && MayOverwrite(slot, other)) {
    in_place = true;
    written = Overwrite(slot, bytes);
  }
  TRY(std::move(written));
  slot = {.name = slot.name,
          .present = true,
          .whole = true,
          .durable = true,
          .poisoned = false,
          .sequence = content.sequence,
          .size_bytes = bytes.size(),
          .file_bytes = in_place ? slot.file_bytes : AllocationFor(bytes.size()),
          .covers = content.covers};
  return WrittenCheckpoint{slot.name, slot.sequence, slot.size_bytes, in_place};
}

bool CheckpointFiles::MayOverwrite(const Slot& slot, Slot& other) {
  if (!slot.present || slot.poisoned || !other.whole || other.poisoned) return false;
  if (other.durable) return true;
  // The same bytes over themselves: wherever the power fails, they are no less than before.
  other.durable = MakeDurable(other).ok();
  other.poisoned = !other.durable;
  return other.durable;
}

Status CheckpointFiles::MakeDurable(const Slot& slot) {
  const std::unique_ptr<File> file = TRY(directory_.Open(slot.name, OpenFor::kReadWrite));
  const Front front = TRY(ReadFront(*file, slot.size_bytes));
  if (front.unreadable_bytes > 0) {  // Its zeros must not become what stands there.
    return Error{ErrorCode::kIo, std::string(slot.name) + " cannot be read any more", ""};
  }
  TRY(file->Write(0, front.bytes));
  TRY(file->SyncAll());
  return directory_.Sync();
}

Status CheckpointFiles::Overwrite(Slot& slot, Bytes bytes) {
  const std::unique_ptr<File> file = TRY(directory_.Open(slot.name, OpenFor::kReadWrite));
  slot.durable = slot.whole = false;
  slot.poisoned = true;  // The kernel may have marked pages clean that are not on the disk.
  TRY(file->Write(0, bytes));
  return file->SyncData();
}

Status CheckpointFiles::Replace(Slot& slot, Bytes bytes) {
  const std::string temporary = std::string(slot.name) + ".tmp";
  const Status removed = directory_.Remove(temporary);  // Of an interrupted earlier attempt.
  if (!removed.ok() && removed.error().code != ErrorCode::kNotFound) return removed.error();
  const auto fill = [&]() -> Status {
    const std::unique_ptr<File> file = TRY(directory_.Create(temporary));
    TRY(file->Allocate(AllocationFor(bytes.size())));
    TRY(file->Write(0, bytes));
    return file->SyncAll();
  };
  const Status filled = fill();
  if (!filled.ok()) {
    // Its space is worth more than its bytes; if it stays, the next attempt removes it.
    (void)directory_.Remove(temporary);
    return filled.error();
  }
  slot.durable = slot.whole = false;
  slot.poisoned = true;  // Until its name is durable, either file may be what a start finds.
  TRY(directory_.Rename(temporary, slot.name));
  return directory_.Sync();
}

}  // namespace duramen::meta
