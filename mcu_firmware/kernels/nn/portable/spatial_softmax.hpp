// Expected coordinates of each channel of a picture: where it is active.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

struct SpatialSoftmax {
  int32_t places, channels, coordinates;
  const int32_t* step;   // [channels], 2^16 of it are an octave of the weight... per integer
  const int16_t* grid;   // [places][coordinates]
  const uint16_t* exp2;  // [256]
};

constexpr int32_t kMostHalvings = 15;  // beyond them a place weighs nothing

// x[places][channels] -> y[channels][coordinates]. scratch, aligned to 8: channels * (8 *
// coordinates + 8) bytes.
static inline void spatial_softmax(const SpatialSoftmax& s, const int8_t* x, void* scratch,
                                   int16_t* y) {
  int64_t* moved = static_cast<int64_t*>(scratch);
  uint32_t* total = reinterpret_cast<uint32_t*>(moved + s.channels * s.coordinates);
  int8_t* largest = reinterpret_cast<int8_t*>(total + s.channels);
  for (int32_t c = 0; c < s.channels; ++c) {
    largest[c] = -128;
    total[c] = 0;
  }
  for (int32_t i = 0; i < s.channels * s.coordinates; ++i) moved[i] = 0;
  for (int32_t p = 0; p < s.places; ++p) {
    for (int32_t c = 0; c < s.channels; ++c) {
      const int8_t value = x[p * s.channels + c];
      if (value > largest[c]) largest[c] = value;
    }
  }
  for (int32_t p = 0; p < s.places; ++p) {
    for (int32_t c = 0; c < s.channels; ++c) {
      const int32_t exponent = ((largest[c] - x[p * s.channels + c]) * s.step[c] + 128) >> 8;
      if (exponent >= kMostHalvings * 256) continue;
      const int32_t weight = s.exp2[exponent & 255] >> (exponent >> 8);
      total[c] += static_cast<uint32_t>(weight);
      for (int32_t g = 0; g < s.coordinates; ++g) {
        const int32_t at = s.grid[p * s.coordinates + g] + 32768;
        moved[c * s.coordinates + g] += static_cast<int64_t>(weight) * at;
      }
    }
  }
  for (int32_t c = 0; c < s.channels; ++c) {
    for (int32_t g = 0; g < s.coordinates; ++g) {
      const uint64_t twice = 2 * static_cast<uint64_t>(moved[c * s.coordinates + g]) + total[c];
      *y++ = static_cast<int16_t>(static_cast<int32_t>(twice / (2 * uint64_t{total[c]})) - 32768);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
