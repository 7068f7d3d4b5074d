// Sums of three rows for eight candidates: the loop that all time goes into.
//
// Sixteen units of two candidates cost six VMLADAVA, three loads of weights and two of units: 11
// instructions for 96 multiply-accumulates. A Cortex-M55 does a vector instruction in two cycles and
// overlaps a load with a multiplication, so the multiplier bounds: 8 multiply-accumulates a cycle.
#pragma once

#include <stdint.h>

#include "weights.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// Sums of one row: of the even candidates, then of the odd ones, as narrowing interleaves them.
struct Sums {
  alignas(16) int32_t candidate[2][kTile / 2];
};

// Three rows, two candidates, while they are in registers.
struct Partial {
  int32_t even0, odd0, even1, odd1, even2, odd2;
};

// partial += weight . units. In assembly, since compilers keep the addresses of all the loads in
// registers, and then on the stack; the sums of VMLADAVA are in even registers.
template <int kVectors>
static inline __attribute__((always_inline)) void accumulate(const Rows<kVectors>& rows,
                                                             const int8_t* even, const int8_t* odd,
                                                             Partial& partial) {
  const int8_t* weight = rows.weight[0][0];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    asm("vldrw.u32 q0, [%[even]], #16\n\t"
        "vldrw.u32 q2, [%[w]], #16\n\t"
        "vmlava.s8 %[a0], q0, q2\n\t"
        "vldrw.u32 q1, [%[odd]], #16\n\t"
        "vmlava.s8 %[b0], q1, q2\n\t"
        "vldrw.u32 q3, [%[w]], #16\n\t"
        "vmlava.s8 %[a1], q0, q3\n\t"
        "vldrw.u32 q2, [%[w]], #16\n\t"
        "vmlava.s8 %[b1], q1, q3\n\t"
        "vmlava.s8 %[a2], q0, q2\n\t"
        "vmlava.s8 %[b2], q1, q2"
        : [a0] "+Te"(partial.even0), [b0] "+Te"(partial.odd0), [a1] "+Te"(partial.even1),
          [b1] "+Te"(partial.odd1), [a2] "+Te"(partial.even2), [b2] "+Te"(partial.odd2),
          [even] "+r"(even), [odd] "+r"(odd), [w] "+r"(weight)
        :
        : "memory", "q0", "q1", "q2", "q3");
  }
}

static inline void store(int32_t even, int32_t odd, int pair, Sums& sums) {
  sums.candidate[0][pair] = even;
  sums.candidate[1][pair] = odd;
}

// sums[row] = weight . units for all candidates; `stride` is from one's units to the next one's.
template <int kVectors>
static inline void three_rows(const Rows<kVectors>& rows, const int8_t* units, int stride,
                              Sums (&sums)[kRows]) {
  for (int pair = 0; pair < kTile / 2; ++pair) {
    const int8_t* even = units + 2 * pair * stride;
    Partial partial = {};
    accumulate(rows, even, even + stride, partial);
    store(partial.even0, partial.odd0, pair, sums[0]);
    store(partial.even1, partial.odd1, pair, sums[1]);
    store(partial.even2, partial.odd2, pair, sums[2]);
  }
}

// Sums and bias -> int16 of the eight candidates, in their order.
static inline int16x8_t requantised(const Sums& sums, int32_t bias, int32_t shift,
                                    int16_t multiplier) {
  const int32x4_t even = vaddq_n_s32(vldrwq_s32(sums.candidate[0]), bias);
  const int32x4_t odd = vaddq_n_s32(vldrwq_s32(sums.candidate[1]), bias);
  const int16x8_t low = vqmovnbq_s32(vdupq_n_s16(0), vshlq_r_s32(even, -shift));
  return vqrdmulhq_n_s16(vqmovntq_s32(low, vshlq_r_s32(odd, -shift)), multiplier);
}

static inline int16x8_t requantised(const Sums& sums, const Scale& scale) {
  return requantised(sums, scale.bias, scale.shift, scale.multiplier);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
