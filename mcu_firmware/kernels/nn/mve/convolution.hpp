// One row of a convolution with 8-bit products, sixteen at a time (VMLAVA).
//
// Three output channels by two places: six sums. Sixteen numbers of each cost six VMLAVA and five
// loads for 96 multiply-accumulates. A Cortex-M55 does a vector instruction in two cycles and
// overlaps a load with a multiplication, so the multiplier bounds: 8 multiply-accumulates a cycle.
#pragma once

#include <arm_mve.h>
#include <stdint.h>
#include <string.h>

#include "finish.hpp"

namespace sdiwm {
namespace nn {

// The window of output column `x` as int8, padded with zeros to a multiple of sixteen.
template <class In>
static inline void column(const Layer& layer, const In* const* rows, int32_t x, int8_t* to) {
  const Window& window = layer.window;
  const int32_t channels = layer.in_channels;
  const int32_t left = x * window.stride_x - window.pad_left;
  const bool run = window.dilation_x == 1 && left >= 0 &&
                   left + window.kernel_width <= layer.in_width;
  const int32_t pieces = run ? 1 : window.kernel_width;
  const int32_t length = run ? window.kernel_width * channels : channels;
  const uint8x16_t flip = vdupq_n_u8(static_cast<uint8_t>(-seen(In{0})));
  for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
    for (int32_t kx = 0; kx < pieces; ++kx) {
      const int32_t at = left + kx * window.dilation_x;
      const bool inside = rows[ky] != nullptr && at >= 0 && at < layer.in_width;
      for (int32_t i = 0; i < length; i += 16, to += 16) {
        const mve_pred16_t lanes = vctp8q(static_cast<uint32_t>(length - i));
        if (inside) {
          const uint8_t* from =
              reinterpret_cast<const uint8_t*>(rows[ky] + at * channels) + i;
          vstrbq_p_u8(reinterpret_cast<uint8_t*>(to), veorq_u8(vldrbq_z_u8(from, lanes), flip),
                      lanes);
        } else {
          vstrbq_p_s8(to, vdupq_n_s8(static_cast<int8_t>(layer.padding)), lanes);
        }
      }
      to += length - ((length + 15) & ~15);
    }
  }
  vstrbq_s8(to, vdupq_n_s8(0));
}

// sums[place][channel] = weight_channel . column_place over `vectors` times sixteen numbers. In
// assembly, since compilers put addresses on the stack; sums of VMLAVA are in even registers.
static inline void three_by_two(const int8_t* w0, const int8_t* w1, const int8_t* w2,
                                const int8_t* x, const int8_t* y, int32_t vectors,
                                int32_t (*sums)[12]) {
  int32_t a0 = 0, a1 = 0, a2 = 0, b0 = 0, b1 = 0, b2 = 0;
  asm volatile(
      "dls lr, %[n]\n\t"
      "1:\n\t"
      "vldrb.u8 q0, [%[x]], #16\n\t"
      "vldrb.u8 q2, [%[w0]], #16\n\t"
      "vmlava.s8 %[a0], q0, q2\n\t"
      "vldrb.u8 q1, [%[y]], #16\n\t"
      "vmlava.s8 %[b0], q1, q2\n\t"
      "vldrb.u8 q3, [%[w1]], #16\n\t"
      "vmlava.s8 %[a1], q0, q3\n\t"
      "vldrb.u8 q2, [%[w2]], #16\n\t"
      "vmlava.s8 %[b1], q1, q3\n\t"
      "vmlava.s8 %[a2], q0, q2\n\t"
      "vmlava.s8 %[b2], q1, q2\n\t"
      "le lr, 1b"
      : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [b0] "+Te"(b0), [b1] "+Te"(b1),
        [b2] "+Te"(b2), [w0] "+r"(w0), [w1] "+r"(w1), [w2] "+r"(w2), [x] "+r"(x), [y] "+r"(y)
      : [n] "r"(vectors)
      : "memory", "lr", "q0", "q1", "q2", "q3");
  sums[0][0] = a0;
  sums[0][1] = a1;
  sums[0][2] = a2;
  sums[1][0] = b0;
  sums[1][1] = b1;
  sums[1][2] = b2;
}

// All output channels of two places, which may be one and the same.
template <class Out>
static inline void two_places(const Layer& layer, const int8_t* x, const int8_t* y, int32_t depth,
                              Out* out_x, Out* out_y) {
  const int32_t channels = layer.out_channels, vectors = (depth + 15) / 16;
  alignas(16) int32_t sums[2][12];
  for (int32_t first = 0; first < channels; first += 12) {
    const int32_t count = channels - first < 12 ? channels - first : 12;
    for (int32_t o = 0; o < count; o += 3) {
      const int8_t* w0 = layer.weight + (first + o) * depth;
      const int8_t* w1 = o + 1 < count ? w0 + depth : w0;
      const int8_t* w2 = o + 2 < count ? w1 + depth : w0;
      three_by_two(w0, w1, w2, x, y, vectors, reinterpret_cast<int32_t(*)[12]>(&sums[0][o]));
    }
    for (int32_t o = 0; o < count; o += 4) {
      const int32_t n = count - o < 4 ? count - o : 4;
      finish_four(layer, first + o, n, vldrwq_s32(&sums[0][o]), out_x + first + o);
      finish_four(layer, first + o, n, vldrwq_s32(&sums[1][o]), out_y + first + o);
    }
  }
}

// scratch: two columns of bytes, each padded to sixteen and sixteen more.
template <class In, class Out>
static inline void convolution_row(const Layer& layer, const In* const* rows, Out* out,
                                   int16_t* scratch) {
  const int32_t depth =
      layer.window.kernel_height * layer.window.kernel_width * layer.in_channels;
  int8_t* first = reinterpret_cast<int8_t*>(scratch);
  int8_t* second = first + ((depth + 15) & ~15) + 16;
  for (int32_t x = 0; x < layer.out_width; x += 2, out += 2 * layer.out_channels) {
    const bool both = x + 1 < layer.out_width;
    column(layer, rows, x, first);
    if (both) column(layer, rows, x + 1, second);
    two_places(layer, first, both ? second : first, depth, out,
               both ? out + layer.out_channels : out);
  }
}

// A fully connected layer of 16-bit numbers: one place, eight products at a time.
template <class Out>
static inline void convolution_row(const Layer& layer, const int16_t* const* rows, Out* out,
                                   int16_t*) {
  const int32_t depth = layer.in_channels;
  for (int32_t o = 0; o < layer.out_channels; o += 4) {
    const int32_t n = layer.out_channels - o < 4 ? layer.out_channels - o : 4;
    alignas(16) int32_t sums[4] = {};
    for (int32_t c = 0; c < n; ++c) {
      const int8_t* weight = layer.weight + (o + c) * depth;
      int32_t sum = 0;
      for (int32_t k = 0; k < depth; k += 8) {
        const mve_pred16_t lanes = vctp16q(static_cast<uint32_t>(depth - k));
        const int16x8_t w = vldrbq_z_s16(weight + k, lanes);
        sum = vmladavaq_s16(sum, vldrhq_z_s16(rows[0] + k, lanes), w);
      }
      sums[c] = sum;
    }
    finish_four(layer, o, n, vldrwq_s32(sums), out + o);
  }
}

}  // namespace nn
}  // namespace sdiwm
