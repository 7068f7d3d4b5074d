// Sum of two tensors in different units.
#pragma once

#include <stdint.h>

#include "../../fixed_point.hpp"
#include "../add.hpp"
#include "../rows.hpp"

namespace sdiwm {
namespace nn {

// y[i] = clamp((a[i] ma + b[i % period] mb + bias) >> shift); y may be a or b.
// `period` divides n: n for two tensors of one shape, the channels for one number a channel.
template <class A, class B, class Out>
static inline void add(const Sum& sum, const A* a, const B* b, int32_t period, int32_t n, Out* y) {
  for (int32_t first = 0; first < n; first += period) {
    for (int32_t i = 0; i < period; ++i) {
      const int32_t total = seen(a[first + i]) * sum.multiplier_a +
                            seen(b[i]) * sum.multiplier_b + sum.bias;
      y[first + i] = static_cast<Out>(clamp(total >> sum.shift, sum.low, sum.high));
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
