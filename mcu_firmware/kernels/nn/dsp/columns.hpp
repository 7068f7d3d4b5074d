// Pixels as 16-bit numbers, as SMLAD takes them.
#pragma once

#include <stdint.h>

#include "../windows.hpp"
#include "words.hpp"

namespace sdiwm {
namespace nn {

struct WidePixels {
  using Element = int16_t;

  template <class In>
  static inline void four(const In* from, int16_t* to) {
    const uint32_t word = load_word(from) ^ flip_of(from);
    const uint32_t even = even_bytes(word), odd = odd_bytes(word);
    store_word(lower_halves(even, odd), to);
    store_word(upper_halves(even, odd), to + 2);
  }

  // n elements of a picture, widened; four of them take seven instructions.
  template <class In>
  static inline void copy(const In* from, int32_t n, int16_t* to) {
    for (; n >= 16; n -= 16, from += 16, to += 16) {
#pragma GCC unroll 4
      for (int32_t k = 0; k < 16; k += 4) four(from + k, to + k);
    }
    for (; n >= 4; n -= 4, from += 4, to += 4) four(from, to);
    for (; n > 0; --n) *to++ = static_cast<int16_t>(seen(*from++));
  }

  static inline void fill(int32_t value, int32_t n, int16_t* to) {
    for (; n > 0; --n) *to++ = static_cast<int16_t>(value);
  }
};

}  // namespace nn
}  // namespace sdiwm
