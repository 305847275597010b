// Fills a store for a bench: entries of one size for so many servers, in turns. Owned by the bench;
// one thread; the store outlives it.
#pragma once

#include <cstdint>
#include <vector>

#include "duramen/log_store.h"

namespace duramen::tools {

class StoreFiller {
 public:
  struct Shape {
    std::uint64_t servers = 0;
    std::uint64_t entry_bytes = 0;
    std::uint64_t seed = 0;  // of the payload
  };
  /// Makes the servers. Errors: as OpenLog and Wait.
  static Result<StoreFiller> Make(LogStore& store, const Shape& shape);

  /// `entries` more, durable when it returns. The nth of all goes to server n % servers.
  Status Add(std::uint64_t entries);
  std::uint64_t entries() const { return entries_; }
  const std::vector<LogRef>& logs() const { return logs_; }

 private:
  StoreFiller(Writer writer, const Shape& shape);
  Result<LogRef> Open(LogStore& store, std::uint64_t server);
  Status Append();

  Shape shape_;
  Writer writer_;
  std::vector<std::byte> payload_;
  std::vector<LogRef> logs_;
  Ticket newest_ = 0;
  std::uint64_t entries_ = 0;
};

}  // namespace duramen::tools
