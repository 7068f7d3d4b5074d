// One model step of eight candidates: input layer, then the GRU cell.
#pragma once

#include <stdint.h>

#include "../../planner/goal.hpp"
#include "dense.hpp"
#include "tanh.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

static inline void see_actions(Tile& tile, const StepActions& actions) {
  for (int group = 0; group < model::kActionGroups; ++group) {
    for (int c = 0; c < kTile; ++c) {
      memcpy(tile.input[c] + 16 * kLatentVectors + 4 * group, actions.value[group][c], 4);
    }
  }
}

// 0 to 255 as a byte that is 128 less.
static inline int16x8_t as_seen(int16x8_t x) {
  const int16x8_t bounded = vminq_s16(vmaxq_s16(x, vdupq_n_s16(0)), vdupq_n_s16(255));
  return vsubq_n_s16(bounded, 128);
}

static inline void input_layer(Tile& tile, const Goal& goal) {
  using namespace model;
  const uint16x8_t rows = rows_of(sizeof tile.hidden[0]);
  Sums sums[kRows];
  for (int row = 0; row < kHidden; row += kRows) {
    const int here = kHidden - row < kRows ? kHidden - row : kRows;
    const Scale* scale = packed.input_scale + row;
    three_rows(packed.input[row / kRows], tile.input[0], sizeof tile.input[0], sums);
    for (int r = 0; r < here; ++r) {
      const int32_t bias = goal.input_bias[row + r] + scale[r].bias;
      const int16x8_t y = requantised(sums[r], bias, scale[r].shift, scale[r].multiplier);
      vstrbq_scatter_offset_s16(tile.hidden[0] + row + r, rows, as_seen(y));
    }
  }
}

// z' = (1 - u) n + u z of one unit.
static inline int16x8_t gru_cell(int16x8_t reset, int16x8_t update, int16x8_t input,
                                 int16x8_t hidden, int16x8_t z) {
  const int16x8_t r = sigmoid_q15(reset);
  const int16x8_t u = sigmoid_q15(update);
  const int16x8_t before = vqaddq_s16(input, vqrdmulhq_s16(r, hidden));
  const int16x8_t n = tanh_q15(vqaddq_s16(before, before));  // Q12 -> Q13
  const int16x8_t rest = vsubq_s16(vdupq_n_s16(32767), u);
  return vaddq_s16(vqrdmulhq_s16(u, z), vqrdmulhq_s16(rest, n));
}

// The four sums of a unit.
struct GateSums {
  Sums reset, update, input, hidden;
};

static inline void sum_gates(const Unit& unit, const Tile& tile, GateSums& sums) {
  for (int pair = 0; pair < kTile / 2; ++pair) {
    Partial partial = {};
    accumulate(unit.hidden_rows, tile.hidden[2 * pair], tile.hidden[2 * pair + 1], partial);
    store(partial.even2, partial.odd2, pair, sums.input);
    partial.even2 = partial.odd2 = 0;
    accumulate(unit.latent_rows, tile.input[2 * pair], tile.input[2 * pair + 1], partial);
    store(partial.even0, partial.odd0, pair, sums.reset);
    store(partial.even1, partial.odd1, pair, sums.update);
    store(partial.even2, partial.odd2, pair, sums.hidden);
  }
}

static inline void gru_layer(Tile& tile) {
  GateSums sums;
  for (int i = 0; i < model::kLatent; ++i) {
    const Unit& unit = packed.unit[i];
    sum_gates(unit, tile, sums);
    const int16x8_t reset = requantised(sums.reset, unit.reset);
    const int16x8_t update = requantised(sums.update, unit.update);
    const int16x8_t input = requantised(sums.input, unit.input);
    const int16x8_t hidden = requantised(sums.hidden, unit.hidden);
    int16_t* z = tile.state[i];
    vstrhq_s16(z, gru_cell(reset, update, input, hidden, vldrhq_s16(z)));
  }
}

static inline void step(Tile& tile, const Goal& goal, const StepActions& actions) {
  see_actions(tile, actions);
  input_layer(tile, goal);
  gru_layer(tile);
  see_latents(tile);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
