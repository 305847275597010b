#include "tools/shard_walk.h"

#include <algorithm>
#include <filesystem>

#include "base/posix_io.h"
#include "base/try.h"
#include "log/shards.h"
#include "tools/system_check.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

/// And no link to one: a start follows none there.
bool IsDirectory(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() ==
         std::filesystem::file_type::directory;
}

Status FindShard(const std::string& root, std::uint32_t shard) {
  PosixFileSystem file_system;
  std::unique_ptr<Directory> directory = TRY(file_system.Open(root));
  if (shard == 0) return {};
  directory = TRY(directory->OpenDirectory(log::kShardsName));
  directory = TRY(directory->OpenDirectory(std::to_string(shard)));
  return {};
}

std::string PathOf(const std::string& root, std::uint32_t shard) {
  return shard == 0 ? root : root + "/" + log::ShardPath(shard);
}

/// One run of a verb over all of them.
class Walk {
 public:
  Walk(const ShardWalk& options, Terminal& terminal, std::size_t shards)
      : options_(options), terminal_(terminal), shards_(shards) {}

  void Begin() {
    if (options_.output.format == Format::kJson) Out("{\"v\":1,\"kind\":\"shards\",\"rows\":[");
  }

  ExitCode End() {
    if (options_.output.format == Format::kJson) Out("\n]}\n");
    if (options_.searches && !found_) terminal_.Repeat(not_here_);
    const Status flushed = terminal_.Flush();
    if (flushed.ok()) return options_.searches && found_ ? worst_found_ : worst_;
    terminal_.Complain(flushed.error());
    return ExitCodeOf(flushed.error().code);
  }

  /// Returns whether to go on.
  bool Run(std::uint32_t shard, const std::string& path,
           const std::function<ExitCode(const std::string&, const OutputOptions&)>& verb) {
    OutputOptions output = options_.output;
    output.shard = shard;
    output.named = named_;
    Head(shard, path);
    const std::uint64_t before = terminal_.out_bytes();
    ExitCode exit = ExitCode::kDamage;
    terminal_.HoldSaid(options_.searches);
    const Status there = FindShard(options_.path, shard);
    if (there.ok()) {
      const ExitCode before_it = options_.changes ? CheckWhose(shard, path) : ExitCode::kClean;
      if (before_it != ExitCode::kClean) {
        exit = before_it;
      } else {
        exit = std::max(verb(path, output), CheckWhose(shard, path));
      }
    } else {
      exit = ComplainOf(shard, path, there.error());
    }
    named_ = named_ || terminal_.out_bytes() != before;
    const std::string said = terminal_.TakeHeld();
    const bool not_here = options_.searches && exit == ExitCode::kUsage;
    if (not_here) not_here_ = said;
    if (!not_here) terminal_.Repeat(said);
    if (options_.output.format == Format::kJson) {
      Out(terminal_.out_bytes() == before ? "null}" : "}");
    }
    worst_ = std::max(worst_, exit);
    if (!not_here) worst_found_ = std::max(worst_found_, exit);
    found_ = found_ || !not_here;
    return exit != ExitCode::kInterrupted;
  }

 private:
  /// What a start would say of it.
  ExitCode CheckWhose(std::uint32_t shard, const std::string& path) {
    const Result<log::Copies<log::SystemFile>> root = ReadSystemFile(options_.path);
    const Result<log::Copies<log::SystemFile>> own = ReadSystemFile(path);
    if (!root.ok() || !own.ok()) return ExitCode::kClean;  // The verb has said so.
    const bool ours = own->content.system == log::ShardUuid(root->content.system, shard);
    if (ours && (shard == 0 || own->content.shards == log::kIsAShard)) return ExitCode::kClean;
    if (ours) {
      terminal_.Complain({ErrorCode::kCorruption,
                          "SYSTEM in " + path +
                              " says that it is a store of its own, not WAL shard " +
                              std::to_string(shard) + ": no start takes it",
                          log::BackToAShard(path)});
      return ExitCode::kDamage;
    }
    terminal_.Complain({ErrorCode::kCorruption,
                        path + " is not WAL shard " + std::to_string(shard) + " of this system",
                        "mount or restore the one that is; no start takes this one"});
    return ExitCode::kDamage;
  }
  ExitCode ComplainOf(std::uint32_t shard, const std::string& path, Error why) {
    const std::string word = "WAL shard " + std::to_string(shard);
    if (why.code == ErrorCode::kNotFound) {
      why.message = word + " is missing: SYSTEM counts " + std::to_string(shards_) +
                    ", and there is no " + path;
      why.hint = "mount or restore it; no start without it";
    } else {
      why.message = word + " is not looked at: " + why.message;
    }
    const bool strange = why.code == ErrorCode::kInvalidArgument;
    if (strange)
      why.hint = "put the directory itself there, or mount it there; no start without it";
    terminal_.Complain(why);
    const bool damage = strange || why.code == ErrorCode::kNotFound;
    return damage ? ExitCode::kDamage : ExitCodeOf(why.code);
  }
  void Out(const std::string& text) { terminal_.Out(text); }

  void Head(std::uint32_t shard, const std::string& path) {
    const std::string number = std::to_string(shard);
    const Field fields[] = {{"shard", ColumnType::kCount, std::uint64_t{shard}},
                            {"of", ColumnType::kCount, std::uint64_t{shards_}},
                            {"dir", ColumnType::kText, path}};
    if (options_.output.format == Format::kTable) {
      Out(std::string(shard == 0 ? "" : "\n") + "WAL shard " + number + " of " +
          std::to_string(shards_) + ": " + EscapeText(path) + "\n");
    } else if (options_.output.format == Format::kJsonl) {
      Out(JsonObject("shard", fields) + "\n");
    } else if (options_.output.format == Format::kJson) {
      std::string head = JsonObject("shard", fields);
      head.pop_back();
      Out((shard == 0 ? "\n" : ",\n") + head + ",\"result\":");
    }
  }

  const ShardWalk& options_;
  Terminal& terminal_;
  const std::size_t shards_;
  ExitCode worst_ = ExitCode::kClean;
  ExitCode worst_found_ = ExitCode::kClean;
  bool found_ = false;
  bool named_ = false;    // the columns of csv
  std::string not_here_;  // what the last one said that has not what is looked for
};

}  // namespace

std::vector<std::string> ShardDirectories(const std::string& path) {
  std::uint32_t count = 1;
  const Result<log::Copies<log::SystemFile>> system = ReadSystemFile(path);
  if (system.ok()) {
    count = std::clamp(system->content.shards, 1u, log::kShardsMax);
  } else if (IsDirectory(path + "/" + log::kShardsName)) {
    for (std::uint32_t shard = 1; shard < log::kShardsMax; ++shard) {
      if (IsDirectory(PathOf(path, shard))) count = shard + 1;
    }
  }
  std::vector<std::string> directories;
  for (std::uint32_t shard = 0; shard < count; ++shard) directories.push_back(PathOf(path, shard));
  return directories;
}

ExitCode RunOverShards(
    const ShardWalk& walk, Terminal& terminal,
    const std::function<ExitCode(const std::string& path, const OutputOptions& output)>& verb) {
  const std::vector<std::string> directories = ShardDirectories(walk.path);
  if (directories.size() == 1) return verb(walk.path, walk.output);
  Walk over(walk, terminal, directories.size());
  over.Begin();
  for (std::uint32_t shard = 0; shard < directories.size(); ++shard) {
    if (!over.Run(shard, directories[shard], verb)) break;
  }
  return over.End();
}

}  // namespace duramen::tools
