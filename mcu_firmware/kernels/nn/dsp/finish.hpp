// Sums -> integers in five instructions each.
#pragma once

#include <stdint.h>

#include "../layer.hpp"
#include "words.hpp"

namespace sdiwm {
namespace nn {

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

  // `sum` includes the bias; `factor` is a Scale's shift and multiplier in one word, of which a
  // register shift reads the lowest byte and SMLABT the upper half.
  template <class Out, bool kFull = false>
  Out finish(int32_t sum, uint32_t factor) const {
    int32_t y;
    asm("asr %0, %1, %2\n\t"
        "ssat %0, #16, %0\n\t"
        "smlabt %0, %0, %2, %3\n\t"
        "ssat %0, %4, %0, asr #15"
        : "=&r"(y)
        : "r"(sum), "r"(factor), "r"(offset), "i"(8 * sizeof(Out)));
    return static_cast<Out>(kFull ? y : clamp(y, low, high));
  }
};

static inline uint32_t factor_of(const Scale& scale) { return load_word(&scale.shift); }

}  // namespace nn
}  // namespace sdiwm
