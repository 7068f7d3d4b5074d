// The fastest that this instruction set multiplies and accumulates, in registers.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// Runs `loops` rounds of 16 independent vpdpbusd of 64 MACs; returns how many MACs that was.
static inline int64_t peak(int64_t loops) {
  __m512i sums[16] = {};
  const __m512i x = _mm512_set1_epi8(1);
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) {
      asm volatile("vpdpbusd %1, %1, %0" : "+v"(sums[k]) : "v"(x));
    }
  }
  return loops * 16 * 64;
}

// The same with single-precision vfmadd231ps, 16 MACs each: what other back ends could reach.
static inline int64_t single_precision_peak(int64_t loops) {
  __m512i sums[16] = {};
  const __m512i one = _mm512_set1_epi32(0x3F800000);
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) {
      asm volatile("vfmadd231ps %1, %1, %0" : "+v"(sums[k]) : "v"(one));
    }
  }
  return loops * 16 * 16;
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
