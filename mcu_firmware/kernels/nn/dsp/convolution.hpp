// One row of a convolution with 16-bit products, two at a time (SMLAD).
//
// Two places by two output channels: four sums, so that each weight and each number of a column is
// used twice. Weights of a pair of channels are widened to 16 bits once for several places. Thirty-two
// multiply-accumulates take 16 SMLAD and 16 loads; a Cortex-M7 starts one SMLAD a cycle and a load
// beside it, so the bound is 2 multiply-accumulates a cycle; llvm-mca finds 20 cycles for 32, since
// loads that move their pointer issue alone. Written in assembly because compilers run out of
// registers: fourteen are in use.
#pragma once

#include <stdint.h>

#include "columns.hpp"
#include "finish.hpp"

namespace sdiwm {
namespace nn {

struct TwoByTwo {
  int32_t a, b, c, d;  // both places of the first channel, of the second
};

// sums += weights[n][channel] . columns[n][place], words of two numbers each, for `rounds` of four n.
static inline __attribute__((always_inline)) void accumulate(const uint32_t* weights,
                                                             const uint32_t* columns,
                                                             int32_t rounds, TwoByTwo& sums) {
  uint32_t w0, w1, v0, v1, x, y, z;
  asm volatile(
      "ldr %[w0], [%[p]]\n\t"
      "ldr %[x], [%[u]]\n\t"
      "ldr %[w1], [%[p], #4]\n\t"
      "1:\n\t"
      "smlad %[a], %[w0], %[x], %[a]\n\t"
      "ldr %[y], [%[u], #4]\n\t"
      "ldr %[z], [%[u], #8]\n\t"
      "smlad %[b], %[w0], %[y], %[b]\n\t"
      "ldr %[v0], [%[p], #8]\n\t"
      "smlad %[c], %[w1], %[x], %[c]\n\t"
      "ldr %[v1], [%[p], #12]\n\t"
      "smlad %[d], %[w1], %[y], %[d]\n\t"
      "smlad %[c], %[v1], %[z], %[c]\n\t"
      "ldr %[w1], [%[p], #20]\n\t"
      "ldr %[w0], [%[p], #16]\n\t"
      "ldr %[y], [%[u], #12]\n\t"
      "smlad %[a], %[v0], %[z], %[a]\n\t"
      "smlad %[b], %[v0], %[y], %[b]\n\t"
      "ldr %[x], [%[u], #16]\n\t"
      "smlad %[d], %[v1], %[y], %[d]\n\t"
      "ldr %[y], [%[u], #20]\n\t"
      "smlad %[a], %[w0], %[x], %[a]\n\t"
      "ldr %[v1], [%[p], #28]\n\t"
      "smlad %[c], %[w1], %[x], %[c]\n\t"
      "ldr %[v0], [%[p], #24]\n\t"
      "smlad %[b], %[w0], %[y], %[b]\n\t"
      "ldr %[z], [%[u], #24]\n\t"
      "smlad %[d], %[w1], %[y], %[d]\n\t"
      "smlad %[c], %[v1], %[z], %[c]\n\t"
      "ldr %[y], [%[u], #28]\n\t"
      "ldr %[w0], [%[p], #32]!\n\t"
      "ldr %[x], [%[u], #32]!\n\t"
      "smlad %[a], %[v0], %[z], %[a]\n\t"
      "ldr %[w1], [%[p], #4]\n\t"
      "smlad %[d], %[v1], %[y], %[d]\n\t"
      "subs %[n], %[n], #1\n\t"
      "smlad %[b], %[v0], %[y], %[b]\n\t"
      "bne 1b"
      : [a] "+r"(sums.a), [b] "+r"(sums.b), [c] "+r"(sums.c), [d] "+r"(sums.d), [w0] "=&r"(w0),
        [w1] "=&r"(w1), [v0] "=&r"(v0), [v1] "=&r"(v1), [x] "=&r"(x), [y] "=&r"(y), [z] "=&r"(z),
        [p] "+r"(weights), [u] "+r"(columns), [n] "+r"(rounds)
      :
      : "cc", "memory");
}

// sums[pair] of two channels with these biases. Not inlined, as its registers are all taken.
static __attribute__((noinline)) void sum_pairs(const uint32_t* weights, const uint32_t* columns, int32_t padded,
                             int32_t pairs, int32_t first_bias, int32_t second_bias,
                             TwoByTwo* sums) {
  for (const TwoByTwo* end = sums + pairs; sums < end; ++sums, columns += padded) {
    TwoByTwo own = {first_bias, first_bias, second_bias, second_bias};
    accumulate(weights, columns, padded / 8, own);
    *sums = own;
  }
}

// Places of one channel, whose sums are the first or the last two of every TwoByTwo.
template <class Out, bool kFull>
static __attribute__((noinline)) void finish_pairs(const Finisher finisher, const Scale& scale, const int32_t* sums,
                                int32_t pairs, int32_t channels, Out* out) {
  const int32_t shift = scale.shift, multiplier = scale.multiplier;
  for (const int32_t* end = sums + 4 * pairs; sums < end; sums += 4, out += 2 * channels) {
    out[0] = finisher.template finish<Out, kFull>(sums[0], shift, multiplier);
    out[channels] = finisher.template finish<Out, kFull>(sums[1], shift, multiplier);
  }
}

// sums[channel] += weight_channel . column[n][2 words, 2 unused], for four channels `stride` apart.
static inline void four_channels(const int8_t* weight, int32_t stride, const uint32_t* column,
                                 int32_t groups, int32_t (&sums)[4]) {
  for (int32_t n = 0; n < groups; ++n) {
    const uint32_t even = column[4 * n], odd = column[4 * n + 2];
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
static inline void one_place(const Layer& layer, const uint32_t* column, int32_t padded,
                             int32_t depth, Out* out) {
  const Finisher finisher(layer);
  const int32_t channels = layer.out_channels, groups = padded / 4;
  const int32_t step = channels < 4 ? 1 : 4;
  for (int32_t o = 0; o < channels; o += step) {
    const int32_t first = o + step <= channels ? o : channels - step;
    int32_t sums[4] = {};
    four_channels(layer.weight + first * depth, step == 4 ? depth : 0, column, groups, sums);
    for (int32_t k = first; k < first + step; ++k) {
      const Scale& scale = layer.scale[k];
      out[k] = finisher.template finish<Out>(sums[k - first] + scale.bias, scale.shift, scale.multiplier);
    }
  }
}

// Pairs of places whose columns are in memory at a time: of a row as few parts as scratch holds.
static inline int32_t pairs_at_a_time(const Layer& layer, int32_t padded) {
  const int32_t most = (layer.scratch - 4 * padded - 64) / (4 * padded + 16);
  const int32_t pairs = layer.out_width / 2;
  const int32_t parts = (pairs + most - 1) / most;
  return parts > 0 ? (pairs + parts - 1) / parts : 0;
}

// scratch: weights of two channels in 16 bits, sums and columns of some pairs of places.
template <class In, class Out>
static inline void convolution_row(const Layer& layer, const In* const* rows, Out* out,
                                   int16_t* scratch) {
  const Finisher finisher(layer);
  const auto finish =
      finisher.full<Out>() ? finish_pairs<Out, true> : finish_pairs<Out, false>;
  const int32_t depth =
      layer.window.kernel_height * layer.window.kernel_width * layer.in_channels;
  const int32_t padded = padded_depth(depth), channels = layer.out_channels;
  uint32_t* weights = reinterpret_cast<uint32_t*>(scratch);
  const int32_t whole = pairs_at_a_time(layer, padded);
  TwoByTwo* sums = reinterpret_cast<TwoByTwo*>(weights + padded + 4);
  uint32_t* columns = reinterpret_cast<uint32_t*>(sums + whole);
  int8_t* bytes = reinterpret_cast<int8_t*>(weights);
  int32_t x = 0;
  while (x + 2 <= layer.out_width) {
    const int32_t left = (layer.out_width - x) / 2, pairs = left < whole ? left : whole;
    for (int32_t i = 0; i < 2 * pairs; ++i) {
      uint32_t* to = columns + (i / 2) * padded + i % 2;
      widened_column(layer, rows, x + i, depth, bytes, to);
    }
    for (int32_t o = 0; o < channels; o += 2) {
      const int32_t next = o + 1 < channels ? o + 1 : o;  // the last one alone is done twice
      widen(layer.weight + o * depth, padded, weights);
      widen(layer.weight + next * depth, padded, weights + 1);
      sum_pairs(weights, columns, padded, pairs, layer.scale[o].bias, layer.scale[next].bias, sums);
      Out* to = out + x * channels;
      finish(finisher, layer.scale[o], &sums->a, pairs, channels, to + o);
      finish(finisher, layer.scale[next], &sums->c, pairs, channels, to + next);
    }
    x += 2 * pairs;
  }
  if (x < layer.out_width) {
    widened_column(layer, rows, x, depth, bytes, columns);
    one_place(layer, columns, padded, depth, out + x * channels);
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
    column[k] = x[0] | static_cast<uint32_t>(x[2]) << 16;
    column[k + 2] = x[1] | static_cast<uint32_t>(x[3]) << 16;
  }
  one_place(layer, column, padded_depth(depth), depth, out);
}

}  // namespace nn
}  // namespace sdiwm
