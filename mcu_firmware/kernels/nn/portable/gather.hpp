// The window of one output place as a column of 16-bit numbers (im2col), in the weights' order.
#pragma once

#include <stdint.h>

#include "../layer.hpp"

namespace sdiwm {
namespace nn {

// rows as `seen_rows` leaves them -> column[kh * kw * in_channels] for output column `x`.
template <class In>
static inline void gather(const Layer& layer, const In* const* rows, int32_t x, int16_t* column) {
  const Window& window = layer.window;
  const int32_t channels = layer.in_channels, height = window.kernel_height;
  const int32_t count = height * window.kernel_width;
  for (int32_t k = 0; k < count; ++k) {
    const int32_t ky = layer.shared ? k % height : k / window.kernel_width;
    const int32_t kx = layer.shared ? k / height : k % window.kernel_width;
    const int32_t at = x * window.stride_x - window.pad_left + kx * window.dilation_x;
    const bool inside = rows[ky] != nullptr && at >= 0 && at < layer.in_width;
    for (int32_t c = 0; c < channels; ++c) {
      *column++ = static_cast<int16_t>(inside ? seen(rows[ky][at * channels + c]) : layer.padding);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
