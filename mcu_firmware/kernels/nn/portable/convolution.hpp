// One row of a convolution; fully connected layers are convolutions of a single place.
#pragma once

#include <stdint.h>

#include "gather.hpp"

namespace sdiwm {
namespace nn {

// rows: the input rows this output row sees. scratch: one column of 16-bit numbers.
template <class In, class Out>
static inline void convolution_row(const Layer& layer, const In* const* rows, Out* out,
                                   int16_t* scratch) {
  const int32_t depth =
      layer.window.kernel_height * layer.window.kernel_width * layer.in_channels;
  for (int32_t x = 0; x < layer.out_width; ++x) {
    gather(layer, rows, x, scratch);
    for (int32_t o = 0; o < layer.out_channels; ++o) {
      const int8_t* weight = layer.weight + o * depth;
      int32_t sum = layer.scale[o].bias;
      for (int32_t k = 0; k < depth; ++k) sum += scratch[k] * weight[k];
      *out++ = static_cast<Out>(finish(layer, o, sum));
    }
  }
}

template <class In, class Out>
static inline void fully_connected_row(const Layer& layer, const In* const* rows, Out* out,
                                       int16_t* scratch) {
  convolution_row(layer, rows, out, scratch);
}

// Weights in the form of Armv7E-M: none.
template <const int8_t* kWeight, int32_t kChannels, int32_t kDepth>
constexpr const int16_t* wide() {
  return nullptr;
}

}  // namespace nn
}  // namespace sdiwm
