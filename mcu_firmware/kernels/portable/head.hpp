// The cost and value heads of a tile.
#pragma once

#include <stdint.h>

#include "../../planner/goal.hpp"
#include "dense.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// total[c] += w . clip((gain * (W z) + shift) >> 4, 0, 255) + bias, for every candidate.
static inline void add_head(const Tile& tile, const int8_t* weight, const int32_t* bias,
                            const int32_t* shift, const int16_t* goal_gain,
                            const int16_t* goal_shift, const int8_t* out_weight, int32_t out_bias,
                            int32_t* total) {
  using namespace model;
  int32_t out[kTile];
  fill(out_bias, out);
  for (int row = 0; row < kHead; ++row) {
    int32_t sum[kTile];
    fill(bias[row], sum);
    accumulate<kLatent>(tile.seen + kSeenLatent, weight + row * kLatent, sum);
    for (int c = 0; c < kTile; ++c) {
      const int32_t y = requantise(sum[c], shift[row], goal_gain[row]);
      out[c] += clamp(saturate16(y + goal_shift[row]) >> 4, 0, 255) * out_weight[row];
    }
  }
  for (int c = 0; c < kTile; ++c) total[c] += out[c];
}

static inline void add_cost(const Tile& tile, const Goal& goal, int32_t* total) {
  using namespace model;
  add_head(tile, cost_input_weight, cost_input_bias, cost_input_shift, goal.cost_gain,
           goal.cost_shift, cost_output_weight, cost_output_bias[0], total);
}

static inline void add_value(const Tile& tile, const Goal& goal, int32_t* total) {
  using namespace model;
  add_head(tile, value_input_weight, value_input_bias, value_input_shift, goal.value_gain,
           goal.value_shift, value_output_weight, value_output_bias[0], total);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
