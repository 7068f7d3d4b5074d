// The largest number of every channel of a picture, four channels at a time (SSUB8, SEL).
#pragma once

#include <stdint.h>

#include "words.hpp"

namespace sdiwm {
namespace nn {

// The larger of each of four int8.
static inline uint32_t larger_bytes(uint32_t a, uint32_t b) {
  uint32_t y;
  asm("ssub8 %0, %1, %2\n\t"
      "sel %0, %1, %2"
      : "=&r"(y)
      : "r"(a), "r"(b)
      : "cc");
  return y;
}

// x[places][channels] -> largest[channels].
static inline void largest_of_channels(const int8_t* x, int32_t places, int32_t channels,
                                       int8_t* largest) {
  int32_t c = 0;
  for (; c + 4 <= channels; c += 4) {
    uint32_t most = load_word(x + c);
    const int8_t* from = x + c;
    for (int32_t place = places; place > 0; --place, from += channels) {
      most = larger_bytes(load_word(from), most);
    }
    store_word(most, largest + c);
  }
  for (; c < channels; ++c) {
    largest[c] = x[c];
    for (int32_t i = c; i < places * channels; i += channels) {
      largest[c] = x[i] > largest[c] ? x[i] : largest[c];
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
