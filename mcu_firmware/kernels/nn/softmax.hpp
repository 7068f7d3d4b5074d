// The constants of a spatial softmax, and the weight of one place.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

struct SpatialSoftmax {
  int32_t places, channels, coordinates;
  const int32_t* step;   // [channels], halvings of the weight for one integer, in 2^-16
  const uint16_t* grid;  // [coordinates][places], 32768 more than the coordinate
  const uint16_t* exp2;  // [256]
};

constexpr int32_t kMostHalvings = 15;  // beyond them a place weighs nothing

// The largest difference from the maximum with which a place still weighs something.
static inline int32_t reach_of(int32_t step) {
  const int32_t reach = (kMostHalvings * 65536 - 129) / (step > 0 ? step : 1);
  return step > 0 && reach < 255 ? reach : 255;
}

// What a place weighs, with `scaled` = its difference from the maximum times the step.
static inline uint32_t weight_of(const SpatialSoftmax& s, int32_t scaled) {
  const int32_t exponent = (scaled + 128) >> 8;
  return static_cast<uint32_t>(s.exp2[exponent & 255]) >> (exponent >> 8);
}

// Sum of weight * (coordinate + 32768) -> the weighted mean, half rounded up.
static inline int16_t mean_of(uint64_t moved, uint32_t total) {
  const uint64_t mean = (2 * moved + total) / (2 * uint64_t{total});
  return static_cast<int16_t>(static_cast<int32_t>(mean) - 32768);
}

}  // namespace nn
}  // namespace sdiwm
