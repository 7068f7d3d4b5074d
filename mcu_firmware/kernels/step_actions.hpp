// The actions of one model step for a tile of candidates: the same layout on every target.
#pragma once

#include <stdint.h>

#include "fixed_point.hpp"
#include "model.hpp"

namespace sdiwm {

// Groups of four actions of each candidate, 127 is 1.0; unused places are zero.
struct StepActions {
  alignas(64) int8_t value[model::kActionGroups][kTile][4];
};

}  // namespace sdiwm
