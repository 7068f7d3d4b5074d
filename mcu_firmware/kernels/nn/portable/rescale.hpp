// Channels of one tensor into channels of another, in its unit: concatenation, split, conversion.
#pragma once

#include <stdint.h>

#include "../../fixed_point.hpp"
#include "../rows.hpp"

namespace sdiwm {
namespace nn {

struct Rescaling {
  int32_t channels;
  int32_t multiplier;
  int32_t bias;
  int32_t shift;
  int32_t low, high;
};

// `x` and `y` point at the first channel of the first of `places`, their strides apart.
template <class In, class Out>
static inline void rescale(const Rescaling& r, const In* x, int32_t x_stride, int32_t places,
                           Out* y, int32_t y_stride) {
  for (int32_t place = 0; place < places; ++place, x += x_stride, y += y_stride) {
    for (int32_t c = 0; c < r.channels; ++c) {
      const int32_t total = (seen(x[c]) * r.multiplier + r.bias) >> r.shift;
      y[c] = static_cast<Out>(clamp(total, r.low, r.high));
    }
  }
}

// The same into bytes, which are int8 plus 128.
template <class In>
static inline void rescale(const Rescaling& r, const In* x, int32_t x_stride, int32_t places,
                           uint8_t* y, int32_t y_stride) {
  for (int32_t place = 0; place < places; ++place, x += x_stride, y += y_stride) {
    for (int32_t c = 0; c < r.channels; ++c) {
      const int32_t total = (seen(x[c]) * r.multiplier + r.bias) >> r.shift;
      y[c] = static_cast<uint8_t>(clamp(total, r.low, r.high) + 128);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
