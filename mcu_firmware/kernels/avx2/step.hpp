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

static inline void see_actions(Tile& tile, const StepActions& actions) {
  for (int a = 0; a < 4 * model::kActionGroups; ++a) {
    int16_t(*pairs)[2] = tile.seen[(kSeenAction + a) / 2];
    for (int c = 0; c < kTile; ++c) {
      pairs[c][a % 2] = static_cast<int16_t>(actions.value[a / 4][c][a % 4] + 128);
    }
  }
}

static inline void input_row(const Tile& tile, const Goal& goal, int row, __m256i* out) {
  using namespace model;
  constexpr int kWidth = kLatent + 4 * kActionGroups;
  Sums sums;
  fill(sums, goal.input_bias[row]);
  accumulate<kWidth>(sums, tile.seen + kSeenLatent / 2, input_weight + row * kWidth);
  for (int block = 0; block < kBlocks16; ++block) {
    out[block] = within_byte(requantised(sums, block, input_shift[row], input_multiplier[row]));
  }
}

static inline void input_layer(Tile& tile, const Goal& goal) {
  for (int row = 0; row < model::kHidden; row += 2) {
    __m256i even[kBlocks16], odd[kBlocks16];
    input_row(tile, goal, row, even);
    input_row(tile, goal, row + 1, odd);
    for (int block = 0; block < kBlocks16; ++block) {
      store_pairs(&tile.seen[row / 2][16 * block], even[block], odd[block]);
    }
  }
}

// One gate's row -> int16 for all candidates.
template <int K>
static inline void gate_row(const int16_t (*seen)[kTile][2], const int8_t* weight, int32_t bias,
                            int32_t shift, int16_t multiplier, Values32* out) {
  Sums sums;
  fill(sums, bias);
  accumulate<K>(sums, seen, weight);
  for (int block = 0; block < kBlocks16; ++block) {
    out[block / 2].part[block % 2] = requantised(sums, block, shift, multiplier);
  }
}

// z' = (1 - u) n + u z for 16 candidates.
SDIWM_INLINE void blend(__m256i u, __m256i n, int16_t* state) {
  const __m256i rest = _mm256_sub_epi16(_mm256_set1_epi16(32767), u);
  store(state,
        _mm256_add_epi16(_mm256_mulhrs_epi16(u, load(state)), _mm256_mulhrs_epi16(rest, n)));
}

SDIWM_INLINE void gru_cell(const TanhTables& tables, Values32 reset, Values32 update,
                           Values32 input, Values32 hidden, int16_t* state) {
  const Values32 r = sigmoid_q15(tables, reset);
  const Values32 u = sigmoid_q15(tables, update);
  Values32 doubled;  // Q12 -> Q13
  for (int i = 0; i < 2; ++i) {
    const __m256i before =
        _mm256_adds_epi16(input.part[i], _mm256_mulhrs_epi16(r.part[i], hidden.part[i]));
    doubled.part[i] = _mm256_adds_epi16(before, before);
  }
  const Values32 n = tanh_q15(tables, doubled);
  blend(u.part[0], n.part[0], state);
  blend(u.part[1], n.part[1], state + 16);
}

static inline void gru_layer(Tile& tile) {
  using namespace model;
  constexpr int kBoth = kHidden + kLatent;
  const TanhTables tables = tanh_tables();
  for (int i = 0; i < kLatent; ++i) {
    Values32 reset[2], update[2], input[2], hidden[2];
    gate_row<kBoth>(tile.seen, reset_weight + i * kBoth, reset_bias[i], reset_shift[i],
                    reset_multiplier[i], reset);
    gate_row<kBoth>(tile.seen, update_weight + i * kBoth, update_bias[i], update_shift[i],
                    update_multiplier[i], update);
    gate_row<kHidden>(tile.seen, candidate_input_weight + i * kHidden, candidate_input_bias[i],
                      candidate_input_shift[i], candidate_input_multiplier[i], input);
    gate_row<kLatent>(tile.seen + kSeenLatent / 2, candidate_hidden_weight + i * kLatent,
                      candidate_hidden_bias[i], candidate_hidden_shift[i],
                      candidate_hidden_multiplier[i], hidden);
    gru_cell(tables, reset[0], update[0], input[0], hidden[0], tile.state[i]);
    gru_cell(tables, reset[1], update[1], input[1], hidden[1], tile.state[i] + 32);
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
