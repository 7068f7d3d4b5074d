// One model step of a tile: input layer, then the GRU cell.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "../../planner/goal.hpp"
#include "dense.hpp"
#include "tanh.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

SDIWM_INLINE void see_actions(Tile& tile, const StepActions& actions) {
  const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
  const int8_t* from = &actions.value[0][0][0];
  uint8_t* to = &tile.action[0][0][0];
  for (int i = 0; i < model::kActionGroups * kTile * 4; i += 64) {
    _mm512_store_si512(to + i, _mm512_xor_si512(_mm512_load_si512(from + i), sign));
  }
}

// Four rows of sums -> four units of the next layer: relu, 0 to 255.
SDIWM_INLINE __m512i relu_units(__m512i s0, __m512i s1, __m512i s2, __m512i s3, int row) {
  using namespace model;
  const int32_t* shift = input_shift + row;
  const __m512i low = _mm512_packs_epi32(shifted(s0, shift[0]), shifted(s1, shift[1]));
  const __m512i high = _mm512_packs_epi32(shifted(s2, shift[2]), shifted(s3, shift[3]));
  return transposed(
      _mm512_packus_epi16(_mm512_mulhrs_epi16(low, two_rows(input_multiplier + row)),
                          _mm512_mulhrs_epi16(high, two_rows(input_multiplier + row + 2))));
}

static inline void input_layer(Tile& tile, const Goal& goal) {
  using namespace model;
  constexpr int kWidth = kLatent + 4 * kActionGroups;
  for (int row = 0; row < kHidden; row += 4) {
    Sums s0 = filled(goal.input_bias[row]);
    Sums s1 = filled(goal.input_bias[row + 1]);
    Sums s2 = filled(goal.input_bias[row + 2]);
    Sums s3 = filled(goal.input_bias[row + 3]);
    const int8_t* weight = input_weight + row * kWidth;
    multiply_rows<kLatent / 4>(s0, s1, s2, s3, &tile.latent[0][0][0], weight, kWidth);
    multiply_rows<kActionGroups>(s0, s1, s2, s3, &tile.action[0][0][0], weight + kLatent, kWidth);
    uint8_t* out = &tile.hidden[row / 4][0][0];
#pragma GCC unroll 4
    for (int q = 0; q < kQuarters; ++q) {
      _mm512_store_si512(out + 64 * q, relu_units(s0.quarter[q], s1.quarter[q], s2.quarter[q],
                                                  s3.quarter[q], row));
    }
  }
}

// Two registers of sums -> 32 candidates in int16.
SDIWM_INLINE __m512i requantised(const Sums& s, int half, int32_t shift, int16_t multiplier) {
  const __m512i packed = _mm512_packs_epi32(shifted(s.quarter[2 * half], shift),
                                            shifted(s.quarter[2 * half + 1], shift));
  return _mm512_mulhrs_epi16(packed, _mm512_set1_epi16(multiplier));
}

// z' = (1 - u) n + u z of one unit, 32 candidates.
SDIWM_INLINE void gru_cell(int unit, int half, const Sums& reset, const Sums& update,
                           const Sums& input, const Sums& hidden, int16_t* state) {
  using namespace model;
  const __m512i r =
      sigmoid_q15(requantised(reset, half, reset_shift[unit], reset_multiplier[unit]));
  const __m512i u =
      sigmoid_q15(requantised(update, half, update_shift[unit], update_multiplier[unit]));
  const __m512i x = requantised(input, half, candidate_input_shift[unit],
                                candidate_input_multiplier[unit]);
  const __m512i h = requantised(hidden, half, candidate_hidden_shift[unit],
                                candidate_hidden_multiplier[unit]);
  const __m512i before = _mm512_adds_epi16(x, _mm512_mulhrs_epi16(r, h));
  const __m512i n = tanh_q15(_mm512_adds_epi16(before, before));  // Q12 -> Q13
  const __m512i kept = _mm512_mulhrs_epi16(u, _mm512_load_si512(state));
  const __m512i rest = _mm512_sub_epi16(_mm512_set1_epi16(32767), u);
  _mm512_store_si512(state, _mm512_add_epi16(kept, _mm512_mulhrs_epi16(rest, n)));
}

static inline void gru_layer(Tile& tile) {
  using namespace model;
  constexpr int kBoth = kHidden + kLatent;
  for (int unit = 0; unit < kLatent; ++unit) {
    Sums reset = filled(reset_bias[unit]);
    Sums update = filled(update_bias[unit]);
    Sums input = filled(candidate_input_bias[unit]);
    Sums hidden = filled(candidate_hidden_bias[unit]);
    const int8_t* w_reset = reset_weight + unit * kBoth;
    const int8_t* w_update = update_weight + unit * kBoth;
    const int8_t* w_input = candidate_input_weight + unit * kHidden;
    const int8_t* w_hidden = candidate_hidden_weight + unit * kLatent;
#pragma GCC unroll 4
    for (int group = 0; group < kHidden / 4; ++group) {
      const Sums units = four_units(&tile.hidden[group][0][0]);
      multiply(reset, units, w_reset + 4 * group);
      multiply(update, units, w_update + 4 * group);
      multiply(input, units, w_input + 4 * group);
    }
#pragma GCC unroll 4
    for (int group = 0; group < kLatent / 4; ++group) {
      const Sums units = four_units(&tile.latent[group][0][0]);
      multiply(reset, units, w_reset + kHidden + 4 * group);
      multiply(update, units, w_update + kHidden + 4 * group);
      multiply(hidden, units, w_hidden + 4 * group);
    }
    gru_cell(unit, 0, reset, update, input, hidden, tile.state[unit]);
    gru_cell(unit, 1, reset, update, input, hidden, tile.state[unit] + 32);
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
