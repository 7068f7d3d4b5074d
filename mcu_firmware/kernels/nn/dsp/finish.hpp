// Sums -> integers in six instructions each.
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

  // Whether every integer of the type may come out.
  template <class Out>
  bool full() const {
    return high - low == (1 << (8 * sizeof(Out))) - 1;
  }

  // `sum` includes the bias.
  template <class Out, bool kFull = false>
  Out finish(int32_t sum, int32_t shift, int32_t multiplier) const {
    int32_t y = (saturate<16>(sum >> shift) * multiplier + offset) >> 15;
    y = saturate<8 * sizeof(Out)>(y);
    if (!kFull) y = clamp(y, low, high);
    return static_cast<Out>(y);
  }
};

}  // namespace nn
}  // namespace sdiwm
