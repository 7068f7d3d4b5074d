// The fastest that this instruction set multiplies and accumulates: vpdpbusd in registers.
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

}  // namespace SDIWM_ISA
}  // namespace sdiwm
