// Who hears what happens in a simulated world.
#pragma once

#include <string>

#include "simulator/agenda.h"

namespace duramen::simulator {

/// What happens, for people.
class Narrator {
 public:
  virtual ~Narrator() = default;
  virtual void Tell(Moment at, const std::string& sentence) = 0;
};

}  // namespace duramen::simulator
