// A segment or a checkpoint that was named on its own, perhaps copied out of its directory.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tools/checkpoint_walk.h"
#include "tools/read_only.h"
#include "tools/segment_walk.h"
#include "tools/server_names.h"

namespace duramen::tools {

struct LoneFile {
  std::string path;
  std::unique_ptr<ReadOnlyFile> file;
  std::optional<SegmentWalk> segment;
  std::optional<CheckpointImage> checkpoint;
  ServerNames names;  // as far as it, or what stands beside it, tells them
};

/// Nothing: `path` is neither, by content or by name. Errors: kCorruption, kUnknownVersion, kIo,
/// kPermission.
Result<std::optional<LoneFile>> OpenLoneFile(const std::string& path);

}  // namespace duramen::tools
