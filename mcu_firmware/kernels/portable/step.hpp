// One model step of a tile: input layer, then the GRU cell.
#pragma once

#include <stdint.h>

#include "../../planner/goal.hpp"
#include "../tanh_q15.hpp"
#include "dense.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// Nothing to prepare: the weights are read as they are.
static inline void prepare_kernels() {}

static inline void see_actions(Tile& tile, const StepActions& actions) {
  for (int a = 0; a < 4 * model::kActionGroups; ++a) {
    for (int c = 0; c < kTile; ++c) {
      tile.seen[kSeenAction + a][c] = static_cast<int16_t>(actions.value[a / 4][c][a % 4] + 128);
    }
  }
}

static inline void input_layer(Tile& tile, const Goal& goal) {
  using namespace model;
  constexpr int kWidth = kLatent + 4 * kActionGroups;
  for (int row = 0; row < kHidden; ++row) {
    int32_t sum[kTile];
    fill(goal.input_bias[row], sum);
    accumulate<kWidth>(tile.seen + kSeenLatent, input_weight + row * kWidth, sum);
    for (int c = 0; c < kTile; ++c) {
      const int32_t y = requantise(sum[c], input_shift[row], input_multiplier[row]);
      tile.seen[row][c] = static_cast<int16_t>(clamp(y, 0, 255));
    }
  }
}

// z' = (1 - u) n + u z of one unit, from the four sums.
static inline int16_t gru_cell(int unit, int32_t reset, int32_t update, int32_t input,
                               int32_t hidden, int16_t z) {
  using namespace model;
  const int32_t r = sigmoid_q15(requantise(reset, reset_shift[unit], reset_multiplier[unit]));
  const int32_t u = sigmoid_q15(requantise(update, update_shift[unit], update_multiplier[unit]));
  const int32_t x =
      requantise(input, candidate_input_shift[unit], candidate_input_multiplier[unit]);
  const int32_t h =
      requantise(hidden, candidate_hidden_shift[unit], candidate_hidden_multiplier[unit]);
  const int32_t before = saturate16(x + mulhrs(r, h));
  const int32_t n = tanh_q15(saturate16(2 * before));  // Q12 -> Q13
  return static_cast<int16_t>(mulhrs(u, z) + mulhrs(32767 - u, n));
}

static inline void gru_layer(Tile& tile) {
  using namespace model;
  constexpr int kBoth = kHidden + kLatent;
  for (int unit = 0; unit < kLatent; ++unit) {
    int32_t reset[kTile], update[kTile], input[kTile], hidden[kTile];
    fill(reset_bias[unit], reset);
    fill(update_bias[unit], update);
    fill(candidate_input_bias[unit], input);
    fill(candidate_hidden_bias[unit], hidden);
    accumulate<kBoth>(tile.seen, reset_weight + unit * kBoth, reset);
    accumulate<kBoth>(tile.seen, update_weight + unit * kBoth, update);
    accumulate<kHidden>(tile.seen, candidate_input_weight + unit * kHidden, input);
    accumulate<kLatent>(tile.seen + kSeenLatent, candidate_hidden_weight + unit * kLatent,
                        hidden);
    for (int c = 0; c < kTile; ++c) {
      int16_t& z = tile.state[unit][c];
      z = gru_cell(unit, reset[c], update[c], input[c], hidden[c], z);
    }
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
