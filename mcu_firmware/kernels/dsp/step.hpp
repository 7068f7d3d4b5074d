// One model step of two candidates: input layer, then the GRU cell.
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
      const uint32_t four = word_at(actions.value[group][c]) ^ 0x80808080u;
      uint32_t(*pairs)[kTile] = tile.input + kLatentPairs + 2 * group;
      pairs[0][c] = static_cast<uint32_t>(__uxtb16(static_cast<uint8x4_t>(four)));
      pairs[1][c] = static_cast<uint32_t>(__uxtb16(static_cast<uint8x4_t>(four >> 8)));
    }
  }
}

// requantise, before its last shift by 15; `half` is 16384, kept in a register.
static inline int32_t product_of(int32_t sum, const Row& row, int32_t half) {
  return __ssat(sum >> row.shift, 16) * row.multiplier + half;
}

static inline int32_t half_in_register() {
  int32_t half = 16384;
  asm("" : "+r"(half));
  return half;
}

// kCount units of a group of rows.
template <int kCount>
static inline __attribute__((always_inline)) void input_rows(Tile& tile, const Goal& goal,
                                                             int group, int32_t half) {
  const int row = kRows * group;
  Sums s[kRows] = {};
#pragma GCC unroll 4
  for (int r = 0; r < kCount; ++r) s[r] = filled(goal.input_bias[row + r]);
  accumulate<kLatentPairs + kActionPairs>(packed.input.pair[group], tile.input, s);
#pragma GCC unroll 4
  for (int r = 0; r < kCount; ++r) {
    const int unit = row + r;
    const Row& scale = packed.input_row[unit];
    int16_t* to = &tile.hidden[unit / 2][0][unit % 2];
    to[0] = static_cast<int16_t>(__usat(product_of(s[r].first, scale, half) >> 15, 8));
    to[2] = static_cast<int16_t>(__usat(product_of(s[r].second, scale, half) >> 15, 8));
  }
}

static inline void input_layer(Tile& tile, const Goal& goal) {
  constexpr int kGroups = model::kHidden / kRows;
  constexpr int kRest = model::kHidden % kRows;
  const int32_t half = half_in_register();
  for (int group = 0; group < kGroups; ++group) input_rows<kRows>(tile, goal, group, half);
  if (kRest != 0) input_rows<kRest>(tile, goal, kGroups, half);
}

// z' = (1 - u) n + u z of one unit, from the four sums.
static inline __attribute__((always_inline)) int16_t gru_cell(const Unit& unit, int32_t reset,
                                                              int32_t update, int32_t input,
                                                              int32_t hidden, int32_t z,
                                                              int32_t half) {
  const int32_t r = sigmoid_fast(product_of(reset, unit.reset, half) >> 15);
  const int32_t h = product_of(hidden, unit.hidden, half) >> 15;
  const int32_t x = product_of(input, unit.input, half) >> 15;
  const int32_t before = __ssat(x + ((r * h + half) >> 15), 16);
  const int32_t twice = __ssat(2 * before, 16);  // Q12 -> Q13
  const int32_t n = tanh_fast(twice < -32767 ? -32767 : twice);
  const int32_t u = sigmoid_fast(product_of(update, unit.update, half) >> 15);
  return static_cast<int16_t>(((u * z + half) >> 15) + (((32767 - u) * n + half) >> 15));
}

// Pairs of int16 as the words they are.
static inline const uint32_t (*words(const int16_t (*pairs)[kTile][2]))[kTile] {
  return reinterpret_cast<const uint32_t(*)[kTile]>(pairs);  // read by assembly only
}

static inline void gru_layer(Tile& tile) {
  const int32_t half = half_in_register();
  for (int i = 0; i < model::kLatent; ++i) {
    const Unit& unit = packed.unit[i];
    Sums s[kRows] = {filled(unit.reset.bias), filled(unit.update.bias), filled(unit.input.bias)};
    accumulate<kHiddenPairs>(unit.hidden_pair, words(tile.hidden), s);
    const Sums input = s[2];
    s[2] = filled(unit.hidden.bias);
    accumulate<kLatentPairs>(unit.latent_pair, tile.input, s);
    int16_t* z = &tile.state[i / 2][0][i % 2];
    z[0] = gru_cell(unit, s[0].first, s[1].first, input.first, s[2].first, z[0], half);
    z[2] = gru_cell(unit, s[0].second, s[1].second, input.second, s[2].second, z[2], half);
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
