// Product of two tensors.
#pragma once

#include <stdint.h>

#include "../../fixed_point.hpp"
#include "../multiply.hpp"
#include "../rows.hpp"

namespace sdiwm {
namespace nn {

// y[i] = a[i] * b[i % period]; y may be a or b, `period` divides n.
template <class A, class B, class Out>
static inline void multiply(const Product& product, const A* a, const B* b, int32_t period,
                            int32_t n, Out* y) {
  for (int32_t first = 0; first < n; first += period) {
    for (int32_t i = 0; i < period; ++i) {
      const int32_t x = (seen(a[first + i]) - product.zero_a) * (seen(b[i]) - product.zero_b);
      const int32_t scaled =
          requantise(x + product.rounding, product.shift, product.multiplier) + product.zero;
      y[first + i] = static_cast<Out>(clamp(scaled, product.low, product.high));
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
