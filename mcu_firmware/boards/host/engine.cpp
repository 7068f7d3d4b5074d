// The engine's C interface, compiled once per instruction set; every symbol ends in its name.
//
// `work` is `workspace_bytes` bytes, aligned to 64, owned by the caller: nothing here allocates,
// and calls with different workspaces may run at the same time.
#include <stdint.h>

#include "../../planner/fuse.hpp"
#include "../../planner/mppi.hpp"
#include "../../planner/rollout.hpp"

#define SDIWM_JOIN_NAMES(name, isa) sdiwm_##name##_##isa
#define SDIWM_JOIN(name, isa) SDIWM_JOIN_NAMES(name, isa)
#define SDIWM_EXPORT(type, name) \
  extern "C" __attribute__((visibility("default"))) type SDIWM_JOIN(name, SDIWM_ISA)

using sdiwm::Goal;
using sdiwm::kBlock;
using sdiwm::kTile;
using sdiwm::PlannerSettings;
using sdiwm::SDIWM_ISA::Workspace;
namespace model = sdiwm::model;

static_assert(sizeof(Goal) == 4 * (model::kHidden + 2 * model::kHead + model::kPrior),
              "Goal has no padding");

SDIWM_EXPORT(int64_t, workspace_bytes)() { return sizeof(Workspace); }

// x[kFusionInput] -> z[kLatent].
SDIWM_EXPORT(void, fuse)(const int16_t* x, int16_t* z) { sdiwm::fuse(x, z); }

// z[kLatent] -> actions[horizon][kAction] of the policy prior; zeros without one.
SDIWM_EXPORT(void, prior)(const Goal* goal, const int16_t* z, int32_t horizon, int16_t* actions) {
  sdiwm::prior_sequence(*goal, z, horizon, actions);
}

// z[kLatent], mean[horizon][kAction] (replaced) -> best cost.
SDIWM_EXPORT(int32_t, plan)(const Goal* goal, const PlannerSettings* settings, const int16_t* z,
                            int16_t* mean, Workspace* work) {
  return sdiwm::plan(*goal, *settings, z, mean, *work);
}

// The costs and the actions of the last iteration of the last plan made in `work`:
// costs[candidates], actions[candidates][horizon][kAction].
SDIWM_EXPORT(void, candidates)(const PlannerSettings* settings, const Workspace* work,
                               int32_t* costs, int8_t* actions) {
  for (int c = 0; c < settings->candidates; ++c) {
    costs[c] = work->costs[c];
    for (int t = 0; t < settings->horizon; ++t) {
      for (int a = 0; a < model::kAction; ++a) {
        *actions++ = work->actions[c / kBlock][t][c % kBlock / kTile].value[a / 4][c % kTile][a % 4];
      }
    }
  }
}

// z[kLatent], actions[n][horizon][kAction] -> costs[n]; horizon is at most kMaxHorizon.
SDIWM_EXPORT(void, rollout_cost)(const Goal* goal, const PlannerSettings* settings,
                                 const int16_t* z, const int8_t* actions, int32_t n,
                                 int32_t* costs, Workspace* work) {
  const int horizon = settings->horizon;
  for (int first = 0; first < n; first += kTile) {
    const int count = n - first < kTile ? n - first : kTile;
    sdiwm::rollout_cost(*goal, *settings, z, actions + first * horizon * model::kAction, count,
                        work->actions[0][0], work->tile, costs + first);
  }
}

// z[n][kLatent], actions[n][horizon][kAction] -> latents[n][horizon][kLatent].
SDIWM_EXPORT(void, rollout)(const Goal* goal, const int16_t* z, const int8_t* actions, int32_t n,
                            int32_t horizon, int16_t* latents, Workspace* work) {
  for (int first = 0; first < n; first += kTile) {
    const int count = n - first < kTile ? n - first : kTile;
    sdiwm::rollout(*goal, z + first * model::kLatent, actions + first * horizon * model::kAction,
                   count, horizon, work->tile, latents + first * horizon * model::kLatent);
  }
}

// z[n][kLatent] -> cost[n] and value[n], each in its head's own unit.
SDIWM_EXPORT(void, heads)(const Goal* goal, const int16_t* z, int32_t n, int32_t* cost,
                          int32_t* value, Workspace* work) {
  for (int first = 0; first < n; first += kTile) {
    const int count = n - first < kTile ? n - first : kTile;
    sdiwm::heads(*goal, z + first * model::kLatent, count, work->tile, cost + first,
                 value + first);
  }
}

// Multiply-accumulates done in `loops` rounds of the fastest loop this instruction set has.
SDIWM_EXPORT(int64_t, peak)(int64_t loops) { return sdiwm::peak(loops); }

SDIWM_EXPORT(int64_t, single_precision_peak)(int64_t loops) {
  return sdiwm::single_precision_peak(loops);
}
