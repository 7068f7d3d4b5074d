// A function of one number by table, in place or not.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

// y[i] = table[x[i] + 128].
static inline void lookup(const int8_t* table, const int8_t* x, int32_t n, int8_t* y) {
  for (int32_t i = 0; i < n; ++i) y[i] = table[x[i] + 128];
}

// Linear between the 513 entries of the table, which are 128 integers apart.
static inline void lookup(const int16_t* table, const int16_t* x, int32_t n, int16_t* y) {
  for (int32_t i = 0; i < n; ++i) {
    const int32_t from = x[i] + 32768;
    const int32_t value = table[from >> 7];
    const int32_t rise = table[(from >> 7) + 1] - value;
    y[i] = static_cast<int16_t>(value + ((rise * (from & 127) + 64) >> 7));
  }
}

}  // namespace nn
}  // namespace sdiwm
