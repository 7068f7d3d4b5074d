// Scalar fixed-point operations; `sdiwm_model/compression/fixed_point.py` defines them.
#pragma once

#include <stdint.h>

namespace sdiwm {

constexpr int kBlock = 64;             // candidates that share counters of the noise
constexpr int32_t kActionOne = 32512;  // action 1.0: its 8-bit copy is 127

static inline int32_t clamp(int32_t x, int32_t low, int32_t high) {
  return x < low ? low : (x > high ? high : x);
}

static inline int32_t saturate16(int32_t x) { return clamp(x, -32768, 32767); }

// Q15 product of two int16 values that are not both -32768, half rounded up.
static inline int32_t mulhrs(int32_t a, int32_t b) { return (a * b + 16384) >> 15; }

// int32 sum -> int16; the rounding of the shift is folded into the layer's bias.
static inline int32_t requantise(int32_t sum, int32_t shift, int32_t multiplier) {
  return mulhrs(saturate16(sum >> shift), multiplier);
}

// The 8-bit copy of a 16-bit value.
static inline int32_t to_int8(int32_t x) { return saturate16(x + 128) >> 8; }

}  // namespace sdiwm
