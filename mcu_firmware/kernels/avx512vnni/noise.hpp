// Candidate actions: one Philox evaluation in 16 lanes draws a block's 64 x 4 normals.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "../../planner/settings.hpp"
#include "../philox.hpp"
#include "../tables.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// Two registers of int16 for each of the four random words: even and odd halves of the 128 bits.
struct NoiseState {
  __m512i value[model::kActionGroups][4][2];
};

// 32 x 32 -> high and low 32 bits, in 16 lanes.
SDIWM_INLINE void multiply_wide(__m512i x, uint32_t by, __m512i& high, __m512i& low) {
  const __m512i factor = _mm512_set1_epi32(static_cast<int32_t>(by));
  const __m512i even = _mm512_mul_epu32(x, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), factor);
  high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
  low = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
}

SDIWM_INLINE __m512i all_lanes(uint32_t x) { return _mm512_set1_epi32(static_cast<int32_t>(x)); }

SDIWM_INLINE void philox16(__m512i counter[4], PhiloxKey key) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    __m512i high0, low0, high1, low1;
    multiply_wide(counter[0], kPhiloxMultiplier0, high0, low0);
    multiply_wide(counter[2], kPhiloxMultiplier1, high1, low1);
    counter[0] = _mm512_xor_si512(_mm512_xor_si512(high1, counter[1]), all_lanes(key.seed));
    counter[1] = low1;
    counter[2] = _mm512_xor_si512(_mm512_xor_si512(high0, counter[3]), all_lanes(key.plan));
    counter[3] = low0;
    key.seed += kPhiloxKeyStep0;
    key.plan += kPhiloxKeyStep1;
  }
}

// 64 random bytes -> 64 normals in 1/40.
SDIWM_INLINE __m512i normals(__m512i bytes) {
  const __m512i y = _mm512_permutex2var_epi8(_mm512_load_si512(kNormal), bytes,
                                             _mm512_load_si512(kNormal + 64));
  return _mm512_mask_sub_epi8(y, _mm512_movepi8_mask(bytes), _mm512_setzero_si512(), y);
}

// Advances 32 noise values; normals * 256 in, centre + noise within the action's limits out.
SDIWM_INLINE __m512i moved(__m512i& noise, __m512i normals256, __m512i gain, __m512i beta,
                           __m512i centre) {
  noise = _mm512_adds_epi16(_mm512_mulhrs_epi16(noise, beta),
                            _mm512_mulhrs_epi16(normals256, gain));
  const __m512i twice = _mm512_adds_epi16(noise, noise);
  const __m512i action = _mm512_adds_epi16(centre, _mm512_adds_epi16(twice, twice));
  const __m512i bounded = _mm512_max_epi16(_mm512_min_epi16(action, _mm512_set1_epi16(kActionOne)),
                                           _mm512_set1_epi16(-kActionOne));
  return _mm512_srai_epi16(_mm512_adds_epi16(bounded, _mm512_set1_epi16(128)), 8);
}

// The `used` actions of one group, zeros after them.
SDIWM_INLINE int64_t four_actions(const int16_t* actions, int used) {
  int16_t four[4] = {};
  memcpy(four, actions, static_cast<size_t>(used) * sizeof(int16_t));
  int64_t packed;
  memcpy(&packed, four, sizeof packed);
  return packed;
}

static inline void draw_actions(NoiseState& noise, const PlannerSettings& s, int block, int t,
                                int iteration, const int16_t* mean, StepActions* actions) {
  const __m512i gain = _mm512_set1_epi16(static_cast<int16_t>(t == 0 ? s.first_gain : s.gain));
  const __m512i beta = _mm512_set1_epi16(static_cast<int16_t>(s.beta));
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (int group = 0; group < model::kActionGroups; ++group) {
    __m512i word[4] = {_mm512_add_epi32(_mm512_set1_epi32(16 * block), lanes),
                       _mm512_set1_epi32(t), _mm512_set1_epi32(iteration),
                       _mm512_set1_epi32(group)};
    philox16(word, {s.seed, s.plan});
    const int used = model::kAction - 4 * group < 4 ? model::kAction - 4 * group : 4;
    const __m512i centre = _mm512_set1_epi64(four_actions(mean + 4 * group, used));
    const __m512i in_use = _mm512_set1_epi32(
        static_cast<int32_t>(0xFFFFFFFFu >> (8 * (4 - used))));
    for (int w = 0; w < 4; ++w) {
      const __m512i normal = normals(word[w]);
      const __m512i zero = _mm512_setzero_si512();
      const __m512i low = moved(noise.value[group][w][0], _mm512_unpacklo_epi8(zero, normal),
                                gain, beta, centre);
      const __m512i high = moved(noise.value[group][w][1], _mm512_unpackhi_epi8(zero, normal),
                                 gain, beta, centre);
      _mm512_store_si512(&actions->value[group][16 * w][0],
                         _mm512_and_si512(_mm512_packs_epi16(low, high), in_use));
    }
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
