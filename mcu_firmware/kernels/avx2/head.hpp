// The cost and value heads of a tile; the output layer consumes two hidden units at a time.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "../../planner/goal.hpp"
#include "dense.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// The modulated hidden unit of one row, 0 to 255, in packed order.
static inline void head_row(const Tile& tile, const int8_t* weight, int32_t bias, int32_t shift,
                            int16_t gain, int16_t offset, __m256i* out) {
  Sums sums;
  fill(sums, bias);
  accumulate<model::kLatent>(sums, tile.seen + kSeenLatent / 2, weight);
  for (int block = 0; block < kBlocks16; ++block) {
    const __m256i y = _mm256_adds_epi16(requantised(sums, block, shift, gain),
                                        _mm256_set1_epi16(offset));
    out[block] = within_byte(_mm256_srai_epi16(y, 4));
  }
}

static inline void add_head(const Tile& tile, const int8_t* weight, const int32_t* bias,
                            const int32_t* shift, const int16_t* gain, const int16_t* offset,
                            const int8_t* out_weight, int32_t out_bias, int32_t* total) {
  using namespace model;
  Sums out;
  fill(out, out_bias);
  for (int row = 0; row < kHead; row += 2) {
    __m256i even[kBlocks16], odd[kBlocks16];
    head_row(tile, weight + row * kLatent, bias[row], shift[row], gain[row], offset[row], even);
    head_row(tile, weight + (row + 1) * kLatent, bias[row + 1], shift[row + 1], gain[row + 1],
             offset[row + 1], odd);
    alignas(64) int16_t pairs[kTile][2];
    for (int block = 0; block < kBlocks16; ++block) {
      store_pairs(pairs + 16 * block, even[block], odd[block]);
    }
    const __m128i four = two_pairs(out_weight + row / 4 * 4);
    const __m128i pair = row % 4 == 0 ? four : _mm_srli_si128(four, 4);
    multiply_pair(out, pairs, _mm256_broadcastd_epi32(pair));
  }
  for (int i = 0; i < 8; ++i) {
    store(total + 8 * i, _mm256_add_epi32(load(total + 8 * i), out.part[i]));
  }
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
