// What stands in tests/testdata/v1 and v2: the values that make_golden wrote there once, and that
// every later release must read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "duramen/log_store.h"
#include "wal/batch.h"

namespace duramen::golden {

/// Single structures by name, encoded by the current code; "structures.txt" holds their bytes.
/// Of what has a version 1, or a version 2 of its own that is no WAL file.
std::map<std::string, std::vector<std::byte>> Structures(int version);

wal::FileHeader FileHeaderValue();
wal::BatchHeader BatchHeaderValue();
wal::RunHeader RunHeaderValue();
wal::RecordHeader RecordHeaderValue();
wal::Binding BindingValue();
wal::ClosingHeader ClosingValue();
inline constexpr std::uint64_t kOffset = 3 * wal::kBlockBytes;
/// The file that all of them belong to.
wal::FileContext Context();

/// Options under which the golden stores were written: that of version 2 with wal_compression.
LogStoreOptions StoreOptions(const std::string& directory,
                             Compression compression = Compression::kNone);
/// Per log name what it holds: "index:term:kind:payload".
std::map<std::string, std::vector<std::string>> StoreContents();

}  // namespace duramen::golden
