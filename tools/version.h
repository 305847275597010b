// Which build this is.
#pragma once

#include <string>

namespace duramen::tools {

/// "duramen 0.1.0 (commit 1a2b3c4), WAL format 1".
std::string VersionLine();
/// The commit that the build was configured at; "unknown" outside a checkout.
std::string CommitOfBuild();

}  // namespace duramen::tools
