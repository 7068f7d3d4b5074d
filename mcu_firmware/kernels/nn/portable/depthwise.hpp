// One row of a depthwise convolution: every channel has a window of its own.
#pragma once

#include <stdint.h>

#include "../layer.hpp"

namespace sdiwm {
namespace nn {

// rows: the input rows this output row sees. scratch is not used by this variant.
template <class In, class Out>
static inline void depthwise_row(const Layer& layer, const In* const* rows, Out* out, int16_t*) {
  const Window& window = layer.window;
  const int32_t channels = layer.in_channels;
  for (int32_t x = 0; x < layer.out_width; ++x) {
    for (int32_t c = 0; c < channels; ++c) {
      int32_t sum = layer.scale[c].bias;
      const int8_t* weight = layer.weight + c;
      for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
        for (int32_t kx = 0; kx < window.kernel_width; ++kx, weight += channels) {
          const int32_t at = x * window.stride_x - window.pad_left + kx * window.dilation_x;
          const bool inside = rows[ky] != nullptr && at >= 0 && at < layer.in_width;
          sum += *weight * (inside ? seen(rows[ky][at * channels + c]) : layer.padding);
        }
      }
      *out++ = static_cast<Out>(finish(layer, c, sum));
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
