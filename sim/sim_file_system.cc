#include "sim/sim_file_system.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/try.h"
#include "base/types.h"

// The line of the store that asked. Every method of the port reads it first, so that it is never
// the address of a helper in this file.
#define CALLER __builtin_return_address(0)

namespace duramen::sim {

std::uint32_t SiteTable::Intern(std::string_view operation, const std::string& file_class,
                                const void* caller) {
  const auto key = std::tuple<std::string, std::string, const void*>(operation, file_class, caller);
  const auto [found, added] = numbers_.emplace(key, static_cast<std::uint32_t>(sites_.size()));
  if (added) sites_.push_back({std::string(operation), file_class, caller, 0});
  ++sites_[found->second].calls;
  return found->second;
}

namespace {

/// Directories of servers are named by their uids.
bool IsUid(std::string_view name) { return Uid128::Parse(name).ok(); }

/// "20260314-031502-k7qa"
bool IsRepairId(std::string_view name) {
  return name.size() == 20 && name[8] == '-' && name[15] == '-';
}

}  // namespace

std::string FileClass(std::string_view directory_name, std::string_view name) {
  const auto class_of = [](std::string_view one) -> std::string_view {
    if (one.ends_with(".aside") && IsUid(one.substr(0, one.find('.')))) return "UID.aside";
    const bool number = !one.empty() && one.find_first_not_of("0123456789") == one.npos;
    if (number) return "#";  // A WAL shard's.
    return IsUid(one) ? "UID" : IsRepairId(one) ? "REPAIR" : one;
  };
  name = class_of(name);
  std::string out(class_of(directory_name));
  // A shard's WAL directory and its files, as shard 0's.
  if (out == "#" && (name.empty() || name.find(".wal") != name.npos)) out = "wal";
  // What a write that did not get to its end has left: each of them is rare.
  const bool left = name.ends_with(".tmp") || name == "METHOD.probe";
  if (out == "#" && left) name = "any.tmp";
  if (!out.empty() && !name.empty()) out += '/';
  bool in_number = false;
  for (const char c : name) {
    const bool digit = c >= '0' && c <= '9';
    if (digit && in_number) continue;
    in_number = digit;
    out += digit ? '#' : c;
  }
  return out;
}

class SimFile final : public File {
 public:
  struct Place {
    Node node;
    std::string path;
    std::string file_class;
    OpenFor mode;
  };
  SimFile(SimFileSystem& machine, Place place) : machine_(machine), place_(std::move(place)) {}
  const std::string& path() const { return place_.path; }

  Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    TRY(machine_.MarkRead("read", place_.file_class, CALLER));
    if (machine_.disk_.IsBad(place_.node, offset, offset + bytes.size())) {
      ++machine_.reads_failed_;
      return Error{ErrorCode::kIo, place_.path + ": input/output error", ""};
    }
    return machine_.disk_.visible().content(place_.node).Read(offset, bytes);
  }
  Result<std::uint64_t> NextData(std::uint64_t offset) const override {
    return machine_.disk_.visible().content(place_.node).NextData(offset);
  }
  Status Write(std::uint64_t offset, Bytes bytes) override {
    return WriteFrom(offset, bytes, CALLER);
  }
  Status WriteDurable(std::uint64_t offset, Bytes bytes) override {
    const void* caller = CALLER;
    if (place_.mode != OpenFor::kDirect) {
      TRY(WriteFrom(offset, bytes, caller));
      return SyncFrom(false, caller);
    }
    const std::uint64_t flight = TRY(BeginFrom(offset, bytes, caller));
    return EndFrom(flight, caller);
  }
  Status SyncData() override {
    return Change({.kind = OpKind::kSyncData, .node = place_.node}, CALLER);
  }
  Status SyncAll() override {
    return Change({.kind = OpKind::kSyncAll, .node = place_.node}, CALLER);
  }
  Status Allocate(std::uint64_t size_bytes) override {
    return Resize(OpKind::kAllocate, size_bytes, CALLER);
  }
  Status Truncate(std::uint64_t size_bytes) override {
    return Resize(OpKind::kTruncate, size_bytes, CALLER);
  }
  Result<std::uint64_t> SizeBytes() const override {
    TRY(machine_.MarkRead("size", place_.file_class, CALLER));
    return machine_.disk_.visible().content(place_.node).size_bytes();
  }

