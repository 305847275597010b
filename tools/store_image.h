// A data directory as an offline verb sees it: its WAL, and what stands on disk besides it, read by
// the code that a start reads it with. Reads only; a running store may go on.
//
// The WAL is read first and the checkpoints after it: what was recycled meanwhile is then covered
// by what the checkpoints say.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/durable_state.h"
#include "tools/exit_code.h"
#include "tools/half_repair.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/terminal.h"
#include "tools/wal_image.h"

namespace duramen::tools {

struct StoreImage {
  WalImage wal;
  std::string path;  // of the data directory; empty: only WAL files were named
  std::string wal_dir;  // as it was read with
  std::unique_ptr<Directory> directory;
  std::unique_ptr<log::DurableRows> rows;    // what the checkpoints say; null without a directory
  std::unique_ptr<log::DurableState> state;  // null without a directory

  SystemUuid system;  // nil: nothing tells

  /// Before or after the reading.
  std::optional<HalfRepair> half_repair;
  const ReadProgress* progress = nullptr;  // that it was read with, which outlives it

  /// What is missing may be missing for want of reading: nothing in it is judged.
  bool interrupted() const { return progress != nullptr && progress->stopped(); }
  bool damaged() const;
};

/// `path`: a data directory, a WAL directory or one WAL file. Where `progress` is stopped meanwhile
/// the image is empty. `wal_dir`: where the WAL is, should SYSTEM be lost. Errors: as ReadWalImage.
Result<StoreImage> ReadStoreImage(const std::string& path, ReadProgress* progress = nullptr,
                                  const std::string& wal_dir = "");

/// "clean", "clean, with a torn tail that a start cuts", "damage", or that a repair is half in
/// place, or that Ctrl-C came first.
std::string VerdictSentence(const StoreImage& image);
/// What programs are told at the end: the verdict, and the id of a repair that is half in place.
std::vector<Field> VerdictFields(const StoreImage& image);

/// Where the WAL's two directories are on one device, what that means.
void SayOneDevice(const StoreImage& image, Terminal& terminal);
/// Notes of what is wrong with the store.
void SayNotes(const StoreImage& image, Terminal& terminal);
/// The end of a verb that has printed its rows: those notes, and the exit, 130 after a Ctrl-C.
ExitCode ConcludeOn(const StoreImage& image, Terminal& terminal);

}  // namespace duramen::tools
