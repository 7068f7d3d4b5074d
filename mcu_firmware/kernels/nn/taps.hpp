// Where the window of one output place of a depthwise convolution lies.
#pragma once

#include <stdint.h>

#include "layer.hpp"

namespace sdiwm {
namespace nn {

// The taps of output column `x`; those outside the picture point at `padding`.
template <class In>
static inline void taps(const Layer& layer, const In* const* rows, int32_t x, const In* padding,
                        const In** tap) {
  const Window& window = layer.window;
  for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
    for (int32_t kx = 0; kx < window.kernel_width; ++kx) {
      const int32_t at = x * window.stride_x - window.pad_left + kx * window.dilation_x;
      const bool inside = rows[ky] != nullptr && at >= 0 && at < layer.in_width;
      *tap++ = inside ? rows[ky] + at * layer.in_channels : padding;
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