  // For the queue, which knows the line that submitted.
  Status WriteFrom(std::uint64_t offset, Bytes bytes, const void* caller) {
    CHECK(place_.mode != OpenFor::kDirect);  // Those are durable, or go through a queue.
    Op op{.kind = OpKind::kWrite, .node = place_.node, .offset = offset};
    op.bytes = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
    return Change(std::move(op), caller);
  }
  Status SyncFrom(bool all, const void* caller) {
    return Change({.kind = all ? OpKind::kSyncAll : OpKind::kSyncData, .node = place_.node},
                  caller);
  }
  Result<std::uint64_t> BeginFrom(std::uint64_t offset, Bytes bytes, const void* caller) {
    CHECK(place_.mode == OpenFor::kDirect);
    CHECK(offset % kDirectAlign == 0 && bytes.size() % kDirectAlign == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % kDirectAlign == 0);
    Op op{.kind = OpKind::kWriteDirect, .node = place_.node, .offset = offset};
    op.flight = ++machine_.flights_;
    op.bytes = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
    const std::uint64_t flight = op.flight;
    TRY(Change(std::move(op), caller));
    return flight;
  }
  Status EndFrom(std::uint64_t flight, const void* caller) {
    return Change({.kind = OpKind::kDirectDone, .node = place_.node, .flight = flight}, caller);
  }

 private:
  Status Resize(OpKind kind, std::uint64_t size_bytes, const void* caller) {
    return Change({.kind = kind, .node = place_.node, .size_bytes = size_bytes}, caller);
  }
  Status Change(Op op, const void* caller) {
    if (place_.mode == OpenFor::kRead && !IsSync(op.kind)) {
      return Error{ErrorCode::kPermission, place_.path + ": opened for reading", ""};
    }
    const Status status = machine_.Do(std::move(op), place_.file_class, caller);
    if (status.ok()) return {};
    return Error{status.error().code, place_.path + ": " + status.error().message, ""};
  }
  SimFileSystem& machine_;
  const Place place_;
};

class SimLock final : public FileLock {
 public:
  SimLock(SimFileSystem& machine, Node node) : machine_(machine), node_(node) {}
  ~SimLock() override { machine_.locked_.erase(node_); }

 private:
  SimFileSystem& machine_;
  const Node node_;
};

class SimDirectory final : public Directory {
 public:
  SimDirectory(SimFileSystem& machine, Node node, std::string path)
      : machine_(machine), node_(node), path_(std::move(path)) {
    const std::size_t slash = path_.rfind('/');
    base_ = slash == std::string::npos ? path_ : path_.substr(slash + 1);
  }

  const std::string& path() const override { return path_; }
  std::uint64_t FreeBytes() const override { return machine_.free_bytes_; }
  FileSystemKind Kind() const override {
    const auto said = machine_.kinds_.find(path_);
    return said == machine_.kinds_.end() ? FileSystemKind{} : said->second;
  }

  std::uint64_t device() const override {
    std::uint64_t device = 0;
    for (const auto& [path, number] : machine_.devices_) {
      if (path_.starts_with(path)) device = number;  // The longest comes last.
    }
    return device;
  }

  Result<std::unique_ptr<File>> Create(std::string_view name) override {
    return Create(name, CALLER);
  }

  Result<std::unique_ptr<File>> Open(std::string_view name, OpenFor mode) const override {
    TRY(machine_.MarkRead("open", FileClass(base_, name), CALLER));
    TRY(Descriptor(name));
    const Node node = Find(name);
    if (node == 0) return Failure(ErrorCode::kNotFound, name, "no such file");
    if (machine_.disk_.visible().IsDirectory(node)) {
      return Failure(ErrorCode::kInvalidArgument, name, "not a regular file");
    }
    if (mode == OpenFor::kDirect && machine_.refuses_direct_) {
      return Failure(ErrorCode::kUnsupported, name, "no direct I/O");
    }
    return Handle(node, name, mode);
  }

