// One row of a convolution with 8-bit products, sixteen at a time (VMLAVA).
//
// Weights of two channels, up to 48 numbers each, stay in six registers while the windows of all
// places pass by; sums are in memory in between. Two places take 12 VMLAVA and 12 other
// instructions for 192 multiply-accumulates. A Cortex-M55 works two cycles on a vector and does
// a load, store or addition beside a multiplication: the multiplier bounds, 8 multiply-accumulates
// a cycle; llvm-mca finds 24.5 cycles for the 192.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

#include "columns.hpp"
#include "finish.hpp"
#include "fully_connected.hpp"

namespace sdiwm {
namespace nn {

// Sixteen numbers of the weights of channel `o` from number `k` on; zeros behind the last.
static inline int8x16_t some_weights(const Layer& layer, int32_t depth, int32_t o, int32_t k) {
  const mve_pred16_t lanes = vctp8q(static_cast<uint32_t>(depth - k));
  return vldrbq_z_s8(layer.weight + o * depth + k, lanes);
}

// sums[place][0, 1] += three vectors of each channel's weights a, b . those of the windows, for
// `pairs` pairs of places, windows `apart` bytes and sums 32 bytes apart.
static inline void add_three(int8x16_t a0, int8x16_t a1, int8x16_t a2, int8x16_t b0, int8x16_t b1,
                             int8x16_t b2, const int8_t* windows, int32_t apart, int32_t pairs,
                             int32_t* sums) {
  int32_t a, b, c, d;
  asm volatile(
      "dls lr, %[n]\n\t"
      "vldrb.u8 q6, [%[x]]\n\t"
      "ldrd %[a], %[b], [%[s]]\n\t"
      "1:\n\t"
      "vmlava.s8 %[a], %q[a0], q6\n\t"
      "vldrb.u8 q7, [%[x], #16]\n\t"
      "vmlava.s8 %[b], %q[b0], q6\n\t"
      "ldrd %[c], %[d], [%[s], #32]\n\t"
      "vmlava.s8 %[a], %q[a1], q7\n\t"
      "vldrb.u8 q6, [%[x], #32]\n\t"
      "vmlava.s8 %[b], %q[b1], q7\n\t"
      "add %[x], %[x], %[apart]\n\t"
      "vmlava.s8 %[a], %q[a2], q6\n\t"
      "vldrb.u8 q7, [%[x]]\n\t"
      "vmlava.s8 %[b], %q[b2], q6\n\t"
      "vldrb.u8 q6, [%[x], #16]\n\t"
      "vmlava.s8 %[c], %q[a0], q7\n\t"
      "strd %[a], %[b], [%[s]]\n\t"
      "vmlava.s8 %[d], %q[b0], q7\n\t"
      "ldrd %[a], %[b], [%[s], #64]!\n\t"
      "vmlava.s8 %[c], %q[a1], q6\n\t"
      "vldrb.u8 q7, [%[x], #32]\n\t"
      "vmlava.s8 %[d], %q[b1], q6\n\t"
      "add %[x], %[x], %[apart]\n\t"
      "vmlava.s8 %[c], %q[a2], q7\n\t"
      "vldrb.u8 q6, [%[x]]\n\t"
      "vmlava.s8 %[d], %q[b2], q7\n\t"
      "strd %[c], %[d], [%[s], #-32]\n\t"
      "le lr, 1b"
      : [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [x] "+r"(windows),
        [s] "+r"(sums)
      : [n] "r"(pairs), [apart] "r"(apart), [a0] "w"(a0), [a1] "w"(a1), [a2] "w"(a2), [b0] "w"(b0),
        [b1] "w"(b1), [b2] "w"(b2)
      : "memory", "lr", "q6", "q7");
}

// The same with two vectors of each channel.
static inline void add_two(int8x16_t a0, int8x16_t a1, int8x16_t b0, int8x16_t b1,
                           const int8_t* windows, int32_t apart, int32_t pairs, int32_t* sums) {
  int32_t a, b, c, d;
  asm volatile(
      "dls lr, %[n]\n\t"
      "vldrb.u8 q4, [%[x]]\n\t"
      "ldrd %[a], %[b], [%[s]]\n\t"
      "1:\n\t"
      "vmlava.s8 %[a], %q[a0], q4\n\t"
      "vldrb.u8 q5, [%[x], #16]\n\t"
      "vmlava.s8 %[b], %q[b0], q4\n\t"
      "add %[x], %[x], %[apart]\n\t"
      "vmlava.s8 %[a], %q[a1], q5\n\t"
      "vldrb.u8 q4, [%[x]]\n\t"
      "vmlava.s8 %[b], %q[b1], q5\n\t"
      "ldrd %[c], %[d], [%[s], #32]\n\t"
      "vmlava.s8 %[c], %q[a0], q4\n\t"
      "vldrb.u8 q5, [%[x], #16]\n\t"
      "vmlava.s8 %[d], %q[b0], q4\n\t"
      "strd %[a], %[b], [%[s]]\n\t"
      "vmlava.s8 %[c], %q[a1], q5\n\t"
      "add %[x], %[x], %[apart]\n\t"
      "vmlava.s8 %[d], %q[b1], q5\n\t"
      "vldrb.u8 q4, [%[x]]\n\t"
      "ldrd %[a], %[b], [%[s], #64]!\n\t"
      "strd %[c], %[d], [%[s], #-32]\n\t"
      "le lr, 1b"
      : [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [x] "+r"(windows),
        [s] "+r"(sums)
      : [n] "r"(pairs), [apart] "r"(apart), [a0] "w"(a0), [a1] "w"(a1), [b0] "w"(b0), [b1] "w"(b1)
      : "memory", "lr", "q4", "q5");
}

// The same with one vector of each of four channels; windows are sixteen bytes apart.
static inline void add_one(int8x16_t a0, int8x16_t b0, int8x16_t c0, int8x16_t d0,
                           const int8_t* windows, int32_t places, int32_t* sums) {
  int32_t a, b, c, d;
  asm volatile(
      "dls lr, %[n]\n\t"
      "vldrb.u8 q4, [%[x]], #16\n\t"
      "ldrd %[a], %[b], [%[s]]\n\t"
      "1:\n\t"
      "vmlava.s8 %[a], %q[a0], q4\n\t"
      "ldrd %[c], %[d], [%[s], #8]\n\t"
      "vmlava.s8 %[b], %q[b0], q4\n\t"
      "vmlava.s8 %[c], %q[c0], q4\n\t"
      "strd %[a], %[b], [%[s]], #32\n\t"
      "vmlava.s8 %[d], %q[d0], q4\n\t"
      "vldrb.u8 q4, [%[x]], #16\n\t"
      "ldrd %[a], %[b], [%[s]]\n\t"
      "strd %[c], %[d], [%[s], #-24]\n\t"
      "le lr, 1b"
      : [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [x] "+r"(windows),
        [s] "+r"(sums)
      : [n] "r"(places), [a0] "w"(a0), [b0] "w"(b0), [c0] "w"(c0), [d0] "w"(d0)
      : "memory", "lr", "q4");
}

// sums[place][0 ... 3] of four channels from o on, of windows of up to sixteen numbers.
static __attribute__((noinline)) void short_windows(const Layer& layer, int32_t o, int32_t depth,
                                                    const int8_t* windows, int32_t places,
                                                    int32_t* sums) {
  const int32_t last = layer.out_channels - 1;
  const int32_t p = o + 1 < last ? o + 1 : last, q = o + 2 < last ? o + 2 : last;
  const int32_t r = o + 3 < last ? o + 3 : last;
  add_one(some_weights(layer, depth, o, 0), some_weights(layer, depth, p, 0),
          some_weights(layer, depth, q, 0), some_weights(layer, depth, r, 0), windows, places,
          sums);
}

// sums[place][0, 1] of two channels: three vectors of the windows at a time, or two.
static __attribute__((noinline)) void long_windows(const Layer& layer, int32_t o, int32_t depth,
                                                   const int8_t* windows, int32_t places,
                                                   int32_t* sums) {
  const int32_t next = o + 1 < layer.out_channels ? o + 1 : o, pairs = (places + 1) / 2;
  const auto own = [&](int32_t k) { return some_weights(layer, depth, o, k); };
  const auto other = [&](int32_t k) { return some_weights(layer, depth, next, k); };
  for (int32_t k = 0; k < depth;) {
    const int32_t vectors = (depth - k + 15) / 16;
    if (vectors == 2 || vectors == 4) {
      add_two(own(k), own(k + 16), other(k), other(k + 16), windows + k, layer.apart, pairs, sums);
      k += 32;
    } else {
      add_three(own(k), own(k + 16), own(k + 32), other(k), other(k + 16), other(k + 32),
                windows + k, layer.apart, pairs, sums);
      k += 48;
    }
  }
}

// scratch: sums of eight channels and windows, of some places, as many as layer.places.
template <class In, class Out>
static inline void convolution_row(const Layer& layer, const In* const* rows, Out* out,
                                   int16_t* scratch) {
  const int32_t depth = depth_of(layer), channels = layer.out_channels;
  int32_t* sums = reinterpret_cast<int32_t*>(scratch);
  for (int32_t x = 0; x < layer.out_width; x += layer.places) {
    const int32_t left = layer.out_width - x, places = left < layer.places ? left : layer.places;
    int8_t* windows = reinterpret_cast<int8_t*>(sums + ((places + 1) & ~1) * kSums);
    collect<BytePixels>(layer, rows, x, places, windows);
    for (int32_t o = 0; o < channels; o += kSums) {
      const int32_t count = channels - o < kSums ? channels - o : kSums;
      begin_places(layer, o, places, sums);
      for (int32_t c = 0; c < count; c += depth <= 16 ? 4 : 2) {
        const auto add = depth <= 16 ? short_windows : long_windows;
        add(layer, o + c, depth, windows, places, sums + c);
      }
      finish_places(layer, o, count, sums, places, out + x * channels + o, channels);
    }
  }
}

// Weights in the form of Armv7E-M: none.
template <const int8_t* kWeight, int32_t kChannels, int32_t kDepth>
constexpr const int16_t* wide() {
  return nullptr;
}

}  // namespace nn
}  // namespace sdiwm
