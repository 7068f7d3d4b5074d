// A depthwise convolution of a vector: one gain and one offset a number.
#pragma once

#include <stdint.h>

#include "layer.hpp"

namespace sdiwm {
namespace nn {

template <class Out>
static inline void depthwise_row(const Layer& layer, const int16_t* const* rows, Out* out,
                                 int16_t*) {
  for (int32_t c = 0; c < layer.in_channels; ++c) {
    const int32_t sum = layer.scale[c].bias + rows[0][c] * layer.weight[c];
    out[c] = static_cast<Out>(finish(layer, c, sum));
  }
}

}  // namespace nn
}  // namespace sdiwm
