// The fastest that this instruction set multiplies and accumulates, in registers.
#pragma once

#include <stdint.h>

namespace sdiwm {
inline namespace SDIWM_ISA {

#if defined(__AVX2__)
#define SDIWM_PEAK_BYTES 32
#define SDIWM_PEAK_INTEGERS "vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0"
#define SDIWM_PEAK_SINGLES "vmulps %2, %2, %1\n\tvaddps %1, %0, %0"
#elif defined(__SSE2__)
#define SDIWM_PEAK_BYTES 16
#define SDIWM_PEAK_INTEGERS "movdqa %2, %1\n\tpmaddwd %2, %1\n\tpaddd %1, %0"
#define SDIWM_PEAK_SINGLES "movaps %2, %1\n\tmulps %2, %1\n\taddps %1, %0"
#endif

#if defined(SDIWM_PEAK_BYTES)

typedef int32_t PeakRegister __attribute__((vector_size(SDIWM_PEAK_BYTES)));
constexpr int kPeakSums = 7;  // independent ones, with as many registers for products

// Runs `loops` rounds of independent 16-bit multiply-adds; returns how many MACs that was.
static inline int64_t peak(int64_t loops) {
  PeakRegister sums[kPeakSums] = {};
  const PeakRegister x = {};
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 7
    for (int k = 0; k < kPeakSums; ++k) {
      PeakRegister products;
      asm volatile(SDIWM_PEAK_INTEGERS : "+x"(sums[k]), "=&x"(products) : "x"(x));
    }
  }
  return loops * kPeakSums * (SDIWM_PEAK_BYTES / 2);
}

// The same in single precision: what other back ends could reach without wider registers.
static inline int64_t single_precision_peak(int64_t loops) {
  PeakRegister sums[kPeakSums] = {};
  const PeakRegister x = {};
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 7
    for (int k = 0; k < kPeakSums; ++k) {
      PeakRegister products;
      asm volatile(SDIWM_PEAK_SINGLES : "+x"(sums[k]), "=&x"(products) : "x"(x));
    }
  }
  return loops * kPeakSums * (SDIWM_PEAK_BYTES / 4);
}

#else

// Not known for this machine.
static inline int64_t peak(int64_t) { return 0; }
static inline int64_t single_precision_peak(int64_t) { return 0; }

#endif

}  // namespace SDIWM_ISA
}  // namespace sdiwm
