// 64 candidates and their latents, laid out for AVX-512 VNNI: candidates in the lanes.
//
// What a product sees is [unit / 4][candidate][4] in u8, so that one dword holds four units of a
// candidate. The int16 state is [unit][candidate] in the order that packing two registers of 16
// sums gives: within each half of 32 candidates, lane l of 128 bits holds candidates
// 4 l .. 4 l + 3 and 16 + 4 l .. 16 + 4 l + 3.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "../step_actions.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

#define SDIWM_INLINE static inline __attribute__((always_inline))

constexpr int kQuarters = kTile / 16;  // registers of 16 sums

struct Tile {
  alignas(64) int16_t state[model::kLatent][kTile];
  alignas(64) uint8_t latent[model::kLatent / 4][kTile][4];
  alignas(64) uint8_t action[model::kActionGroups][kTile][4];
  alignas(64) uint8_t hidden[model::kHidden / 4][kTile][4];
};

static inline int place(int candidate) {
  const int within = candidate % 16;
  return candidate / 32 * 32 + within / 4 * 8 + candidate / 16 % 2 * 4 + within % 4;
}

// One row of int16, 32 candidates -> bytes value / 256 + 128, rounded, in the low half of words.
SDIWM_INLINE __m512i seen_words(const int16_t* row) {
  const __m512i rounded =
      _mm512_adds_epi16(_mm512_load_si512(row), _mm512_set1_epi16(128));
  return _mm512_srai_epi16(rounded, 8);
}

// Refreshes the u8 copy of the state: four units of 32 candidates at a time.
SDIWM_INLINE void see_latents(Tile& tile) {
  const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
  // Bytes of two units, eight candidates each -> pairs.
  const __m512i pairs = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
  for (int group = 0; group < model::kLatent / 4; ++group) {
    for (int half = 0; half < 2; ++half) {
      const int16_t* row = tile.state[4 * group] + 32 * half;
      const __m512i low = _mm512_packs_epi16(seen_words(row), seen_words(row + kTile));
      const __m512i high = _mm512_packs_epi16(seen_words(row + 2 * kTile), seen_words(row + 3 * kTile));
      const __m512i first = _mm512_shuffle_epi8(_mm512_xor_si512(low, sign), pairs);
      const __m512i second = _mm512_shuffle_epi8(_mm512_xor_si512(high, sign), pairs);
      uint8_t* out = &tile.latent[group][32 * half][0];
      _mm512_store_si512(out, _mm512_unpacklo_epi16(first, second));
      _mm512_store_si512(out + 64, _mm512_unpackhi_epi16(first, second));
    }
  }
}

static inline void spread_latent(Tile& tile, const int16_t* z) {
  for (int i = 0; i < model::kLatent; ++i) {
    for (int half = 0; half < 2; ++half) {
      _mm512_store_si512(tile.state[i] + 32 * half, _mm512_set1_epi16(z[i]));
    }
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
