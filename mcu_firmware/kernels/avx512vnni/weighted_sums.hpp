// Sums of weight * action over all candidates.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

static_assert(model::kMaxCandidates <= 2048, "a lane's sum must fit into int32");

// The weights of 64 candidates, each in the four lanes of its actions.
struct SpreadWeights {
  __m512i value[kTile / 4];
};

SDIWM_INLINE SpreadWeights spread_weights(const int16_t* weights) {
  const __m512i fours = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  SpreadWeights spread;
#pragma GCC unroll 16
  for (int i = 0; i < kTile / 4; ++i) {
    const __m128i four = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(weights + 4 * i));
    const __m512i wide = _mm512_castsi128_si512(_mm_cvtepu16_epi32(four));
    spread.value[i] = _mm512_permutexvar_epi32(fours, wide);
  }
  return spread;
}

static inline void weighted_sums(const StepActions* actions, int stride, const int16_t* weights,
                                 int blocks, int horizon,
                                 int64_t (*sums)[4 * model::kActionGroups]) {
  constexpr int kGroups = model::kActionGroups;
  __m512i lanes[model::kMaxHorizon][kGroups];
  for (int t = 0; t < horizon; ++t) {
    for (int g = 0; g < kGroups; ++g) lanes[t][g] = _mm512_setzero_si512();
  }
  for (int block = 0; block < blocks; ++block) {
    const SpreadWeights spread = spread_weights(weights + block * kTile);
    for (int t = 0; t < horizon; ++t) {
      for (int g = 0; g < kGroups; ++g) {
        const int8_t* four = &actions[block * stride + t].value[g][0][0];
        __m512i sum = lanes[t][g];
#pragma GCC unroll 16
        for (int i = 0; i < kTile / 4; ++i) {
          const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(four + 16 * i));
          sum = _mm512_dpwssd_epi32(sum, _mm512_cvtepi8_epi32(bytes), spread.value[i]);
        }
        lanes[t][g] = sum;
      }
    }
  }
  for (int t = 0; t < horizon; ++t) {
    for (int g = 0; g < kGroups; ++g) {
      alignas(64) int32_t lane[16];
      _mm512_store_si512(lane, lanes[t][g]);
      for (int a = 0; a < 4; ++a) {
        sums[t][4 * g + a] =
            static_cast<int64_t>(lane[a]) + lane[a + 4] + lane[a + 8] + lane[a + 12];
      }
    }
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
