// Runs the planner's parts on random integers drawn on the chip and answers with a checksum.
//
// The same integers are drawn and the same parts computed by sdiwm_model/firmware/vectors.py, which
// sends `Request`s. Most values are uniform, a quarter those at which something rounds or saturates.
#include "boards/board.hpp"
#include "planner/fuse.hpp"
#include "planner/mppi.hpp"
#include "planner/rollout.hpp"
#include "protocol/crc32.hpp"

using namespace sdiwm;

enum Part : uint32_t { kRollout, kHeads, kFuse, kPriorPart, kPlan, kSteps };

struct Request {
  uint32_t part;
  uint32_t seed;
  uint32_t count;    // vectors, or successive plans
  uint32_t horizon;  // of rollout and prior
  PlannerSettings settings;
  Goal goal;
};

struct Reply {
  uint32_t checksum;
  uint32_t ticks;
  uint32_t stack_peak;
  uint32_t tile;  // candidates that are rolled out together
};

static Request request;
static Workspace work;
static int16_t mean[model::kMaxHorizon * model::kAction];

// Value n of a stream: eight for each evaluation of the generator.
static int16_t random16(uint32_t seed, uint32_t stream, uint32_t n) {
  static uint32_t word[4];
  static uint32_t at[3] = {~0u, ~0u, ~0u};
  if (at[0] != seed || at[1] != stream || at[2] != n / 8) {
    word[0] = n / 8;
    word[1] = stream;
    word[2] = word[3] = 0;
    philox(word, {seed, 0});
    at[0] = seed;
    at[1] = stream;
    at[2] = n / 8;
  }
  return static_cast<int16_t>(word[n % 8 / 2] >> (16 * (n % 2)));
}

static int16_t random_latent(uint32_t n) {
  static const int16_t edges[16] = {-32767, -32640, -32639, -257, -129, -128, -1,    0,
                                    1,      127,    128,    255,  256,  32639, 32640, 32767};
  const int16_t x = random16(request.seed, 0, n);
  if ((x & 3) == 0) return edges[(x >> 2) & 15];
  return x;  // odd or twice odd: never -32768
}

static int8_t random_action(uint32_t n) {
  const int8_t x = static_cast<int8_t>(random16(request.seed, 1, n) >> 8);
  return x == -128 ? static_cast<int8_t>(-127) : x;
}

static void run_rollout(Crc32& crc) {
  constexpr uint32_t kLongest = 4;
  static int16_t z[kTile * model::kLatent];
  static int8_t actions[kTile * kLongest * model::kAction];
  static int16_t latents[kTile * kLongest * model::kLatent];
  const uint32_t horizon = request.horizon < kLongest ? request.horizon : kLongest;
  const uint32_t moves = horizon * model::kAction;
  for (uint32_t first = 0; first < request.count; first += kTile) {
    const uint32_t n = request.count - first < kTile ? request.count - first : kTile;
    for (uint32_t i = 0; i < n * model::kLatent; ++i) {
      z[i] = random_latent(first * model::kLatent + i);
    }
    for (uint32_t i = 0; i < n * moves; ++i) actions[i] = random_action(first * moves + i);
    rollout(request.goal, z, actions, static_cast<int>(n), static_cast<int>(horizon), work.tile,
            latents);
    crc.add(latents, n * horizon * model::kLatent * sizeof(int16_t));
  }
}

static void run_heads(Crc32& crc) {
  static int16_t z[kTile * model::kLatent];
  for (uint32_t first = 0; first < request.count; first += kTile) {
    const uint32_t n = request.count - first < kTile ? request.count - first : kTile;
    for (uint32_t i = 0; i < n * model::kLatent; ++i) {
      z[i] = random_latent(first * model::kLatent + i);
    }
    int32_t cost[kTile], value[kTile];
    heads(request.goal, z, static_cast<int>(n), work.tile, cost, value);
    for (uint32_t i = 0; i < n; ++i) {
      crc.add(&cost[i], sizeof cost[i]);
      crc.add(&value[i], sizeof value[i]);
    }
  }
}

static void run_fuse(Crc32& crc) {
  int16_t x[model::kFusionInput], z[model::kLatent];
  for (uint32_t v = 0; v < request.count; ++v) {
    for (uint32_t i = 0; i < model::kFusionInput; ++i) {
      x[i] = random_latent(v * model::kFusionInput + i);
    }
    fuse(x, z);
    crc.add(z, sizeof z);
  }
}

static void draw_latent(uint32_t vector, int16_t* z) {
  for (uint32_t i = 0; i < model::kLatent; ++i) z[i] = random_latent(vector * model::kLatent + i);
}

static void run_prior(Crc32& crc) {
  int16_t z[model::kLatent];
  for (uint32_t v = 0; v < request.count; ++v) {
    draw_latent(v, z);
    prior_sequence(request.goal, z, static_cast<int>(request.horizon), mean);
    crc.add(mean, request.horizon * model::kAction * sizeof(int16_t));
  }
}

// Successive plans, each from another latent and with the last one's mean as warm start.
static void run_plan(Crc32& crc) {
  PlannerSettings settings = request.settings;
  int16_t z[model::kLatent];
  for (uint32_t v = 0; v < request.count; ++v) {
    draw_latent(v, z);
    const int32_t best = plan(request.goal, settings, z, mean, work);
    crc.add(mean, static_cast<uint32_t>(settings.horizon) * model::kAction * sizeof(int16_t));
    crc.add(&best, sizeof best);
    crc.add(work.costs, static_cast<uint32_t>(settings.candidates) * sizeof(int32_t));
    settings.cold = 0;
    settings.plan += 1;
  }
}

// `count` model steps of one tile, always with the same actions: for measuring.
static void run_steps(Crc32& crc) {
  int16_t z[kTile * model::kLatent];
  int8_t actions[kTile * model::kAction];
  for (uint32_t i = 0; i < kTile * model::kLatent; ++i) z[i] = random_latent(i);
  for (uint32_t i = 0; i < kTile * model::kAction; ++i) actions[i] = random_action(i);
  StepActions packed_actions;
  pack_actions(actions, kTile, 1, 0, packed_actions);
  load_latents(work.tile, z, kTile);
  for (uint32_t i = 0; i < request.count; ++i) step(work.tile, request.goal, packed_actions);
  store_latents(work.tile, kTile, model::kLatent, z);
  crc.add(z, sizeof z);
}

static void receive(void* to, uint32_t count) {
  uint8_t* bytes = static_cast<uint8_t*>(to);
  for (uint32_t i = 0; i < count;) {
    const int byte = board::read_byte();
    if (byte < 0) {
      board::idle();
    } else {
      bytes[i++] = static_cast<uint8_t>(byte);
    }
  }
}

int main() {
  prepare_kernels();
  for (;;) {
    receive(&request, sizeof request);
    Crc32 crc;
    const uint32_t began = board::ticks();
    switch (request.part) {
      case kRollout: run_rollout(crc); break;
      case kHeads: run_heads(crc); break;
      case kFuse: run_fuse(crc); break;
      case kPriorPart: run_prior(crc); break;
      case kPlan: run_plan(crc); break;
      case kSteps: run_steps(crc); break;
      default: break;
    }
    const Reply reply{crc.value(), board::ticks() - began, board::stack_peak(), kTile};
    board::write(reinterpret_cast<const uint8_t*>(&reply), sizeof reply);
  }
}
