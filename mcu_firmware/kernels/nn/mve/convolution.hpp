// One row of a convolution with 8-bit products, sixteen at a time (VMLAVA).
//
// Three output channels by two places: six sums. Sixteen numbers of each cost six VMLAVA and five
// loads for 96 multiply-accumulates. A Cortex-M55 does a vector instruction in two cycles and
// overlaps a load with a multiplication, so the multiplier bounds: 8 multiply-accumulates a cycle.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

#include "columns.hpp"
#include "finish.hpp"

namespace sdiwm {
namespace nn {

constexpr int32_t kAtATime = 12;  // output channels whose sums are in memory

// sums[place][0 ... 2] = three rows of weights . columns[place], for `pairs` pairs of places. In
// assembly, since compilers put addresses on the stack; sums of VMLAVA are in even registers.
static __attribute__((noinline)) void sum_pairs(const int8_t* const (&weights)[3],
                                                const int8_t* columns, int32_t padded,
                                                int32_t pairs, int32_t* sums) {
  for (; pairs > 0; --pairs, columns += 2 * padded, sums += 2 * kAtATime) {
    const int8_t *w0 = weights[0], *w1 = weights[1], *w2 = weights[2];
    const int8_t *x = columns, *y = columns + padded;
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
        : [n] "r"(padded / 16)
        : "memory", "lr", "q0", "q1", "q2", "q3");
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = a2;
    sums[kAtATime] = b0;
    sums[kAtATime + 1] = b1;
    sums[kAtATime + 2] = b2;
  }
}

// `count` <= 12 output channels from o on, of `places` places.
template <class Out>
static inline void some_channels(const Layer& layer, int32_t o, int32_t count, int32_t depth,
                                 const int8_t* columns, int32_t padded, int32_t places,
                                 int32_t* sums, Out* out) {
  for (int32_t k = 0; k < count; k += 3) {
    const int8_t* first = layer.weight + (o + k) * depth;
    const int8_t* second = k + 1 < count ? first + depth : first;
    const int8_t* weights[3] = {first, second, k + 2 < count ? second + depth : first};
    sum_pairs(weights, columns, padded, (places + 1) / 2, sums + k);
  }
  for (int32_t k = 0; k < count; k += 4) {
    const int32_t n = count - k < 4 ? count - k : 4;
    finish_places(layer, o + k, n, sums + k, kAtATime, places, out + o + k, layer.out_channels);
  }
}

// scratch: columns of some places and their sums.
template <class In, class Out>
static inline void convolution_row(const Layer& layer, const In* const* rows, Out* out,
                                   int16_t* scratch) {
  const int32_t depth =
      layer.window.kernel_height * layer.window.kernel_width * layer.in_channels;
  const int32_t padded = (depth + 15) & ~15, width = layer.out_width;
  const int32_t most = (layer.scratch - 16) / (padded + 4 * kAtATime) & ~1;
  int32_t* sums = reinterpret_cast<int32_t*>(scratch);
  for (int32_t x = 0; x < width; x += most) {
    const int32_t places = width - x < most ? width - x : most;
    int8_t* columns = reinterpret_cast<int8_t*>(sums + ((places + 1) & ~1) * kAtATime);
    for (int32_t i = 0; i < places; ++i) {
      column(layer, rows, x + i, depth, padded, columns + i * padded);
    }
    if (places % 2) fill(0, padded, columns + places * padded);
    for (int32_t o = 0; o < layer.out_channels; o += kAtATime) {
      const int32_t left = layer.out_channels - o;
      some_channels(layer, o, left < kAtATime ? left : kAtATime, depth, columns, padded, places,
                    sums, out + x * layer.out_channels);
    }
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
      for (int32_t k = 0; k < depth; k += 8) {
        const mve_pred16_t lanes = vctp16q(static_cast<uint32_t>(depth - k));
        const int16x8_t w = vldrbq_z_s16(weight + k, lanes);
        sums[c] = vmladavaq_s16(sums[c], vldrhq_z_s16(rows[0] + k, lanes), w);
      }
    }
    finish_places(layer, o, n, sums, 4, 1, out + o, layer.out_channels);
  }
}

}  // namespace nn
}  // namespace sdiwm