  Status Rename(std::string_view from, std::string_view to) override {
    const void* caller = CALLER;
    const Node node = Find(from);
    if (node == 0) return Failure(ErrorCode::kNotFound, from, "no such file");
    Op op = NameChange(OpKind::kRename, node, from);
    op.to = std::string(to);
    return Do(std::move(op), to, caller);
  }

  Status Remove(std::string_view name) override {
    const void* caller = CALLER;
    const Node node = Find(name);
    if (node == 0) return Failure(ErrorCode::kNotFound, name, "no such file");
    if (machine_.disk_.visible().IsDirectory(node)) {
      return Failure(ErrorCode::kIo, name, "is a directory");
    }
    return Do(NameChange(OpKind::kRemove, node, name), name, caller);
  }

  Result<std::vector<DirectoryEntry>> List() const override {
    TRY(machine_.MarkRead("list", FileClass(base_, ""), CALLER));
    TRY(Descriptor(""));
    std::vector<DirectoryEntry> found;
    const Image& image = machine_.disk_.visible();
    for (const auto& [name, node] : image.entries(node_)) {
      const bool directory = image.IsDirectory(node);
      found.push_back(
          {name, directory ? 0 : image.content(node).size_bytes(), directory, !directory});
    }
    return found;
  }

  Status Sync() override {
    const void* caller = CALLER;
    return Do({.kind = OpKind::kSyncDirectory, .node = node_}, "", caller);
  }

  Status SyncFileSystem() override {
    const void* caller = CALLER;
    return Do({.kind = OpKind::kSyncFileSystem, .node = node_}, "", caller);
  }

  Status CreateDirectory(std::string_view name) override {
    const void* caller = CALLER;
    if (Find(name) != 0) return Failure(ErrorCode::kAlreadyExists, name, "exists");
    return Do(NameChange(OpKind::kMakeDirectory, machine_.next_node_, name), name, caller);
  }

  Status RemoveDirectory(std::string_view name) override {
    const void* caller = CALLER;
    const Node node = Find(name);
    if (node == 0) return Failure(ErrorCode::kNotFound, name, "no such directory");
    const Image& image = machine_.disk_.visible();
    if (!image.IsDirectory(node) || !image.entries(node).empty()) {
      return Failure(ErrorCode::kIo, name, "not an empty directory");
    }
    return Do(NameChange(OpKind::kRemoveDirectory, node, name), name, caller);
  }

  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) const override {
    TRY(machine_.MarkRead("open directory", FileClass(base_, name), CALLER));
    TRY(Descriptor(name));
    const Node node = Find(name);
    if (node == 0) return Failure(ErrorCode::kNotFound, name, "no such directory");
    if (!machine_.disk_.visible().IsDirectory(node)) {
      return Failure(ErrorCode::kInvalidArgument, name, "not a directory");
    }
    return std::unique_ptr<Directory>(
        std::make_unique<SimDirectory>(machine_, node, path_ + "/" + std::string(name)));
  }

  Result<std::unique_ptr<FileLock>> Lock(std::string_view name) override {
    const void* caller = CALLER;
    TRY(machine_.MarkRead("lock", FileClass(base_, name), caller));
    TRY(Descriptor(name));
    if (Find(name) == 0) TRY(Create(name, caller));
    const Node node = Find(name);
    if (!machine_.locked_.insert(node).second) {
      return Failure(ErrorCode::kInUse, name, "held by another process");
    }
    return std::unique_ptr<FileLock>(std::make_unique<SimLock>(machine_, node));
  }

 private:
  Result<std::unique_ptr<File>> Create(std::string_view name, const void* caller) {
    TRY(Descriptor(name));
    if (Find(name) != 0) return Failure(ErrorCode::kAlreadyExists, name, "exists");
    const Node node = machine_.next_node_;
    TRY(Do(NameChange(OpKind::kCreate, node, name), name, caller));
    return Handle(node, name, OpenFor::kReadWrite);
  }
  Status Descriptor(std::string_view name) const {
    const Status taken = machine_.TakeDescriptor();
    if (taken.ok()) return {};
    return Failure(taken.error().code, name, taken.error().message.c_str());
  }
  Node Find(std::string_view name) const { return machine_.disk_.visible().Find(node_, name); }
  std::unique_ptr<File> Handle(Node node, std::string_view name, OpenFor mode) const {
    return std::make_unique<SimFile>(machine_, SimFile::Place{node, path_ + "/" + std::string(name),
                                                              FileClass(base_, name), mode});
  }
  Error Failure(ErrorCode code, std::string_view name, const char* what) const {
    return {code, path_ + "/" + std::string(name) + ": " + what, ""};
  }
  Op NameChange(OpKind kind, Node node, std::string_view name) const {
    return {.kind = kind, .node = node, .directory = node_, .name = std::string(name)};
  }
  Status Do(Op op, std::string_view name, const void* caller) const {
    const Status status = machine_.Do(std::move(op), FileClass(base_, name), caller);
    if (status.ok()) return {};
    return Failure(status.error().code, name, status.error().message.c_str());
  }
  SimFileSystem& machine_;
  const Node node_;
  const std::string path_;
  std::string base_;
};

