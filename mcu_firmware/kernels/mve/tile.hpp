// Eight candidates and their latents for Helium: units in the lanes of products, candidates in the
// lanes of everything else.
//
// What a product sees is [candidate][unit] in s8, rows padded to whole vectors of 16; what the
// definition sees as 0 to 255 is 128 less here, and the difference is part of the bias.
#pragma once

#include <stdint.h>
#include <string.h>

#include "../step_actions.hpp"

#include <arm_mve.h>

namespace sdiwm {
inline namespace SDIWM_ISA {

static_assert(kTile == 8, "eight lanes of int16");

constexpr int vectors(int units) { return (units + 15) / 16; }

constexpr int kHiddenVectors = vectors(model::kHidden);
constexpr int kLatentVectors = vectors(model::kLatent);
constexpr int kActionVectors = vectors(4 * model::kActionGroups);
constexpr int kInputVectors = kLatentVectors + kActionVectors;

struct Tile {
  alignas(16) int16_t state[model::kLatent][kTile];  // Q15
  alignas(16) int8_t hidden[kTile][16 * kHiddenVectors];
  alignas(16) int8_t input[kTile][16 * kInputVectors];  // latents, then actions
};

// Offsets of the candidates in an array of rows.
static inline uint16x8_t rows_of(int stride) {
  return vmulq_n_u16(vidupq_n_u16(0, 1), static_cast<uint16_t>(stride));
}

static inline void see_latents(Tile& tile) {
  const uint16x8_t rows = rows_of(sizeof tile.input[0]);
  for (int i = 0; i < model::kLatent; ++i) {
    const int16x8_t rounded = vqaddq_n_s16(vldrhq_s16(tile.state[i]), 128);
    vstrbq_scatter_offset_s16(tile.input[0] + i, rows, vshrq_n_s16(rounded, 8));
  }
}

// Every candidate starts at z[kLatent].
static inline void spread_latent(Tile& tile, const int16_t* z) {
  for (int i = 0; i < model::kLatent; ++i) vstrhq_s16(tile.state[i], vdupq_n_s16(z[i]));
  see_latents(tile);
}

// Candidate c starts at z[c][kLatent]; those from n on at zero.
static inline void load_latents(Tile& tile, const int16_t* z, int n) {
  for (int i = 0; i < model::kLatent; ++i) {
    for (int c = 0; c < kTile; ++c) {
      tile.state[i][c] = c < n ? z[c * model::kLatent + i] : static_cast<int16_t>(0);
    }
  }
  see_latents(tile);
}

// Candidate c < n goes to z[c * stride].
static inline void store_latents(const Tile& tile, int n, int stride, int16_t* z) {
  for (int c = 0; c < n; ++c) {
    for (int i = 0; i < model::kLatent; ++i) z[c * stride + i] = tile.state[i][c];
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
