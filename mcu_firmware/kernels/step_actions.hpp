// The actions of one model step for a tile of candidates; isa.hpp says how many those are.
#pragma once

#include <stdint.h>

#include "fixed_point.hpp"
#include "model.hpp"

namespace sdiwm {

constexpr int kTile = SDIWM_TILE;  // candidates that are rolled out together
constexpr int kTilesPerBlock = kBlock / kTile;
static_assert(kBlock % kTile == 0, "whole tiles fill a block");

// Groups of four actions of each candidate, 127 is 1.0; unused places are zero.
struct StepActions {
  alignas(kTile < 16 ? 4 * kTile : 64) int8_t value[model::kActionGroups][kTile][4];
};

}  // namespace sdiwm