class SimWriteQueue final : public WriteQueue, public Actor {
 public:
  SimWriteQueue(SimFileSystem& machine, const WriteQueueOptions& options)
      : machine_(machine), options_(options) {
    options_.executor.Start(*this);
  }
  ~SimWriteQueue() override {
    Drain();  // A machine that has crashed does nothing.
    options_.executor.Stop(*this);
  }

  void Submit(const WriteRequest& request) override {
    CHECK(flying_.size() < options_.depth);
    CHECK((request.how == MadeDurable::kDirect) == options_.direct);
    Flying flying{.request = request, .caller = CALLER, .submitted = ++machine_.submitted_};
    const std::int64_t now_ns = options_.clock.NowNs();
    flying.begun_ns = now_ns;
    flying.due_ns = now_ns + machine_.latency_ns_;
    if (!options_.direct && !flying_.empty()) {
      flying.due_ns = flying_.back().due_ns + machine_.latency_ns_;
    }
    if (options_.direct) Begin(flying);
    flying_.push_back(std::move(flying));
    options_.executor.Wake(*this);
  }
  void Take(std::vector<WriteDone>& done) override {
    for (WriteDone& one : done_) done.push_back(std::move(one));
    done_.clear();
  }
  void Drain() override {
    while (!flying_.empty()) Advance(options_.direct ? Draw(flying_.size()) : 0);
  }
  WriteDone Run(const WriteRequest& request) override {
    Flying flying{.request = request, .caller = CALLER, .begun_ns = options_.clock.NowNs()};
    if (options_.direct) Begin(flying);
    if (!options_.direct) WriteOne(flying);
    End(flying);
    return DoneOf(flying);
  }
  const char* name() const override { return "simulated queue"; }

  std::int64_t Step() override {
    if (flying_.empty()) return kIdle;
    const std::int64_t now_ns = options_.clock.NowNs();
    const std::int64_t stalled_ns =
        machine_.StalledUntil(FileOf(flying_.front()).path(), flying_.front().submitted);
    if (stalled_ns > now_ns) return stalled_ns;
    std::size_t due = 0;  // Those that are due come first in either order of submission.
    while (due < flying_.size() && flying_[due].due_ns <= now_ns) ++due;
    if (!options_.direct && !flying_.front().written) {
      Advance(0);
      return kAgain;
    }
    if (due == 0) return flying_.front().due_ns;
    Advance(options_.direct ? Draw(due) : 0);
    return kAgain;
  }

