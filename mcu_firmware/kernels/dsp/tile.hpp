// Two candidates and their latents for Armv7E-M: pairs of 16-bit units in words.
//
// A word holds units k and k + 1 of one candidate, as SMLAD multiplies them; both candidates'
// words lie side by side. Within four actions the pairs are (0, 2) and (1, 3), as UXTB16 gives.
#pragma once

#include <stdint.h>
#include <string.h>

#include "../step_actions.hpp"

#include <arm_acle.h>

namespace sdiwm {
inline namespace SDIWM_ISA {

static_assert(kTile == 2, "the kernels keep the sums of two candidates in registers");

constexpr int kLatentPairs = model::kLatent / 2;
constexpr int kHiddenPairs = model::kHidden / 2;
constexpr int kActionPairs = 2 * model::kActionGroups;

struct Tile {
  alignas(4) int16_t state[kLatentPairs][kTile][2];  // Q15
  // What the products see, 0 to 255.
  alignas(4) int16_t hidden[kHiddenPairs][kTile][2];
  uint32_t input[kLatentPairs + kActionPairs][kTile];  // latents, then actions
};

static inline uint32_t word_at(const void* from) {
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

// Two int16 -> their 8-bit copies + 128.
static inline uint32_t seen_pair(uint32_t pair) {
  const uint32_t rounded = static_cast<uint32_t>(
      __qadd16(static_cast<int16x2_t>(pair), static_cast<int16x2_t>(0x00800080)));
  return static_cast<uint32_t>(__uxtb16(static_cast<uint8x4_t>((rounded ^ 0x80008000u) >> 8)));
}

static inline void see_latents(Tile& tile) {
  for (int pair = 0; pair < kLatentPairs; ++pair) {
    for (int c = 0; c < kTile; ++c) {
      tile.input[pair][c] = seen_pair(word_at(tile.state[pair][c]));
    }
  }
}

// Every candidate starts at z[kLatent].
static inline void spread_latent(Tile& tile, const int16_t* z) {
  for (int i = 0; i < model::kLatent; ++i) {
    for (int c = 0; c < kTile; ++c) tile.state[i / 2][c][i % 2] = z[i];
  }
  see_latents(tile);
}

// Candidate c starts at z[c][kLatent]; those from n on at zero.
static inline void load_latents(Tile& tile, const int16_t* z, int n) {
  for (int i = 0; i < model::kLatent; ++i) {
    for (int c = 0; c < kTile; ++c) {
      tile.state[i / 2][c][i % 2] = c < n ? z[c * model::kLatent + i] : static_cast<int16_t>(0);
    }
  }
  see_latents(tile);
}

// Candidate c < n goes to z[c * stride].
static inline void store_latents(const Tile& tile, int n, int stride, int16_t* z) {
  for (int c = 0; c < n; ++c) {
    for (int i = 0; i < model::kLatent; ++i) z[c * stride + i] = tile.state[i / 2][c][i % 2];
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
