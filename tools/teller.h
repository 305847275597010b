// What happens in a simulated world, a line each, by the world's time.
#pragma once

#include <algorithm>
#include <string>

#include "simulator/narrator.h"
#include "tools/terminal.h"
#include "tools/text.h"

namespace duramen::tools {

class Teller final : public simulator::Narrator {
 public:
  explicit Teller(Terminal& terminal) : terminal_(terminal) {}
  void Tell(simulator::Moment at, const std::string& sentence) override {
    std::string when = Decimal(static_cast<double>(at) / 1e9, 3);
    when.insert(0, 9 - std::min<std::size_t>(9, when.size()), ' ');
    terminal_.Out(when + " s  " + sentence + "\n");
  }

 private:
  Terminal& terminal_;
};

}  // namespace duramen::tools
