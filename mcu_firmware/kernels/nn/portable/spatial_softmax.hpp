// Expected coordinates of each channel of a picture: where it is active.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

struct SpatialSoftmax {
  int32_t places, channels, coordinates;
  const int32_t* step;   // [channels], halvings of the weight for one integer, in 2^-16
  const int16_t* grid;   // [places][coordinates]
  const uint16_t* exp2;  // [256]
};

constexpr int32_t kMostHalvings = 15;  // beyond them a place weighs nothing

// x[places][channels] -> y[channels][coordinates]. scratch, aligned to 8: 8 bytes a coordinate.
static inline void spatial_softmax(const SpatialSoftmax& s, const int8_t* x, void* scratch,
                                   int16_t* y) {
  uint64_t* moved = static_cast<uint64_t*>(scratch);
  for (int32_t c = 0; c < s.channels; ++c, ++x) {
    const int32_t end = s.places * s.channels, step = s.step[c];
    int32_t largest = -128;
    for (int32_t i = 0; i < end; i += s.channels) largest = x[i] > largest ? x[i] : largest;
    // The smallest integer that still weighs something; in most places there is none.
    const int32_t reach = (kMostHalvings * 65536 - 129) / (step > 0 ? step : 1);
    const int32_t least = step > 0 && reach < 255 ? largest - reach : -128;
    uint32_t total = 0;
    for (int32_t g = 0; g < s.coordinates; ++g) moved[g] = 0;
    const int16_t* grid = s.grid;
    for (int32_t i = 0; i < end; i += s.channels, grid += s.coordinates) {
      if (x[i] < least) continue;
      const int32_t exponent = ((largest - x[i]) * step + 128) >> 8;
      const uint32_t weight = static_cast<uint32_t>(s.exp2[exponent & 255]) >> (exponent >> 8);
      total += weight;
      for (int32_t g = 0; g < s.coordinates; ++g) {
        moved[g] += uint64_t{weight} * static_cast<uint32_t>(grid[g] + 32768);
      }
    }
    for (int32_t g = 0; g < s.coordinates; ++g) {
      const uint64_t mean = (2 * moved[g] + total) / (2 * uint64_t{total});
      *y++ = static_cast<int16_t>(static_cast<int32_t>(mean) - 32768);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
