// One row of the mean of each channel over a window, half rounded up.
#pragma once

#include <stdint.h>

#include "../pool.hpp"

namespace sdiwm {
namespace nn {

static inline int32_t divide_down(int32_t a, int32_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

template <class T>
static inline void average_pool_row(const Pool& pool, const T* const* rows, T* out) {
  const Window& window = pool.window;
  for (int32_t x = 0; x < pool.out_width; ++x) {
    for (int32_t c = 0; c < pool.channels; ++c) {
      int32_t sum = 0, count = 0;
      for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
        for (int32_t kx = 0; kx < window.kernel_width; ++kx) {
          const int32_t at = x * window.stride_x - window.pad_left + kx * window.dilation_x;
          const bool inside = rows[ky] != nullptr && at >= 0 && at < pool.in_width;
          if (!inside && !pool.count_padding) continue;
          sum += inside ? seen(rows[ky][at * pool.channels + c]) : pool.padding;
          ++count;
        }
      }
      const int32_t offset = seen(T{0});  // a byte is an int8 plus 128
      *out++ = static_cast<T>(divide_down(2 * sum + count, 2 * count) - offset);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
