// One row of the largest number of each channel over a window.
#pragma once

#include <stdint.h>

#include "../pool.hpp"

namespace sdiwm {
namespace nn {

template <class T>
static inline void max_pool_row(const Pool& pool, const T* const* rows, T* out) {
  const Window& window = pool.window;
  for (int32_t x = 0; x < pool.out_width; ++x) {
    for (int32_t c = 0; c < pool.channels; ++c) {
      bool any = false;
      T largest = 0;
      for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
        for (int32_t kx = 0; kx < window.kernel_width; ++kx) {
          const int32_t at = x * window.stride_x - window.pad_left + kx * window.dilation_x;
          if (rows[ky] == nullptr || at < 0 || at >= pool.in_width) continue;
          const T value = rows[ky][at * pool.channels + c];
          if (!any || value > largest) largest = value;
          any = true;
        }
      }
      *out++ = largest;
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
