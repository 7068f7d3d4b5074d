// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

#include <stdint.h>

namespace sdiwm {

constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
constexpr uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kPhiloxKeyStep0 = 0x9E3779B9u;
constexpr uint32_t kPhiloxKeyStep1 = 0xBB67AE85u;
constexpr int kPhiloxRounds = 10;

struct PhiloxKey {
  uint32_t seed;
  uint32_t plan;
};

// Replaces the counter by four random words.
static inline void philox(uint32_t counter[4], PhiloxKey key) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t first = static_cast<uint64_t>(counter[0]) * kPhiloxMultiplier0;
    const uint64_t second = static_cast<uint64_t>(counter[2]) * kPhiloxMultiplier1;
    counter[0] = static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key.seed;
    counter[1] = static_cast<uint32_t>(second);
    counter[2] = static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key.plan;
    counter[3] = static_cast<uint32_t>(first);
    key.seed += kPhiloxKeyStep0;
    key.plan += kPhiloxKeyStep1;
  }
}

}  // namespace sdiwm
