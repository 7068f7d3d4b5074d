// The cost and value heads of eight candidates.
#pragma once

#include <stdint.h>

#include "../../planner/goal.hpp"
#include "dense.hpp"
#include "step.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// total[c] += w . clip((gain * (W z) + shift) >> 4, 0, 255) + bias, for every candidate.
static inline void add_head(const Tile& tile, const HeadWeights& head, const int16_t* goal_gain,
                            const int16_t* goal_shift, int32_t* total) {
  using namespace model;
  constexpr int kStride = 16 * vectors(kHead);
  alignas(16) int8_t units[kTile][kStride] = {};
  const uint16x8_t rows = rows_of(kStride);
  Sums sums[kRows];
  for (int row = 0; row < kHead; row += kRows) {
    const int here = kHead - row < kRows ? kHead - row : kRows;
    three_rows(head.rows[row / kRows], tile.input[0], sizeof tile.input[0], sums);
    for (int r = 0; r < here; ++r) {
      const Scale& scale = head.scale[row + r];
      const int16x8_t y = requantised(sums[r], scale.bias, scale.shift, goal_gain[row + r]);
      const int16x8_t x = vshrq_n_s16(vqaddq_n_s16(y, goal_shift[row + r]), 4);
      vstrbq_scatter_offset_s16(units[0] + row + r, rows, as_seen(x));
    }
  }
  for (int c = 0; c < kTile; ++c) {
    int32_t sum = total[c] + head.out_bias;
    for (int i = 0; i < kStride; i += 16) {
      sum = vmladavaq_s8(sum, vldrbq_s8(units[c] + i), vldrbq_s8(head.out_weight + i));
    }
    total[c] = sum;
  }
}

static inline void add_cost(const Tile& tile, const Goal& goal, int32_t* total) {
  add_head(tile, packed.cost, goal.cost_gain, goal.cost_shift, total);
}

static inline void add_value(const Tile& tile, const Goal& goal, int32_t* total) {
  add_head(tile, packed.value, goal.value_gain, goal.value_shift, total);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
