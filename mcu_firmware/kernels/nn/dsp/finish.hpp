// Sums -> integers in eight instructions each.
#pragma once

#include <stdint.h>

#include "../layer.hpp"

namespace sdiwm {
namespace nn {

template <int kBits>
static inline int32_t saturate(int32_t x) {
  int32_t y;
  asm("ssat %0, %1, %2" : "=r"(y) : "i"(kBits), "r"(x));
  return y;
}

// What is the same for all sums of a layer.
struct Finisher {
  int32_t offset;  // of the product: its rounding, and the zero of the output
  int32_t low, high;

  explicit Finisher(const Layer& layer)
      : offset(16384 + layer.zero * 32768), low(layer.low), high(layer.high) {}

  template <class Out>
  Out operator()(int32_t sum, const Scale& scale) const {
    const int32_t y = (saturate<16>(sum >> scale.shift) * scale.multiplier + offset) >> 15;
    if (low <= -(1 << (8 * sizeof(Out) - 1)) && high >= (1 << (8 * sizeof(Out) - 1)) - 1) {
      return static_cast<Out>(saturate<8 * sizeof(Out)>(y));
    }
    return static_cast<Out>(clamp(y, low, high));
  }
};

}  // namespace nn
}  // namespace sdiwm