 private:
  struct Flying {
    WriteRequest request;
    const void* caller = nullptr;
    std::uint64_t submitted = 0;  // a number in order of submission
    std::int64_t begun_ns = 0;
    std::int64_t due_ns = 0;
    bool written = false;
    std::int64_t written_ns = 0;  // once it is
    std::uint64_t flight = 0;
    Status status = {};
  };
  static SimFile& FileOf(const Flying& flying) {
    return static_cast<SimFile&>(*flying.request.file);
  }
  std::size_t Draw(std::size_t below) { return machine_.flight_rng_.Below(below); }
  void Begin(Flying& flying) {
    const WriteRequest& request = flying.request;
    const auto begun = FileOf(flying).BeginFrom(request.offset, request.bytes, flying.caller);
    if (begun.ok()) flying.flight = *begun;
    if (!begun.ok()) flying.status = begun.error();
  }
  void WriteOne(Flying& flying) {
    const WriteRequest& request = flying.request;
    flying.written = true;
    flying.status = FileOf(flying).WriteFrom(request.offset, request.bytes, flying.caller);
    flying.written_ns = options_.clock.NowNs();
  }
  void End(Flying& flying) {
    if (!flying.status.ok()) return;
    const MadeDurable how = flying.request.how;
    if (options_.direct) {
      flying.status = FileOf(flying).EndFrom(flying.flight, flying.caller);
    } else if (how != MadeDurable::kNot) {
      flying.status = FileOf(flying).SyncFrom(how == MadeDurable::kAll, flying.caller);
    }
  }
  WriteDone DoneOf(const Flying& flying) const {
    const std::int64_t now_ns = options_.clock.NowNs();
    return {.id = flying.request.id,
            .status = flying.status,
            .begun_ns = flying.begun_ns,
            .written_ns = flying.written ? flying.written_ns : now_ns,
            .synced_ns = now_ns};
  }
  void Advance(std::size_t number) {
    Flying& flying = flying_[number];
    if (!options_.direct && !flying.written) {
      WriteOne(flying);
      if (flying.status.ok()) return;
    }
    End(flying);
    done_.push_back(DoneOf(flying));
    flying_.erase(flying_.begin() + static_cast<std::ptrdiff_t>(number));
    options_.executor.Wake(options_.owner);
  }

  SimFileSystem& machine_;
  const WriteQueueOptions options_;
  std::vector<Flying> flying_;  // in the order of submission
  std::vector<WriteDone> done_;
};

std::unique_ptr<WriteQueue> SimFileSystem::MakeWriteQueue(const WriteQueueOptions& options) {
  return std::make_unique<SimWriteQueue>(*this, options);
}

std::int64_t SimFileSystem::StalledUntil(const std::string& file_path,
                                         std::uint64_t submitted) const {
  const std::string directory = file_path.substr(0, file_path.rfind('/'));
  const auto stall = stalls_.find(directory);
  const auto hang = hangs_.find(directory);
  const bool hangs = hang != hangs_.end() && submitted <= hang->second.second;
  return std::max(stall == stalls_.end() ? 0 : stall->second, hangs ? hang->second.first : 0);
}

Error SimFileSystem::Stopped() const {
  return {ErrorCode::kIo, "crashed: the machine has stopped", ""};
}

const Fault* SimFileSystem::MatchFault(const Op& op, const std::string& file_class) {
  const Fault* fires = nullptr;
  for (Fault& fault : faults_) {
    if (fault.kind && *fault.kind != op.kind) continue;
    if (file_class.find(fault.file_class) == std::string::npos) continue;
    if (fault.times == 0) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    if (fires != nullptr) continue;
    if (fault.times != UINT64_MAX) --fault.times;
    fires = &fault;
  }
  return fires;
}

