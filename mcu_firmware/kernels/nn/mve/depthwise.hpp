// One row of a depthwise convolution, four channels in the lanes of a vector.
//
// A tap is two widening loads and one VMLA: the loads bound a Cortex-M55 to four
// multiply-accumulates in four cycles.
#pragma once

#include <arm_mve.h>
#include <stdint.h>
#include <string.h>

#include "../gains.hpp"
#include "../taps.hpp"
#include "finish.hpp"

namespace sdiwm {
namespace nn {

static inline int32x4_t seen_four(const int8_t* x, mve_pred16_t lanes) {
  return vldrbq_z_s32(x, lanes);
}
static inline int32x4_t seen_four(const uint8_t* x, mve_pred16_t lanes) {
  return vsubq_n_s32(vreinterpretq_s32_u32(vldrbq_z_u32(x, lanes)), 128);
}

// Channels c ... c + n - 1, n <= 8, of one place; tap[k].
template <class In, class Out>
static __attribute__((noinline)) void eight_channels(const Layer& layer, const In* const* tap,
                                                     int32_t count, int32_t c, int32_t n,
                                                     Out* out) {
  const int32_t channels = layer.in_channels;
  const Finisher finish(layer, c);
  alignas(16) int32_t sums[8];
  for (int32_t half = 0; half < 8; half += 4) {
    const mve_pred16_t lanes = vctp32q(static_cast<uint32_t>(n > half ? n - half : 0));
    const int8_t* weight = layer.weight + c + half;
    int32x4_t sum = vld2q_s32(&layer.scale[c + half].bias).val[0];
    for (int32_t k = 0; k < count; ++k, weight += channels) {
      const int32x4_t x = seen_four(tap[k] + c + half, lanes);
      sum = vaddq_s32(sum, vmulq_s32(x, vldrbq_z_s32(weight, lanes)));
    }
    vstrwq_s32(sums + half, sum);
  }
  store_eight(out + c, clamp_eight(layer, finish(sums)), vctp16q(static_cast<uint32_t>(n)));
}

// scratch: one place of padding.
template <class In, class Out>
static inline void depthwise_row(const Layer& layer, const In* const* rows, Out* out,
                                 int16_t* scratch) {
  const int32_t count = layer.window.kernel_height * layer.window.kernel_width;
  const int32_t channels = layer.in_channels;
  In* padding = reinterpret_cast<In*>(scratch);
  const In* tap[kMostRows];
  memset(padding, layer.padding - seen(In{0}), static_cast<uint32_t>(channels));
  for (int32_t x = 0; x < layer.out_width; ++x, out += channels) {
    taps(layer, rows, x, padding, tap);
    for (int32_t c = 0; c < channels; c += 8) {
      eight_channels(layer, tap, count, c, channels - c < 8 ? channels - c : 8, out);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
