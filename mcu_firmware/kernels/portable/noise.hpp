// Candidate actions: the mean plus AR(1) noise from a counter-based generator.
#pragma once

#include <stdint.h>

#include "../../planner/settings.hpp"
#include "../philox.hpp"
#include "../step_actions.hpp"
#include "../tables.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// In units of four action units.
struct NoiseState {
  alignas(64) int16_t value[model::kActionGroups][kBlock][4];
};

static inline int32_t normal(uint32_t byte) {
  const int32_t magnitude = kNormal[byte & 127];
  return (byte & 128) != 0 ? -magnitude : magnitude;
}

static inline void draw_action(int16_t& noise, int32_t normal, int32_t gain, int32_t beta,
                               int32_t mean, int8_t& action) {
  noise = static_cast<int16_t>(saturate16(mulhrs(noise, beta) + mulhrs(normal * 256, gain)));
  const int32_t moved = saturate16(mean + saturate16(4 * noise));
  action = static_cast<int8_t>(to_int8(clamp(moved, -kActionOne, kActionOne)));
}

// Counter (16 block + lane, step, iteration, group): word w is candidate 16 w + lane of the block,
// its bytes from the lowest are the four actions of the group. Candidates scatter around
// mean[kAction]; actions[kTilesPerBlock]. Only tiles that hold candidates are drawn.
static inline void draw_actions(NoiseState& noise, const PlannerSettings& s, int block, int t,
                                int iteration, const int16_t* mean, StepActions* actions) {
  const int32_t gain = t == 0 ? s.first_gain : s.gain;
  const int here = s.candidates - kBlock * block;
  const int drawn = here < kBlock ? (here + kTile - 1) / kTile * kTile : kBlock;
  for (int group = 0; group < model::kActionGroups; ++group) {
    for (int lane = 0; lane < 16 && lane < drawn; ++lane) {
      uint32_t word[4] = {static_cast<uint32_t>(16 * block + lane), static_cast<uint32_t>(t),
                          static_cast<uint32_t>(iteration), static_cast<uint32_t>(group)};
      philox(word, {s.seed, s.plan});
      for (int c = lane; c < drawn; c += 16) {
          int8_t* four = actions[c / kTile].value[group][c % kTile];
        for (int i = 0; i < 4; ++i) {
          const int a = 4 * group + i;
          if (a < model::kAction) {
            draw_action(noise.value[group][c][i], normal(word[c / 16] >> (8 * i)), gain, s.beta,
                        mean[a], four[i]);
          } else {
            four[i] = 0;
          }
        }
      }
    }
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
