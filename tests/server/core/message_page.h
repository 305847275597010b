// docs/raft-messages.md, printed from the table that the core goes by.
#pragma once

#include <string>

namespace duramen::core {

/// The whole page. Aborts if a cell has no sentence, or a sentence no cell.
std::string MessagePage();

}  // namespace duramen::core
