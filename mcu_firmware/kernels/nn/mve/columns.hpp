// Windows of output places as columns of int8, padded with zeros to a multiple of sixteen.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

#include "../layer.hpp"

namespace sdiwm {
namespace nn {

// n bytes as int8.
template <class In>
static inline void copy(const In* from, int32_t n, int8_t* to) {
  const uint8x16_t flip = vdupq_n_u8(static_cast<uint8_t>(-seen(In{0})));
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(from);
  for (; n > 0; n -= 16, bytes += 16, to += 16) {
    const mve_pred16_t lanes = vctp8q(static_cast<uint32_t>(n));
    const uint8x16_t x = veorq_u8(vldrbq_z_u8(bytes, lanes), flip);
    vstrbq_p_u8(reinterpret_cast<uint8_t*>(to), x, lanes);
  }
}

static inline void fill(int8_t value, int32_t n, int8_t* to) {
  for (; n > 0; n -= 16, to += 16) {
    vstrbq_p_s8(to, vdupq_n_s8(value), vctp8q(static_cast<uint32_t>(n)));
  }
}

// The window of output column `x` where every row of it is a run of neighbours.
template <class In>
static __attribute__((noinline)) void runs(const In* const* rows, int32_t height, int32_t start,
                                           int32_t run, int8_t* to) {
  for (int32_t ky = 0; ky < height; ++ky, to += run) copy(rows[ky] + start, run, to);
}

// The window of output column `x`, padding where it leaves the picture.
template <class In>
static __attribute__((noinline)) void border(const Layer& layer, const In* const* rows, int32_t x,
                                             int8_t* to) {
  const Window& window = layer.window;
  const int32_t channels = layer.in_channels;
  for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
    for (int32_t kx = 0; kx < window.kernel_width; ++kx, to += channels) {
      const int32_t at = x * window.stride_x - window.pad_left + kx * window.dilation_x;
      if (rows[ky] == nullptr || at < 0 || at >= layer.in_width) {
        fill(static_cast<int8_t>(layer.padding), channels, to);
      } else {
        copy(rows[ky] + at * channels, channels, to);
      }
    }
  }
}

template <class In>
static inline void column(const Layer& layer, const In* const* rows, int32_t x, int32_t depth,
                          int32_t padded, int8_t* to) {
  const Window& window = layer.window;
  const int32_t left = x * window.stride_x - window.pad_left;
  bool inside = window.dilation_x == 1 && left >= 0 && left + window.kernel_width <= layer.in_width;
  for (int32_t ky = 0; ky < window.kernel_height; ++ky) inside = inside && rows[ky] != nullptr;
  if (inside) {
    runs(rows, window.kernel_height, left * layer.in_channels,
         window.kernel_width * layer.in_channels, to);
  } else {
    border(layer, rows, x, to);
  }
  fill(0, padded - depth, to + depth);
}

}  // namespace nn
}  // namespace sdiwm
