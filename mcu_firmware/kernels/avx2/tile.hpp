// 64 candidates and their latents, laid out for AVX2: candidates in the lanes, int16 products.
//
// What a product sees is [unit / 2][candidate][2] in int16, 0 to 255. The state is
// [unit][candidate] in the order that packing two registers of sums gives: within each 16
// candidates 0-3, 8-11, 4-7, 12-15. Interleaving two such rows restores the natural order.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "../step_actions.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

#define SDIWM_INLINE static inline __attribute__((always_inline))

constexpr int kBlocks16 = kTile / 16;  // registers of 16 candidates
constexpr int kSeenLatent = model::kHidden;
constexpr int kSeenAction = model::kHidden + model::kLatent;

struct Tile {
  alignas(64) int16_t state[model::kLatent][kTile];
  // Pairs of units: the hidden layer, then the latents, then the actions.
  alignas(64) int16_t seen[(kSeenAction + 4 * model::kActionGroups) / 2][kTile][2];
};

static inline int place(int candidate) {
  const int within = candidate % 16;
  return candidate / 16 * 16 + within % 8 / 4 * 8 + within / 8 * 4 + within % 4;
}

SDIWM_INLINE __m256i load(const void* from) {
  return _mm256_load_si256(static_cast<const __m256i*>(from));
}

SDIWM_INLINE void store(void* to, __m256i value) {
  _mm256_store_si256(static_cast<__m256i*>(to), value);
}

// Two packed rows of 16 candidates -> pairs, in the natural order.
SDIWM_INLINE void store_pairs(int16_t (*to)[2], __m256i even, __m256i odd) {
  store(to, _mm256_unpacklo_epi16(even, odd));
  store(to + 8, _mm256_unpackhi_epi16(even, odd));
}

// 16-bit latents -> value / 256 + 128, rounded.
SDIWM_INLINE __m256i seen_latent(const int16_t* state) {
  const __m256i half = _mm256_set1_epi16(128);
  return _mm256_add_epi16(_mm256_srai_epi16(_mm256_adds_epi16(load(state), half), 8), half);
}

static inline void see_latents(Tile& tile) {
  for (int i = 0; i < model::kLatent; i += 2) {
    for (int c = 0; c < kTile; c += 16) {
      store_pairs(&tile.seen[(kSeenLatent + i) / 2][c], seen_latent(tile.state[i] + c),
                  seen_latent(tile.state[i + 1] + c));
    }
  }
}

static inline void spread_latent(Tile& tile, const int16_t* z) {
  for (int i = 0; i < model::kLatent; ++i) {
    for (int c = 0; c < kTile; ++c) tile.state[i][c] = z[i];
  }
  see_latents(tile);
}

static inline void load_latents(Tile& tile, const int16_t* z, int n) {
  for (int i = 0; i < model::kLatent; ++i) {
    for (int c = 0; c < kTile; ++c) {
      tile.state[i][place(c)] = c < n ? z[c * model::kLatent + i] : static_cast<int16_t>(0);
    }
  }
  see_latents(tile);
}

static inline void store_latents(const Tile& tile, int n, int stride, int16_t* z) {
  for (int c = 0; c < n; ++c) {
    for (int i = 0; i < model::kLatent; ++i) z[c * stride + i] = tile.state[i][place(c)];
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
