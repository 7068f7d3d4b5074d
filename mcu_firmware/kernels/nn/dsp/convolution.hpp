// One row of a convolution with 16-bit products, two at a time (SMLAD).
//
// Two output channels by three places: six sums, whose words need five loads. A Cortex-M7 starts
// one SMLAD a cycle and another instruction beside it: the multiplier bounds, 2
// multiply-accumulates a cycle. llvm-mca finds 26 cycles for the 48 of one round, two of them the
// loop's. No instruction waits for a load before it, and none moves its own pointer, which would
// issue alone.
#pragma once

#include <stdint.h>

#include "columns.hpp"
#include "finish.hpp"
#include "wide.hpp"

namespace sdiwm {
namespace nn {

constexpr int32_t kPlaces = 3;  // at a time

struct TwoByThree {
  int32_t a0, a1, a2, b0, b1, b2;  // places of the first channel, of the second
};

// One word of two numbers of three windows: those of the last in %[X]. In between, the next.
#define SDIWM_WORD(X, Y, THIS, NEXT) \
  "smlad %[a0], %[v], " X ", %[a0]\n\t" \
  "ldr " Y ", [%[u], %[apart]]\n\t" \
  "smlad %[b0], %[w], " X ", %[b0]\n\t" \
  "ldr " X ", [%[u], %[apart], lsl #1]\n\t" \
  "smlad %[a1], %[v], " Y ", %[a1]\n\t" \
  "add %[u], %[u], #4\n\t" \
  "smlad %[a2], %[v], " X ", %[a2]\n\t" \
  "ldr %[v], [%[p], #" THIS "]\n\t" \
  "smlad %[b1], %[w], " Y ", %[b1]\n\t" \
  "ldr " Y ", [%[u]]\n\t" \
  "smlad %[b2], %[w], " X ", %[b2]\n\t" \
  "ldr %[w], [%[p], #" NEXT "]\n\t"

// sums += weights[word][channel] . windows[place][word], places `apart` bytes apart, for `steps` of
// two words. In assembly because compilers run out of registers: all fourteen are in use.
static inline __attribute__((always_inline)) void accumulate(const int16_t* weights,
                                                             const int16_t* windows, int32_t apart,
                                                             int32_t steps, TwoByThree& sums) {
  uint32_t v, w, x, y;
  asm volatile(
      "ldr %[v], [%[p]]\n\t"
      "ldr %[x], [%[u]]\n\t"
      "ldr %[w], [%[p], #4]\n\t"
      "lsrs %[n], %[n], #1\n\t"
      "bcc 1f\n\t"
      "sub %[p], %[p], #16\n\t"  // an odd step first
      "adds %[n], %[n], #1\n\t"
      "b 2f\n\t"
      "1:\n\t"
      SDIWM_WORD("%[x]", "%[y]", "8", "12")
      SDIWM_WORD("%[y]", "%[x]", "16", "20")
      "2:\n\t"
      SDIWM_WORD("%[x]", "%[y]", "24", "28")
      SDIWM_WORD("%[y]", "%[x]", "32", "36")
      "add %[p], %[p], #32\n\t"
      "subs %[n], %[n], #1\n\t"
      "bne 1b"
      : [a0] "+r"(sums.a0), [a1] "+r"(sums.a1), [a2] "+r"(sums.a2), [b0] "+r"(sums.b0),
        [b1] "+r"(sums.b1), [b2] "+r"(sums.b2), [v] "=&r"(v), [w] "=&r"(w), [x] "=&r"(x),
        [y] "=&r"(y), [p] "+r"(weights), [u] "+r"(windows), [n] "+r"(steps)
      : [apart] "r"(apart)
      : "cc", "memory");
}
#undef SDIWM_WORD

// Sums -> integers of type Out, as `Finisher::finish` makes them one by one. The shifter bounds:
// three operations a sum; multiplications run beside them.
template <class Out>
static inline __attribute__((always_inline)) void finish(TwoByThree& s, uint32_t first,
                                                         uint32_t second, int32_t offset) {
  asm("asr %0, %0, %6\n\t"
      "asr %1, %1, %6\n\t"
      "asr %2, %2, %6\n\t"
      "ssat %0, #16, %0\n\t"
      "ssat %1, #16, %1\n\t"
      "ssat %2, #16, %2\n\t"
      "smlabt %0, %0, %6, %8\n\t"
      "asr %3, %3, %7\n\t"
      "smlabt %1, %1, %6, %8\n\t"
      "asr %4, %4, %7\n\t"
      "smlabt %2, %2, %6, %8\n\t"
      "asr %5, %5, %7\n\t"
      "ssat %3, #16, %3\n\t"
      "ssat %4, #16, %4\n\t"
      "ssat %5, #16, %5\n\t"
      "ssat %0, %9, %0, asr #15\n\t"
      "smlabt %3, %3, %7, %8\n\t"
      "ssat %1, %9, %1, asr #15\n\t"
      "smlabt %4, %4, %7, %8\n\t"
      "ssat %2, %9, %2, asr #15\n\t"
      "smlabt %5, %5, %7, %8\n\t"
      "ssat %3, %9, %3, asr #15\n\t"
      "ssat %4, %9, %4, asr #15\n\t"
      "ssat %5, %9, %5, asr #15"
      : "+r"(s.a0), "+r"(s.a1), "+r"(s.a2), "+r"(s.b0), "+r"(s.b1), "+r"(s.b2)
      : "r"(first), "r"(second), "r"(offset), "i"(8 * sizeof(Out)));
}

// Channels o and o + 1 of `places` places.
template <class Out, bool kFull>
static __attribute__((noinline)) void two_channels(const Layer& layer, int32_t o,
                                                   const int16_t* windows, int32_t places,
                                                   Out* out) {
  const Finisher finisher(layer);
  const int32_t steps = words_of(depth_of(layer)) / 2, channels = layer.out_channels;
  const int32_t apart = 2 * layer.apart, offset = finisher.offset;
  const int16_t* weights = layer.wide + o * steps * 4;
  const int32_t first_bias = layer.scale[o].bias, second_bias = layer.scale[o + 1].bias;
  const uint32_t first = factor_of(layer.scale[o]), second = factor_of(layer.scale[o + 1]);
  const int32_t next = o + 1 < channels ? 1 : 0;  // an odd last channel overwrites what is none
  const auto store = [&](int32_t a, int32_t b, Out* to) {
    to[next] = static_cast<Out>(kFull ? b : clamp(b, layer.low, layer.high));
    to[0] = static_cast<Out>(kFull ? a : clamp(a, layer.low, layer.high));
  };
  for (out += o;; out += kPlaces * channels) {
    TwoByThree s = {first_bias, first_bias, first_bias, second_bias, second_bias, second_bias};
    accumulate(weights, windows, apart, steps, s);
    finish<Out>(s, first, second, offset);
    store(s.a0, s.b0, out);
    if (places < 2) break;
    store(s.a1, s.b1, out + channels);
    if (places < 3) break;
    store(s.a2, s.b2, out + 2 * channels);
    places -= kPlaces;
    if (places <= 0) break;
    windows += kPlaces * (apart / 2);
  }
}

// scratch: windows of some places, as many as layer.places.
template <class In, class Out>
static inline void convolution_row(const Layer& layer, const In* const* rows, Out* out,
                                   int16_t* scratch) {
  const auto channels =
      Finisher(layer).full<Out>() ? two_channels<Out, true> : two_channels<Out, false>;
  for (int32_t x = 0; x < layer.out_width; x += layer.places) {
    const int32_t left = layer.out_width - x, places = left < layer.places ? left : layer.places;
    collect<WidePixels>(layer, rows, x, places, scratch);
    for (int32_t o = 0; o < layer.out_channels; o += 2) {
      channels(layer, o, scratch, places, out + x * layer.out_channels);
    }
  }
}

}  // namespace nn
}  // namespace sdiwm
