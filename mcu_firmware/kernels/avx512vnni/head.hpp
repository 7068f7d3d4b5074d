// The cost and value heads of a tile; the output layer consumes each block of four hidden units
// while it is in registers.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "../../planner/goal.hpp"
#include "dense.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

SDIWM_INLINE __m512i modulated(__m512i s0, __m512i s1, const int32_t* shift, const int16_t* gain,
                               const int16_t* offset) {
  const __m512i packed = _mm512_packs_epi32(shifted(s0, shift[0]), shifted(s1, shift[1]));
  const __m512i y =
      _mm512_adds_epi16(_mm512_mulhrs_epi16(packed, two_rows(gain)), two_rows(offset));
  return _mm512_srai_epi16(y, 4);
}

SDIWM_INLINE void add_head(const Tile& tile, const int8_t* weight, const int32_t* bias,
                           const int32_t* shift, const int16_t* gain, const int16_t* offset,
                           const int8_t* out_weight, int32_t out_bias, int32_t* total) {
  using namespace model;
  Sums out = filled(out_bias);
  for (int row = 0; row < kHead; row += 4) {
    Sums s0 = filled(bias[row]);
    Sums s1 = filled(bias[row + 1]);
    Sums s2 = filled(bias[row + 2]);
    Sums s3 = filled(bias[row + 3]);
    multiply_rows<kLatent / 4>(s0, s1, s2, s3, &tile.latent[0][0][0], weight + row * kLatent,
                               kLatent);
    const __m512i w = four_weights(out_weight + row);
#pragma GCC unroll 4
    for (int q = 0; q < kQuarters; ++q) {
      const __m512i low =
          modulated(s0.quarter[q], s1.quarter[q], shift + row, gain + row, offset + row);
      const __m512i high = modulated(s2.quarter[q], s3.quarter[q], shift + row + 2,
                                     gain + row + 2, offset + row + 2);
      const __m512i units = transposed(_mm512_packus_epi16(low, high));
      out.quarter[q] = _mm512_dpbusd_epi32(out.quarter[q], units, w);
    }
  }
  for (int q = 0; q < kQuarters; ++q) {
    int32_t* to = total + 16 * q;
    _mm512_store_si512(to, _mm512_add_epi32(_mm512_load_si512(to), out.quarter[q]));
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
