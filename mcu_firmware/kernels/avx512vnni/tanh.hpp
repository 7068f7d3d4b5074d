// tanh and the logistic function of 32 int16 values; the scalar definition is ../tanh_q15.hpp.
#pragma once

#include <immintrin.h>

#include "../tables.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

SDIWM_INLINE __m512i from_table(const int16_t* table, __m512i segment) {
  return _mm512_permutex2var_epi16(_mm512_load_si512(table), segment,
                                   _mm512_load_si512(table + 32));
}

// Q13 in, Q15 out.
SDIWM_INLINE __m512i tanh_q15(__m512i x) {
  const __m512i magnitude = _mm512_min_epu16(_mm512_abs_epi16(x), _mm512_set1_epi16(32767));
  const __m512i segment = _mm512_srli_epi16(magnitude, 9);
  const __m512i fraction =
      _mm512_slli_epi16(_mm512_and_si512(magnitude, _mm512_set1_epi16(511)), 6);
  const __m512i rise = _mm512_mulhrs_epi16(from_table(kTanhRise, segment), fraction);
  const __m512i y = _mm512_add_epi16(from_table(kTanhValue, segment), rise);
  return _mm512_mask_sub_epi16(y, _mm512_movepi16_mask(x), _mm512_setzero_si512(), y);
}

// Q12 in, Q15 out.
SDIWM_INLINE __m512i sigmoid_q15(__m512i x) {
  return _mm512_add_epi16(_mm512_set1_epi16(16384), _mm512_srai_epi16(tanh_q15(x), 1));
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
