// Expected coordinates of each channel of a picture: where it is active.
//
// Weights of a channel come from a table by difference from its maximum, four places at a time.
// Two gathers, three sums across lanes and two loads: twelve cycles for four places by llvm-mca,
// which takes a gather for a plain load; a real Cortex-M55 loads its elements one by one.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

#include "../softmax.hpp"
#include "largest.hpp"

namespace sdiwm {
namespace nn {

constexpr mve_pred16_t kAll = 0xFFFF;  // lanes

// weights[256] by difference from the maximum.
static inline void make_weights(const SpatialSoftmax& s, int32_t step, uint16_t* weights) {
  const int32_t reach = reach_of(step);
  int32x4_t difference = vaddq_n_s32(vreinterpretq_s32_u32(vidupq_n_u32(0, 1)), 0);
  for (int32_t d = 0; d < 256; d += 4) {
    const mve_pred16_t lanes = vctp32q(static_cast<uint32_t>(reach + 1 > d ? reach + 1 - d : 0));
    const int32x4_t exponent = vshrq_n_s32(vaddq_n_s32(vmulq_n_s32(difference, step), 128), 8);
    const uint32x4_t index = vandq_u32(vreinterpretq_u32_s32(exponent), vdupq_n_u32(255));
    const uint32x4_t full = vldrhq_gather_shifted_offset_z_u32(s.exp2, index, lanes);
    vstrhq_u32(weights + d, vshlq_u32(full, vnegq_s32(vshrq_n_s32(exponent, 8))));
    difference = vaddq_n_s32(difference, 4);
  }
}

// Coordinates `g` and `h` of one channel, x[places] `channels` apart.
static inline void expect_two(const SpatialSoftmax& s, const int8_t* x, int32_t largest,
                              const uint16_t* weights, int32_t g, int32_t h, int16_t* y) {
  const uint16_t *first = s.grid + g * s.places, *second = s.grid + h * s.places;
  const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), static_cast<uint32_t>(s.channels));
  uint64_t a = 0, b = 0;
  uint32_t total = 0;
  const auto add = [&](int32x4_t seen, mve_pred16_t lanes, uint32x4_t u, uint32x4_t v) {
    const uint32x4_t index = vreinterpretq_u32_s32(vsubq_s32(vdupq_n_s32(largest), seen));
    const uint32x4_t weight = lanes == kAll ? vldrhq_gather_shifted_offset_u32(weights, index)
                              : vldrhq_gather_shifted_offset_z_u32(weights, index, lanes);
    total = vaddvaq_u32(total, weight);
    a = vmlaldavaq_u32(a, weight, u);
    b = vmlaldavaq_u32(b, weight, v);
  };
  const uint16_t* const end = first + (s.places & ~3);
  for (; first < end; first += 4, second += 4, x += 4 * s.channels) {
    add(vldrbq_gather_offset_s32(x, apart), kAll, vldrhq_u32(first), vldrhq_u32(second));
  }
  if (s.places & 3) {
    const mve_pred16_t lanes = vctp32q(static_cast<uint32_t>(s.places & 3));
    add(vldrbq_gather_offset_z_s32(x, apart, lanes), lanes, vldrhq_z_u32(first, lanes),
        vldrhq_z_u32(second, lanes));
  }
  y[g] = mean_of(a, total);
  y[h] = mean_of(b, total);
}

// x[places][channels] -> y[channels][coordinates]. scratch: the largest number of each channel, in
// whole vectors, and 256 weights.
static inline void spatial_softmax(const SpatialSoftmax& s, const int8_t* x, void* scratch,
                                   int16_t* y) {
  int8_t* largest = static_cast<int8_t*>(scratch);
  uint16_t* weights = reinterpret_cast<uint16_t*>(largest + ((s.channels + 15) & ~15));
  largest_of_channels(x, s.places, s.channels, largest);
  for (int32_t c = 0; c < s.channels; ++c, y += s.coordinates) {
    make_weights(s, s.step[c], weights);
    for (int32_t g = 0; g < s.coordinates; g += 2) {
      const int32_t h = g + 1 < s.coordinates ? g + 1 : g;
      expect_two(s, x + c, largest[c], weights, g, h, y);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
