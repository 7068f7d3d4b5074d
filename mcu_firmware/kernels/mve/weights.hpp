// The weights in whole vectors, in the order in which the loops read them.
//
// Made once at the start from the constants. Three rows are summed together: the three of a gate,
// or any three of another layer; rows and columns beyond a layer's are zero.
#pragma once

#include <stdint.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

constexpr int kRows = 3;

template <int kVectors>
struct Rows {
  alignas(16) int8_t weight[kVectors][kRows][16];
};

// One row's sum -> int16; `bias` makes up for the 128 that the activations are less, and holds the
// layer's own bias but in the input layer, where that comes from the goal.
struct Scale {
  int32_t bias;
  int32_t shift;
  int16_t multiplier;
};

// One unit of the GRU: reset, update, candidate's input, candidate's hidden.
struct Unit {
  Scale reset, update, input, hidden;
  Rows<kHiddenVectors> hidden_rows;  // reset, update, input
  Rows<kLatentVectors> latent_rows;  // reset, update, hidden
};

struct HeadWeights {
  Rows<kLatentVectors> rows[(model::kHead + kRows - 1) / kRows];
  Scale scale[model::kHead];
  alignas(16) int8_t out_weight[16 * vectors(model::kHead)];
  int32_t out_bias;
};

struct PackedWeights {
  Rows<kInputVectors> input[(model::kHidden + kRows - 1) / kRows];
  Scale input_scale[model::kHidden];
  Unit unit[model::kLatent];
  HeadWeights cost;
  HeadWeights value;
};

static PackedWeights packed;

// Copies `count` weights to the vectors from `first` on; returns 128 times their sum.
template <int kVectors>
static inline int32_t pack_row(const int8_t* from, int count, int row, int first,
                               Rows<kVectors>& to) {
  int32_t sum = 0;
  for (int i = 0; i < count; ++i) {
    to.weight[first + i / 16][row][i % 16] = from[i];
    sum += from[i];
  }
  return 128 * sum;
}

static inline void pack_input() {
  using namespace model;
  constexpr int kWidth = kLatent + 4 * kActionGroups;
  for (int row = 0; row < kHidden; ++row) {
    const int8_t* from = input_weight + row * kWidth;
    auto& to = packed.input[row / kRows];
    int32_t bias = pack_row(from, kLatent, row % kRows, 0, to);
    bias += pack_row(from + kLatent, 4 * kActionGroups, row % kRows, kLatentVectors, to);
    packed.input_scale[row] = {bias, input_shift[row], input_multiplier[row]};
  }
}

static inline void pack_units() {
  using namespace model;
  constexpr int kBoth = kHidden + kLatent;
  for (int i = 0; i < kLatent; ++i) {
    Unit& unit = packed.unit[i];
    const int8_t* reset = reset_weight + i * kBoth;
    const int8_t* update = update_weight + i * kBoth;
    const int32_t bias[4] = {
        reset_bias[i] + pack_row(reset, kHidden, 0, 0, unit.hidden_rows) +
            pack_row(reset + kHidden, kLatent, 0, 0, unit.latent_rows),
        update_bias[i] + pack_row(update, kHidden, 1, 0, unit.hidden_rows) +
            pack_row(update + kHidden, kLatent, 1, 0, unit.latent_rows),
        candidate_input_bias[i] +
            pack_row(candidate_input_weight + i * kHidden, kHidden, 2, 0, unit.hidden_rows),
        candidate_hidden_bias[i] +
            pack_row(candidate_hidden_weight + i * kLatent, kLatent, 2, 0, unit.latent_rows)};
    unit.reset = {bias[0], reset_shift[i], reset_multiplier[i]};
    unit.update = {bias[1], update_shift[i], update_multiplier[i]};
    unit.input = {bias[2], candidate_input_shift[i], candidate_input_multiplier[i]};
    unit.hidden = {bias[3], candidate_hidden_shift[i], candidate_hidden_multiplier[i]};
  }
}

static inline void pack_head(const int8_t* weight, const int32_t* bias, const int32_t* shift,
                             const int8_t* out_weight, int32_t out_bias, HeadWeights& to) {
  to.out_bias = out_bias;
  for (int row = 0; row < model::kHead; ++row) {
    const int32_t more =
        pack_row(weight + row * model::kLatent, model::kLatent, row % kRows, 0, to.rows[row / kRows]);
    to.scale[row] = {bias[row] + more, shift[row], 0};
    to.out_weight[row] = out_weight[row];
    to.out_bias += 128 * out_weight[row];
  }
}

// To be called once, before anything else of this instruction set.
static inline void prepare_kernels() {
  using namespace model;
  pack_input();
  pack_units();
  pack_head(cost_input_weight, cost_input_bias, cost_input_shift, cost_output_weight,
            cost_output_bias[0], packed.cost);
  pack_head(value_input_weight, value_input_bias, value_input_shift, value_output_weight,
            value_output_bias[0], packed.value);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
