// tanh and the logistic function of 32 int16 values; the scalar definition is ../tanh_q15.hpp.
//
// A table of 64 int16 is looked up byte by byte: four shuffles for the low bytes, four for the
// high ones.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "../tables.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

struct Values32 {
  __m256i part[2];
};

// The low or the high bytes of 64 int16, 16 in each register, in both halves.
struct Bytes64 {
  __m256i part[4];
};

struct TanhTables {
  Bytes64 value_low, value_high, rise_low, rise_high;
};

SDIWM_INLINE Bytes64 bytes_of(const int16_t* table, int shift) {
  Bytes64 bytes;
  const __m128i low_byte = _mm_set1_epi16(255);
  for (int i = 0; i < 4; ++i) {
    const __m128i* from = reinterpret_cast<const __m128i*>(table + 16 * i);
    const __m128i first = _mm_srl_epi16(_mm_load_si128(from), _mm_cvtsi32_si128(shift));
    const __m128i second = _mm_srl_epi16(_mm_load_si128(from + 1), _mm_cvtsi32_si128(shift));
    bytes.part[i] = _mm256_broadcastsi128_si256(
        _mm_packus_epi16(_mm_and_si128(first, low_byte), _mm_and_si128(second, low_byte)));
  }
  return bytes;
}

static inline TanhTables tanh_tables() {
  return {bytes_of(kTanhValue, 0), bytes_of(kTanhValue, 8), bytes_of(kTanhRise, 0),
          bytes_of(kTanhRise, 8)};
}

// 32 indices below 64, prepared so that the shuffle of each quarter gives 0 for the others.
SDIWM_INLINE Bytes64 quarters(__m256i index) {
  Bytes64 prepared;
  const __m256i past_16 = _mm256_set1_epi8(0x70);
  for (int i = 0; i < 4; ++i) {
    const __m256i within = _mm256_sub_epi8(index, _mm256_set1_epi8(static_cast<char>(16 * i)));
    prepared.part[i] = _mm256_adds_epu8(within, past_16);
  }
  return prepared;
}

SDIWM_INLINE __m256i look_up(const Bytes64& table, const Bytes64& index) {
  const __m256i a = _mm256_or_si256(_mm256_shuffle_epi8(table.part[0], index.part[0]),
                                    _mm256_shuffle_epi8(table.part[1], index.part[1]));
  const __m256i b = _mm256_or_si256(_mm256_shuffle_epi8(table.part[2], index.part[2]),
                                    _mm256_shuffle_epi8(table.part[3], index.part[3]));
  return _mm256_or_si256(a, b);
}

SDIWM_INLINE __m256i interpolated(__m256i x, __m256i magnitude, __m256i value, __m256i rise) {
  const __m256i fraction =
      _mm256_slli_epi16(_mm256_and_si256(magnitude, _mm256_set1_epi16(511)), 6);
  const __m256i y = _mm256_add_epi16(value, _mm256_mulhrs_epi16(rise, fraction));
  const __m256i negative = _mm256_srai_epi16(x, 15);
  return _mm256_sub_epi16(_mm256_xor_si256(y, negative), negative);
}

// Q13 in, Q15 out.
SDIWM_INLINE Values32 tanh_q15(const TanhTables& tables, Values32 x) {
  const __m256i largest = _mm256_set1_epi16(32767);
  const __m256i m0 = _mm256_min_epu16(_mm256_abs_epi16(x.part[0]), largest);
  const __m256i m1 = _mm256_min_epu16(_mm256_abs_epi16(x.part[1]), largest);
  const Bytes64 index =
      quarters(_mm256_packus_epi16(_mm256_srli_epi16(m0, 9), _mm256_srli_epi16(m1, 9)));
  const __m256i value_low = look_up(tables.value_low, index);
  const __m256i value_high = look_up(tables.value_high, index);
  const __m256i rise_low = look_up(tables.rise_low, index);
  const __m256i rise_high = look_up(tables.rise_high, index);
  return {{interpolated(x.part[0], m0, _mm256_unpacklo_epi8(value_low, value_high),
                        _mm256_unpacklo_epi8(rise_low, rise_high)),
           interpolated(x.part[1], m1, _mm256_unpackhi_epi8(value_low, value_high),
                        _mm256_unpackhi_epi8(rise_low, rise_high))}};
}

// Q12 in, Q15 out.
SDIWM_INLINE Values32 sigmoid_q15(const TanhTables& tables, Values32 x) {
  const Values32 y = tanh_q15(tables, x);
  const __m256i half = _mm256_set1_epi16(16384);
  return {{_mm256_add_epi16(half, _mm256_srai_epi16(y.part[0], 1)),
           _mm256_add_epi16(half, _mm256_srai_epi16(y.part[1], 1))}};
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