Status SimFileSystem::Do(Op op, const std::string& file_class, const void* caller) {
  if (crashed_) return Stopped();
  op.site = sites_.Intern(OpKindName(op.kind), file_class, caller);
  op.moment = observer_ == nullptr ? 0 : observer_->Moment();
  // The observer may have torn the machine down.
  if (crashed_) return Stopped();
  const Fault* fault = MatchFault(op, file_class);
  if (fault != nullptr) {
    ++faults_fired_;
    if (fault->effect == FaultEffect::kCrash) {
      crashed_ = true;
      return Stopped();
    }
    op.failed = true;
    if (op.kind == OpKind::kWrite) {
      const std::size_t kept = fault->effect == FaultEffect::kShortWrite
                                   ? std::min<std::size_t>(fault->short_bytes, op.bytes->size())
                                   : 0;
      op.bytes = std::make_shared<const std::vector<std::byte>>(
          op.bytes->begin(), op.bytes->begin() + static_cast<std::ptrdiff_t>(kept));
    }
  }
  disk_.Apply(op);
  next_node_ = std::max(next_node_, disk_.NextNode());
  const bool failed = op.failed;
  if (traces_) trace_.push_back(std::move(op));
  if (!failed) return {};
  if (fault->effect == FaultEffect::kDiskFull) {
    return Error{ErrorCode::kDiskFull, "no space left on device", ""};
  }
  return Error{ErrorCode::kIo, "input/output error", ""};
}

void SimFileSystem::Rot(const std::string& path, std::uint64_t offset, std::byte value) {
  const Node node = disk_.visible().FindPath(path);
  CHECK(node != 0);
  Rot(node, offset, value);
}

void SimFileSystem::FailReads(const std::string& path, std::uint64_t begin, std::uint64_t end) {
  const Node node = disk_.visible().FindPath(path);
  CHECK(node != 0);
  disk_.MakeBad(node, begin, end);
}

Status SimFileSystem::MarkRead(const char* operation, const std::string& file_class,
                               const void* caller) {
  if (crashed_) return Stopped();
  const std::uint32_t site = sites_.Intern(operation, file_class, caller);
  if (!traces_) return {};
  if (reads_.empty() || reads_.back().site != site || reads_.back().position != trace_.size()) {
    reads_.push_back({trace_.size(), site});
  }
  return {};
}

Status SimFileSystem::TakeDescriptor() {
  if (opens_left_ == UINT64_MAX) return {};
  if (opens_left_ > 0) {
    --opens_left_;
    return {};
  }
  if (opens_failing_ == 0) return {};
  if (opens_failing_ != UINT64_MAX) --opens_failing_;
  ++opens_failed_;
  return Error{ErrorCode::kIo, "too many open files", ""};
}

Result<std::unique_ptr<Directory>> SimFileSystem::Open(const std::string& path) {
  TRY(MarkRead("open directory", FileClass("", path), CALLER));
  TRY(TakeDescriptor());
  next_node_ = std::max(next_node_, disk_.NextNode());
  const Node node = disk_.visible().FindPath(path);
  if (node == 0) return Error{ErrorCode::kNotFound, path + ": no such directory", ""};
  if (!disk_.visible().IsDirectory(node)) {
    return Error{ErrorCode::kInvalidArgument, path + ": not a directory", ""};
  }
  return std::unique_ptr<Directory>(std::make_unique<SimDirectory>(*this, node, path));
}

Status SimFileSystem::CreateDirectories(const std::string& path) {
  const void* caller = CALLER;
  TRY(TakeDescriptor());
  next_node_ = std::max(next_node_, disk_.NextNode());
  Node parent = kRootNode;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string name = path.substr(at, slash - at);
    at = slash + 1;
    if (name.empty()) continue;
    Node node = disk_.visible().Find(parent, name);
    if (node == 0) {
      node = next_node_;
      TRY(Do({.kind = OpKind::kMakeDirectory, .node = node, .directory = parent, .name = name},
             name, caller));
    } else if (!disk_.visible().IsDirectory(node)) {
      return Error{ErrorCode::kInvalidArgument, path + ": '" + name + "' is not a directory", ""};
    }
    // Synced also when it was there: whoever made it may have died before the sync.
    TRY(Do({.kind = OpKind::kSyncDirectory, .node = parent}, "", caller));
    parent = node;
  }
  return {};
}

}  // namespace duramen::sim
