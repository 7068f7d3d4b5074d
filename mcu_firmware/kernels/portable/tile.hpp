// 64 candidates and their latents, in plain C++: [unit][candidate], int16 throughout.
#pragma once

#include <stdint.h>

#include "../step_actions.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

struct Tile {
  alignas(64) int16_t state[model::kLatent][kTile];  // Q15
  // What the products see, 0 to 255: the hidden layer, then the latents, then the actions.
  alignas(64) int16_t seen[model::kHidden + model::kLatent + 4 * model::kActionGroups][kTile];
};

constexpr int kSeenLatent = model::kHidden;
constexpr int kSeenAction = model::kHidden + model::kLatent;

static inline void see_latents(Tile& tile) {
  for (int i = 0; i < model::kLatent; ++i) {
    for (int c = 0; c < kTile; ++c) {
      tile.seen[kSeenLatent + i][c] = static_cast<int16_t>(to_int8(tile.state[i][c]) + 128);
    }
  }
}

// Every candidate starts at z[kLatent].
static inline void spread_latent(Tile& tile, const int16_t* z) {
  for (int i = 0; i < model::kLatent; ++i) {
    for (int c = 0; c < kTile; ++c) tile.state[i][c] = z[i];
  }
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
