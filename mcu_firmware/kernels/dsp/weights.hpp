// The weights as pairs of int16, in the order in which the loops read them.
//
// Made once at the start from the int8 constants, for the memory without wait states: reading an
// int16 pair is one load, unpacking it from int8 at every use would cost half an instruction more
// for each multiply-accumulate.
#pragma once

#include <stdint.h>

#include "tanh.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

constexpr int kRows = 3;  // that are summed together: the three of a gate, any of another layer

// Rows beyond kHeight are zero.
template <int kHeight, int kPairs>
struct RowGroups {
  uint32_t pair[(kHeight + kRows - 1) / kRows][kPairs][kRows];
};

// One row's sum -> int16; the input layer's bias comes from the goal.
struct Row {
  int32_t bias;
  int32_t shift;
  int32_t multiplier;  // of a head: the weight of its output, as the goal has the multiplier
};

// One unit of the GRU: reset, update, candidate's input, candidate's hidden.
struct Unit {
  Row reset, update, input, hidden;
  uint32_t hidden_pair[kHiddenPairs][kRows];  // reset, update, input
  uint32_t latent_pair[kLatentPairs][kRows];  // reset, update, hidden
};

struct HeadWeights {
  RowGroups<model::kHead, kLatentPairs> weight;
  Row row[model::kHead];
};

struct PackedWeights {
  RowGroups<model::kHidden, kLatentPairs + kActionPairs> input;
  Row input_row[model::kHidden];
  Unit unit[model::kLatent];
  HeadWeights cost;
  HeadWeights value;
};

static PackedWeights packed;

static inline uint32_t int16_pair(int8_t low, int8_t high) {
  return static_cast<uint16_t>(low) | static_cast<uint32_t>(high) << 16;
}

static inline uint32_t neighbours(const int8_t* row, int pair) {
  return int16_pair(row[2 * pair], row[2 * pair + 1]);
}

static inline void pack_input() {
  constexpr int kWidth = model::kLatent + 4 * model::kActionGroups;
  for (int row = 0; row < model::kHidden; ++row) {
    packed.input_row[row] = {0, model::input_shift[row], model::input_multiplier[row]};
    const int8_t* from = model::input_weight + row * kWidth;
    auto& to = packed.input.pair[row / kRows];
    for (int pair = 0; pair < kLatentPairs; ++pair) to[pair][row % kRows] = neighbours(from, pair);
    for (int pair = 0; pair < kActionPairs; ++pair) {
      const int8_t* action = from + model::kLatent + 4 * (pair / 2) + pair % 2;
      to[kLatentPairs + pair][row % kRows] = int16_pair(action[0], action[2]);
    }
  }
}

static inline void pack_units() {
  using namespace model;
  constexpr int kBoth = kHidden + kLatent;
  for (int i = 0; i < kLatent; ++i) {
    Unit& unit = packed.unit[i];
    unit.reset = {reset_bias[i], reset_shift[i], reset_multiplier[i]};
    unit.update = {update_bias[i], update_shift[i], update_multiplier[i]};
    unit.input = {candidate_input_bias[i], candidate_input_shift[i], candidate_input_multiplier[i]};
    unit.hidden = {candidate_hidden_bias[i], candidate_hidden_shift[i],
                   candidate_hidden_multiplier[i]};
    for (int pair = 0; pair < kHiddenPairs; ++pair) {
      unit.hidden_pair[pair][0] = neighbours(reset_weight + i * kBoth, pair);
      unit.hidden_pair[pair][1] = neighbours(update_weight + i * kBoth, pair);
      unit.hidden_pair[pair][2] = neighbours(candidate_input_weight + i * kHidden, pair);
    }
    for (int pair = 0; pair < kLatentPairs; ++pair) {
      unit.latent_pair[pair][0] = neighbours(reset_weight + i * kBoth, kHiddenPairs + pair);
      unit.latent_pair[pair][1] = neighbours(update_weight + i * kBoth, kHiddenPairs + pair);
      unit.latent_pair[pair][2] = neighbours(candidate_hidden_weight + i * kLatent, pair);
    }
  }
}

static inline void pack_head(const int8_t* weight, const int32_t* bias, const int32_t* shift,
                             const int8_t* out_weight, HeadWeights& to) {
  for (int row = 0; row < model::kHead; ++row) {
    to.row[row] = {bias[row], shift[row], out_weight[row]};
    for (int pair = 0; pair < kLatentPairs; ++pair) {
      to.weight.pair[row / kRows][pair][row % kRows] =
          neighbours(weight + row * model::kLatent, pair);
    }
  }
}

// To be called once, before anything else of this instruction set.
static inline void prepare_kernels() {
  using namespace model;
  prepare_tanh();
  pack_input();
  pack_units();
  pack_head(cost_input_weight, cost_input_bias, cost_input_shift, cost_output_weight, packed.cost);
  pack_head(value_input_weight, value_input_bias, value_input_shift, value_output_weight,
            packed.value);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
