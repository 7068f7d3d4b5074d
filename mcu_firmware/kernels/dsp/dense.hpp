// Sums of three rows for two candidates at once, in registers: the loop that all time goes into.
//
// A pair of units costs six SMLAD, three loads of weights and two of units: 11 instructions for 12
// multiply-accumulates. On a Cortex-M7 one SMLAD can start each cycle and a load beside it: SMLAD
// bounds, at 2 multiply-accumulates a cycle, and in this order llvm-mca finds just that, 6.0 cycles
// for 12; in most others 7. LDRD would save instructions, not cycles, since it issues alone. Written
// in assembly because compilers run out of registers: thirteen of fourteen are in use.
#pragma once

#include <stdint.h>

#include "weights.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// Sums of one row, both candidates.
struct Sums {
  int32_t first;
  int32_t second;
};

static inline Sums filled(int32_t bias) { return {bias, bias}; }

// A compiler takes an asm statement for as long as it has lines; so many are never exceeded here.
#define SDIWM_LINES_16 "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
#define SDIWM_LINES_128                                                                      \
  SDIWM_LINES_16 SDIWM_LINES_16 SDIWM_LINES_16 SDIWM_LINES_16 SDIWM_LINES_16 SDIWM_LINES_16 \
      SDIWM_LINES_16 SDIWM_LINES_16
#define SDIWM_LINES_896                                                                  \
  SDIWM_LINES_128 SDIWM_LINES_128 SDIWM_LINES_128 SDIWM_LINES_128 SDIWM_LINES_128 \
      SDIWM_LINES_128 SDIWM_LINES_128

constexpr int kUnrolled = 80;  // pairs of one asm statement, which is then as long as its lines say

// s[row] += weight[pair][row] . units[pair]; the loop is unrolled by the assembler.
template <int kPairs>
static inline __attribute__((always_inline)) void accumulate_unrolled(
    const uint32_t (*weight)[kRows], const uint32_t (*units)[kTile], Sums (&s)[kRows]) {
  uint32_t w0, w1, w2, u0, u1;
  asm("ldr %[w0], [%[w]]\n\t"
      "ldr %[u1], [%[u], #4]\n\t"
      "ldr %[u0], [%[u]]\n\t"
      "ldr %[w1], [%[w], #4]\n\t"
      ".set sdiwm_pair, 0\n\t"
      ".rept %c[n]\n\t"
      "smlad %[b0], %[w0], %[u1], %[b0]\n\t"
      "smlad %[a0], %[w0], %[u0], %[a0]\n\t"
      ".if sdiwm_pair + 1 < %c[n]\n\t"
      "ldr %[w0], [%[w], #(sdiwm_pair * 12 + 12)]\n\t"
      ".endif\n\t"
      "smlad %[a1], %[w1], %[u0], %[a1]\n\t"
      "ldr %[w2], [%[w], #(sdiwm_pair * 12 + 8)]\n\t"
      "smlad %[b1], %[w1], %[u1], %[b1]\n\t"
      ".if sdiwm_pair + 1 < %c[n]\n\t"
      "ldr %[w1], [%[w], #(sdiwm_pair * 12 + 16)]\n\t"
      ".endif\n\t"
      "smlad %[b2], %[w2], %[u1], %[b2]\n\t"
      ".if sdiwm_pair + 1 < %c[n]\n\t"
      "ldr %[u1], [%[u], #(sdiwm_pair * 8 + 12)]\n\t"
      ".endif\n\t"
      "smlad %[a2], %[w2], %[u0], %[a2]\n\t"
      ".if sdiwm_pair + 1 < %c[n]\n\t"
      "ldr %[u0], [%[u], #(sdiwm_pair * 8 + 8)]\n\t"
      ".endif\n\t"
      ".set sdiwm_pair, sdiwm_pair + 1\n\t"
      ".endr" SDIWM_LINES_896
      : [a0] "+r"(s[0].first), [b0] "+r"(s[0].second), [a1] "+r"(s[1].first),
        [b1] "+r"(s[1].second), [a2] "+r"(s[2].first), [b2] "+r"(s[2].second), [w0] "=&r"(w0),
        [w1] "=&r"(w1), [w2] "=&r"(w2), [u0] "=&r"(u0), [u1] "=&r"(u1)
      : [w] "r"(weight), [u] "r"(units), [n] "i"(kPairs)
      : "memory");
}

// The same of any width, so many pairs after the other.
template <int kPairs>
static inline __attribute__((always_inline)) void accumulate(const uint32_t (*weight)[kRows],
                                                             const uint32_t (*units)[kTile],
                                                             Sums (&s)[kRows]) {
  constexpr int kFirst = kPairs < kUnrolled ? kPairs : kUnrolled;
  accumulate_unrolled<kFirst>(weight, units, s);
  if constexpr (kPairs > kFirst) accumulate<kPairs - kFirst>(weight + kFirst, units + kFirst, s);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
