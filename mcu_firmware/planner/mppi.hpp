// Model-predictive path integral control in integers: one whole plan, static memory.
//
// The definition of every operation is sdiwm_model/compression/integer_planner.py.
#pragma once

#include <stdint.h>

#include "../kernels/isa.hpp"
#include "../kernels/tables.hpp"
#include "goal.hpp"
#include "prior.hpp"
#include "rollout.hpp"
#include "settings.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

constexpr int kMaxBlocks = model::kMaxCandidates / kBlock;
constexpr uint64_t kOctavesQ32 = 1586259972792ull;  // 256 log2(e) 2^32: nats -> 1/256 octaves
constexpr uint64_t kBeyond = 11;  // temperatures above the best at which a weight is zero

// All that a plan writes to; the caller owns it.
struct Workspace {
  StepActions actions[kMaxBlocks][model::kMaxHorizon][kTilesPerBlock];
  alignas(64) int32_t costs[model::kMaxCandidates];
  alignas(64) int16_t weights[model::kMaxCandidates];
  int64_t sums[model::kMaxHorizon][4 * model::kActionGroups];
  int16_t prior[model::kMaxHorizon * model::kAction];
  Tile tile;
};

// Candidate 0 is the mean itself, candidate 1 stands still, candidate 2 does what the prior says.
static inline void place_fixed_candidates(const PlannerSettings& s, const int16_t* mean,
                                          const int16_t* prior, StepActions* actions) {
  static_assert(kTile >= 2, "the first two are in the first tile");
  for (int a = 0; a < model::kAction; ++a) {
    actions[0].value[a / 4][0][a % 4] = static_cast<int8_t>(to_int8(mean[a]));
    actions[0].value[a / 4][1][a % 4] = 0;
    if (s.use_prior != 0) {
      actions[2 / kTile].value[a / 4][2 % kTile][a % 4] = static_cast<int8_t>(to_int8(prior[a]));
    }
  }
}

// Draws the 64 candidates of one block.
static inline void draw_block(const PlannerSettings& s, int iteration, int block,
                              const int16_t* mean, Workspace& work) {
  NoiseState noise = {};
  for (int t = 0; t < s.horizon; ++t) {
    const int now = t * model::kAction;
    StepActions* actions = work.actions[block][t];
    draw_actions(noise, s, block, t, iteration, mean + now, actions);
    if (block == 0) place_fixed_candidates(s, mean + now, work.prior + now, actions);
  }
}

// Rolls out one tile of a block.
static inline void score_tile(const Goal& goal, const PlannerSettings& s, int block, int tile,
                              const int16_t* z, Workspace& work) {
  int32_t* costs = work.costs + block * kBlock + tile * kTile;
  for (int c = 0; c < kTile; ++c) costs[c] = 0;
  spread_latent(work.tile, z);
  for (int t = 0; t < s.horizon; ++t) {
    step(work.tile, goal, work.actions[block][t][tile]);
    add_cost(work.tile, goal, costs);
  }
  finish_costs(work.tile, goal, s, &work.actions[block][0][tile], kTilesPerBlock, s.horizon, costs);
}

// The tiles of one block that hold candidates.
static inline void score_block(const Goal& goal, const PlannerSettings& s, int block,
                               const int16_t* z, Workspace& work) {
  const int here = s.candidates - block * kBlock;
  for (int tile = 0; tile < kTilesPerBlock && tile * kTile < here; ++tile) {
    score_tile(goal, s, block, tile, z, work);
  }
}

static inline int32_t best_cost(const int32_t* costs, int n) {
  int32_t best = costs[0];
  for (int i = 1; i < n; ++i) best = costs[i] < best ? costs[i] : best;
  return best;
}

// weights[i] = 32767 exp(-(costs[i] - best) / temperature) by the table; those beyond n are 0.
static inline void softmax_weights(const PlannerSettings& s, int32_t best, int padded,
                                   Workspace& work) {
  uint64_t total = 0;
  for (int i = 0; i < s.candidates; ++i) {
    total += static_cast<uint32_t>(work.costs[i]) - static_cast<uint32_t>(best);
  }
  const uint64_t share = total * s.temperature / (static_cast<uint64_t>(s.candidates) << 16);
  const uint64_t temperature = share > s.temperature_floor ? share : s.temperature_floor;
  const uint64_t octaves = kOctavesQ32 / temperature;
  for (int i = 0; i < s.candidates; ++i) {
    const uint64_t worse = static_cast<uint32_t>(work.costs[i]) - static_cast<uint32_t>(best);
    const uint32_t steps = static_cast<uint32_t>((worse * octaves) >> 32);
    const bool counts = worse < kBeyond * temperature;
    work.weights[i] =
        counts ? static_cast<int16_t>(kExp2[steps & 255] >> (steps >> 8)) : static_cast<int16_t>(0);
  }
  for (int i = s.candidates; i < padded; ++i) work.weights[i] = 0;
}

// mean = sum(w a) * 256 / sum(w), half away from zero.
static inline void weighted_mean(const PlannerSettings& s, int blocks, Workspace& work,
                                 int16_t* mean) {
  int64_t total = 0;
  for (int i = 0; i < s.candidates; ++i) total += work.weights[i];
  weighted_sums(work.actions[0][0], model::kMaxHorizon, work.weights, blocks, s.horizon,
                work.sums);
  for (int t = 0; t < s.horizon; ++t) {
    for (int a = 0; a < model::kAction; ++a) {
      const int64_t sum = work.sums[t][a] * 256;
      const int64_t rounded = (2 * (sum < 0 ? -sum : sum) + total) / (2 * total);
      mean[t * model::kAction + a] = static_cast<int16_t>(sum < 0 ? -rounded : rounded);
    }
  }
}

// Evaluates the prior, and starts the mean where there is no warm start.
static inline void begin_plan(const Goal& goal, const PlannerSettings& s, const int16_t* z,
                              int16_t* mean, int16_t* prior) {
  const int count = s.horizon * model::kAction;
  if (s.use_prior != 0) prior_sequence(goal, z, s.horizon, prior);
  if (s.cold == 0) return;
  for (int i = 0; i < count; ++i) mean[i] = s.use_prior != 0 ? prior[i] : static_cast<int16_t>(0);
}

// z[kLatent], mean[horizon][kAction] (replaced) -> best cost of all iterations.
static inline int32_t plan(const Goal& goal, const PlannerSettings& s, const int16_t* z,
                           int16_t* mean, Workspace& work) {
  const int blocks = (s.candidates + kBlock - 1) / kBlock;
  int32_t best = INT32_MAX;
  begin_plan(goal, s, z, mean, work.prior);
  for (int iteration = 0; iteration < s.iterations; ++iteration) {
    for (int block = 0; block < blocks; ++block) {
      draw_block(s, iteration, block, mean, work);
      score_block(goal, s, block, z, work);
    }
    const int32_t now = best_cost(work.costs, s.candidates);
    softmax_weights(s, now, blocks * kBlock, work);
    weighted_mean(s, blocks, work, mean);
    best = now < best ? now : best;
  }
  return best;
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
