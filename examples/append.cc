// append DIR LINE: adds LINE to a durable log in DIR, then prints the whole log.
#include <duramen/log_store.h>

#include <chrono>
#include <iostream>

int Fail(const duramen::Error& error) {
  std::cerr << error.message << "\n" << error.hint << "\n";
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) return Fail({duramen::ErrorCode::kInvalidArgument, "usage: append DIR LINE", ""});
  duramen::LogStoreOptions options;
  options.data_dir = argv[1];
  options.wal_max_size_bytes = 4 << 20;  // The default, 256 MB, is for thousands of logs.
  auto store = duramen::LogStore::Open(options);
  if (!store) return Fail(store.error());
  auto writer = store->NewWriter();
  if (!writer) return Fail(writer.error());
  auto log = store->OpenLog(*writer, "lines", duramen::OpenMode::kOpenOrCreate);
  if (!log) return Fail(log.error());

  const duramen::Index end = store->BoundsOf(*log)->end;
  const std::string_view line = argv[2];
  const duramen::EntryView entry{end, 1, duramen::kFirstUserKind, std::as_bytes(std::span(line))};
  const duramen::LogAppend group{*log, {&entry, 1}};
  auto ticket = writer->Append({&group, 1});
  if (!ticket) return Fail(ticket.error());
  // Only what Wait has answered for is on disk.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  if (auto durable = writer->Wait(*ticket, deadline); !durable) return Fail(durable.error());

  auto lines = store->Read(*log, 1, end + 1, 1 << 20);
  if (!lines) return Fail(lines.error());
  for (const auto& [index, term, kind, payload] : lines->entries()) {
    std::cout << index << " ";
    std::cout.write(reinterpret_cast<const char*>(payload.data()), payload.size()) << "\n";
  }
}
