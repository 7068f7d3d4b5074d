// Rows of a fully connected layer for 64 candidates, sums in registers.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// The sums of one row for all 64 candidates.
struct Sums {
  __m512i quarter[kQuarters];
};

SDIWM_INLINE Sums filled(int32_t bias) {
  const __m512i all = _mm512_set1_epi32(bias);
  return {{all, all, all, all}};
}

// Four weights of a row, in every lane.
SDIWM_INLINE __m512i four_weights(const int8_t* weight) {
  int32_t four;
  memcpy(&four, weight, sizeof four);
  return _mm512_set1_epi32(four);
}

// Four units of 64 candidates.
SDIWM_INLINE Sums four_units(const uint8_t* seen) {
  return {{_mm512_load_si512(seen), _mm512_load_si512(seen + 64), _mm512_load_si512(seen + 128),
           _mm512_load_si512(seen + 192)}};
}

// sum += four units . four weights; as assembly, since gcc 12 else copies every sum twice a round.
SDIWM_INLINE void dot(__m512i& sum, __m512i units, __m512i weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(units), "v"(weights));
}

SDIWM_INLINE void multiply(Sums& sums, const Sums& units, const int8_t* weight) {
  const __m512i w = four_weights(weight);
  dot(sums.quarter[0], units.quarter[0], w);
  dot(sums.quarter[1], units.quarter[1], w);
  dot(sums.quarter[2], units.quarter[2], w);
  dot(sums.quarter[3], units.quarter[3], w);
}

// Four rows that lie `stride` bytes apart, over kGroups groups of four units.
template <int kGroups>
SDIWM_INLINE void multiply_rows(Sums& s0, Sums& s1, Sums& s2, Sums& s3, const uint8_t* seen,
                                const int8_t* weight, int stride) {
#pragma GCC unroll 4
  for (int group = 0; group < kGroups; ++group) {
    const Sums units = four_units(seen + group * 4 * kTile);
    const int8_t* w = weight + 4 * group;
    multiply(s0, units, w);
    multiply(s1, units, w + stride);
    multiply(s2, units, w + 2 * stride);
    multiply(s3, units, w + 3 * stride);
  }
}

SDIWM_INLINE __m512i shifted(__m512i sum, int32_t shift) {
  return _mm512_srav_epi32(sum, _mm512_set1_epi32(shift));
}

// (a a a a b b b b) in each 128 bits, the order in which two rows are packed.
SDIWM_INLINE __m512i two_rows(const int16_t* ab) {
  const __m128i a = _mm_set1_epi16(ab[0]);
  const __m128i b = _mm_set1_epi16(ab[1]);
  return _mm512_broadcast_i32x4(_mm_unpacklo_epi64(a, b));
}

// Bytes (row, candidate) 4 x 4 in each 128 bits -> (candidate, row).
SDIWM_INLINE __m512i transposed(__m512i rows) {
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_shuffle_epi8(rows, _mm512_broadcast_i32x4(order));
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
