// One row of a fully connected layer for 64 candidates, sums in registers.
//
// 16-bit products: vpmaddubsw would saturate for weights above 63.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// The sums of one row for all 64 candidates, eight in each register.
struct Sums {
  __m256i part[8];
};

SDIWM_INLINE void fill(Sums& sums, int32_t bias) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) sums.part[i] = _mm256_set1_epi32(bias);
}

// Four int8 weights -> two pairs of int16, in the low half.
SDIWM_INLINE __m128i two_pairs(const int8_t* weight) {
  int32_t four;
  memcpy(&four, weight, sizeof four);
  return _mm_cvtepi8_epi16(_mm_cvtsi32_si128(four));
}

SDIWM_INLINE void multiply_pair(Sums& sums, const int16_t (*pairs)[2], __m256i weights) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    sums.part[i] = _mm256_add_epi32(sums.part[i], _mm256_madd_epi16(load(pairs + 8 * i), weights));
  }
}

// sums += weight[K] . seen[K / 2][candidate][2].
template <int K>
SDIWM_INLINE void accumulate(Sums& sums, const int16_t (*seen)[kTile][2], const int8_t* weight) {
  static_assert(K % 4 == 0, "layers are multiples of four wide");
  for (int k = 0; k < K; k += 4) {
    const __m128i pairs = two_pairs(weight + k);
    multiply_pair(sums, seen[k / 2], _mm256_broadcastd_epi32(pairs));
    multiply_pair(sums, seen[k / 2 + 1], _mm256_broadcastd_epi32(_mm_srli_si128(pairs, 4)));
  }
}

// 16 candidates -> int16, in packed order.
SDIWM_INLINE __m256i requantised(const Sums& sums, int block, int32_t shift, int16_t multiplier) {
  const __m128i count = _mm_cvtsi32_si128(shift);
  const __m256i packed = _mm256_packs_epi32(_mm256_sra_epi32(sums.part[2 * block], count),
                                            _mm256_sra_epi32(sums.part[2 * block + 1], count));
  return _mm256_mulhrs_epi16(packed, _mm256_set1_epi16(multiplier));
}

SDIWM_INLINE __m256i within_byte(__m256i x) {
  return _mm256_min_epi16(_mm256_max_epi16(x, _mm256_setzero_si256()), _mm256_set1_epi16(255));
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
