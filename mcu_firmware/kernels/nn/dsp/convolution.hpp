// One row of a convolution with 16-bit products, two at a time (SMLAD).
//
// Two places by two output channels: four sums, so that each widened weight and each number of a
// column is used twice. Thirty-two multiply-accumulates take 16 SMLAD, 12 loads and 8 SXTB16; a
// Cortex-M7 starts one SMLAD a cycle and another instruction beside it. llvm-mca finds 25 cycles
// for 32: weights must be loaded and widened before their use, and no register is left to do that
// earlier. Written in assembly because compilers run out of registers: fourteen are in use.
#pragma once

#include <stdint.h>

#include "columns.hpp"
#include "finish.hpp"

namespace sdiwm {
namespace nn {

struct TwoByTwo {
  int32_t a, b, c, d;  // places of the first channel, of the second
};

// sums += weights of both channels . columns[n][place][2 words], for n rounds of eight numbers.
static inline __attribute__((always_inline)) void accumulate(const int8_t* first,
                                                             const int8_t* second,
                                                             const uint32_t* columns, int32_t n,
                                                             TwoByTwo& sums) {
  uint32_t w, odd, x0, x1, y0, y1;
  asm volatile(
      "ldr %[x0], [%[u]]\n\t"
      "ldr %[w], [%[p]]\n\t"
      "1:\n\t"
      "sxtb16 %[odd], %[w], ror #8\n\t"
      "ldr %[y0], [%[u], #8]\n\t"
      "sxtb16 %[w], %[w]\n\t"
      "ldr %[x1], [%[u], #4]\n\t"
      "smlad %[a], %[w], %[x0], %[a]\n\t"
      "ldr %[y1], [%[u], #12]\n\t"
      "smlad %[b], %[w], %[y0], %[b]\n\t"
      "smlad %[b], %[odd], %[y1], %[b]\n\t"
      "ldr %[w], [%[q]]\n\t"
      "smlad %[a], %[odd], %[x1], %[a]\n\t"
      "sxtb16 %[odd], %[w], ror #8\n\t"
      "smlad %[d], %[odd], %[y1], %[d]\n\t"
      "sxtb16 %[w], %[w]\n\t"
      "smlad %[c], %[odd], %[x1], %[c]\n\t"
      "ldr %[x1], [%[u], #20]\n\t"
      "smlad %[c], %[w], %[x0], %[c]\n\t"
      "smlad %[d], %[w], %[y0], %[d]\n\t"
      "ldr %[x0], [%[u], #16]\n\t"
      "ldr %[w], [%[p], #4]\n\t"
      "sxtb16 %[odd], %[w], ror #8\n\t"
      "sxtb16 %[w], %[w]\n\t"
      "ldr %[y0], [%[u], #24]\n\t"
      "smlad %[a], %[w], %[x0], %[a]\n\t"
      "ldr %[y1], [%[u], #28]\n\t"
      "smlad %[a], %[odd], %[x1], %[a]\n\t"
      "smlad %[b], %[w], %[y0], %[b]\n\t"
      "ldr %[w], [%[q], #4]\n\t"
      "smlad %[b], %[odd], %[y1], %[b]\n\t"
      "sxtb16 %[odd], %[w], ror #8\n\t"
      "smlad %[d], %[odd], %[y1], %[d]\n\t"
      "sxtb16 %[w], %[w]\n\t"
      "smlad %[c], %[odd], %[x1], %[c]\n\t"
      "add %[u], %[u], #32\n\t"
      "smlad %[c], %[w], %[x0], %[c]\n\t"
      "subs %[n], %[n], #1\n\t"
      "add %[p], %[p], #8\n\t"
      "add %[q], %[q], #8\n\t"
      "smlad %[d], %[w], %[y0], %[d]\n\t"
      "ldr %[x0], [%[u]]\n\t"
      "ldr %[w], [%[p]]\n\t"
      "bne 1b"
      : [a] "+r"(sums.a), [b] "+r"(sums.b), [c] "+r"(sums.c), [d] "+r"(sums.d), [w] "=&r"(w),
        [odd] "=&r"(odd), [x0] "=&r"(x0), [x1] "=&r"(x1), [y0] "=&r"(y0), [y1] "=&r"(y1),
        [p] "+r"(first), [q] "+r"(second), [u] "+r"(columns), [n] "+r"(n)
      :
      : "cc", "memory");
}

// All output channels of two places side by side, from their columns.
template <class Out>
static inline void two_places(const Layer& layer, const uint32_t* columns, int32_t depth,
                              Out* out) {
  const Finisher finisher(layer);
  const int32_t channels = layer.out_channels, rounds = padded_depth(depth) / 8;
  const int8_t* weight = layer.weight;
  const Scale* scale = layer.scale;
  for (int32_t o = 0; o + 2 <= channels; o += 2, weight += 2 * depth, scale += 2, out += 2) {
    TwoByTwo sums = {scale[0].bias, scale[0].bias, scale[1].bias, scale[1].bias};
    accumulate(weight, weight + depth, columns, rounds, sums);
    out[0] = finisher.template operator()<Out>(sums.a, scale[0]);
    out[1] = finisher.template operator()<Out>(sums.c, scale[1]);
    out[channels] = finisher.template operator()<Out>(sums.b, scale[0]);
    out[channels + 1] = finisher.template operator()<Out>(sums.d, scale[1]);
  }
  if (channels % 2) {
    TwoByTwo sums = {scale->bias, scale->bias, 0, 0};
    accumulate(weight, weight, columns, rounds, sums);
    out[0] = finisher.template operator()<Out>(sums.a, *scale);
    out[channels] = finisher.template operator()<Out>(sums.b, *scale);
  }
}

// sums[channel] += weight_channel . column[n][2 words], for four channels `stride` apart.
static inline void four_channels(const int8_t* weight, int32_t stride, const uint32_t* column,
                                 int32_t groups, int32_t (&sums)[4]) {
  for (int32_t n = 0; n < groups; ++n) {
    const uint32_t even = column[2 * n], odd = column[2 * n + 1];
#pragma GCC unroll 4
    for (int32_t c = 0; c < 4; ++c) {
      const uint32_t w = load_word(weight + c * stride + 4 * n);
      asm("smlad %0, %1, %2, %0" : "+r"(sums[c]) : "r"(even_bytes(w)), "r"(even));
      asm("smlad %0, %1, %2, %0" : "+r"(sums[c]) : "r"(odd_bytes(w)), "r"(odd));
    }
  }
}

// All output channels of one place, from its column; the last four may be done twice.
template <class Out>
static inline void one_place(const Layer& layer, const uint32_t* column, int32_t depth, Out* out) {
  const Finisher finisher(layer);
  const int32_t channels = layer.out_channels, groups = padded_depth(depth) / 4;
  const int32_t step = channels < 4 ? 1 : 4;
  for (int32_t o = 0; o < channels; o += step) {
    const int32_t first = o + step <= channels ? o : channels - step;
    int32_t sums[4] = {};
    four_channels(layer.weight + first * depth, step == 4 ? depth : 0, column, groups, sums);
    for (int32_t k = first; k < first + step; ++k) {
      const Scale& scale = layer.scale[k];
      out[k] = finisher.template operator()<Out>(sums[k - first] + scale.bias, scale);
    }
  }
}

// scratch: two columns of 16-bit numbers and one of bytes.
template <class In, class Out>
static inline void convolution_row(const Layer& layer, const In* const* rows, Out* out,
                                   int16_t* scratch) {
  const int32_t depth =
      layer.window.kernel_height * layer.window.kernel_width * layer.in_channels;
  uint32_t* columns = reinterpret_cast<uint32_t*>(scratch);
  int8_t* bytes = reinterpret_cast<int8_t*>(columns + padded_depth(depth) + 4);
  int32_t x = 0;
  for (; x + 2 <= layer.out_width; x += 2) {
    widened_column(layer, rows, x, depth, bytes, columns, 4);
    widened_column(layer, rows, x + 1, depth, bytes, columns + 2, 4);
    two_places(layer, columns, depth, out);
    out += 2 * layer.out_channels;
  }
  if (x < layer.out_width) {
    widened_column(layer, rows, x, depth, bytes, columns, 2);
    one_place(layer, columns, depth, out);
  }
}

// A fully connected layer of 16-bit numbers: one place.
template <class Out>
static inline void convolution_row(const Layer& layer, const int16_t* const* rows, Out* out,
                                   int16_t* scratch) {
  const int32_t depth = layer.in_channels;
  uint32_t* column = reinterpret_cast<uint32_t*>(scratch);
  for (int32_t k = 0; k < padded_depth(depth); k += 4) {
    uint16_t x[4] = {};
    for (int32_t i = 0; i < 4 && k + i < depth; ++i) {
      x[i] = static_cast<uint16_t>(rows[0][k + i]);
    }
    column[k / 2] = x[0] | static_cast<uint32_t>(x[2]) << 16;
    column[k / 2 + 1] = x[1] | static_cast<uint32_t>(x[3]) << 16;
  }
  one_place(layer, column, depth, out);
}

}  // namespace nn
}  // namespace sdiwm
