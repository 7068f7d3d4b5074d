// Expected coordinates of each channel of a picture: where it is active.
#pragma once

#include <stdint.h>

#include "../softmax.hpp"

namespace sdiwm {
namespace nn {

// Coordinates `g` and `h` of one channel.
static inline void expect_two(const SpatialSoftmax& s, int32_t c, const int8_t* x, int32_t largest,
                              int32_t g, int32_t h, int16_t* y) {
  const int32_t step = s.step[c], least = largest - reach_of(step), channels = s.channels;
  const uint16_t* const grid = s.grid + g * s.places;
  const int32_t apart = (h - g) * s.places;
  uint64_t a = 0, b = 0;
  uint32_t total = 0;
  const int8_t *from = x + c, *const end = x + s.places * channels;
  for (const uint16_t* at = grid; from < end; from += channels, ++at) {
    const int32_t own = *from;
    if (own < least) continue;
    const uint32_t weight = weight_of(s, (largest - own) * step);
    const uint32_t u = at[0], v = at[apart];
    total += weight;
    a += uint64_t{weight} * u;
    b += uint64_t{weight} * v;
  }
  y[g] = mean_of(a, total);
  y[h] = mean_of(b, total);
}

// x[places][channels] -> y[channels][coordinates]. scratch: the largest number of each channel.
static inline void spatial_softmax(const SpatialSoftmax& s, const int8_t* x, void* scratch,
                                   int16_t* y) {
  int8_t* largest = static_cast<int8_t*>(scratch);
  largest_of_channels(x, s.places, s.channels, largest);
  for (int32_t c = 0; c < s.channels; ++c, y += s.coordinates) {
    for (int32_t g = 0; g < s.coordinates; g += 2) {
      const int32_t h = g + 1 < s.coordinates ? g + 1 : g;
      expect_two(s, c, x, largest[c], g, h, y);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
