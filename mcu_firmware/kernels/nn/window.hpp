// Which places of the input one place of the output sees.
#pragma once

#include <stdint.h>

#include "rows.hpp"

namespace sdiwm {
namespace nn {

struct Window {
  int32_t kernel_height, kernel_width;
  int32_t stride_y, stride_x;
  int32_t pad_top, pad_left;
  int32_t dilation_y, dilation_x;
};

// The input rows that output row `y` sees, null for padding.
template <class T>
static inline void seen_rows(const Window& window, const Rows<T>& in, int32_t y, const T** rows) {
  for (int32_t k = 0; k < window.kernel_height; ++k) {
    const int32_t row = y * window.stride_y - window.pad_top + k * window.dilation_y;
    rows[k] = row < 0 || row >= in.height ? nullptr : in[row];
  }
}

}  // namespace nn
}  // namespace sdiwm
