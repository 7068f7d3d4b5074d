// One row of a depthwise convolution, four channels at a time.
//
// A tap of four channels is two loads, four SXTB16 and four SMLABB or SMLATT: one load and one
// widening beside each multiplication, which on a Cortex-M7 bounds it to four in five cycles.
#pragma once

#include <stdint.h>
#include <string.h>

#include "../gains.hpp"
#include "../taps.hpp"
#include "finish.hpp"

namespace sdiwm {
namespace nn {
// sums[4] of channels c ... c + 3.
template <class In>
static inline void four_taps(const In* const* tap, int32_t count, int32_t c,
                                 const int8_t* weight, int32_t channels, int32_t (&sums)[4]) {
  const uint32_t flip = flip_of(tap[0]);
  for (int32_t k = 0; k < count; ++k, weight += channels) {
    const uint32_t x = load_word(tap[k] + c) ^ flip, w = load_word(weight);
    const uint32_t even = even_bytes(x), odd = odd_bytes(x);
    const uint32_t even_weight = even_bytes(w), odd_weight = odd_bytes(w);
    asm("smlabb %0, %1, %2, %0" : "+r"(sums[0]) : "r"(even), "r"(even_weight));
    asm("smlabb %0, %1, %2, %0" : "+r"(sums[1]) : "r"(odd), "r"(odd_weight));
    asm("smlatt %0, %1, %2, %0" : "+r"(sums[2]) : "r"(even), "r"(even_weight));
    asm("smlatt %0, %1, %2, %0" : "+r"(sums[3]) : "r"(odd), "r"(odd_weight));
  }
}

// scratch: one place of padding. Channels beyond a multiple of four are done one by one.
template <class In, class Out>
static inline void depthwise_row(const Layer& layer, const In* const* rows, Out* out,
                                 int16_t* scratch) {
  const int32_t count = layer.window.kernel_height * layer.window.kernel_width;
  const int32_t channels = layer.in_channels;
  In* padding = reinterpret_cast<In*>(scratch);
  const In* tap[kMostRows];
  const Finisher finisher(layer);
  memset(padding, layer.padding - seen(In{0}), static_cast<uint32_t>(channels));
  for (int32_t x = 0; x < layer.out_width; ++x, out += channels) {
    taps(layer, rows, x, padding, tap);
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4) {
      const Scale* own = layer.scale + c;
      int32_t sums[4] = {own[0].bias, own[1].bias, own[2].bias, own[3].bias};
      four_taps(tap, count, c, layer.weight + c, channels, sums);
      for (int32_t i = 0; i < 4; ++i) {
        const Scale& scale = layer.scale[c + i];
        out[c + i] = finisher.template finish<Out>(sums[i], factor_of(scale));
      }
    }
    for (; c < channels; ++c) {
      int32_t sum = layer.scale[c].bias;
      for (int32_t k = 0; k < count; ++k) sum += seen(tap[k][c]) * layer.weight[k * channels + c];
      out[c] = static_cast<Out>(finish(layer, c, sum));
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
