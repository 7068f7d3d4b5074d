// The fastest that this instruction set multiplies and accumulates: int16 in registers.
#pragma once

#include <stdint.h>

namespace sdiwm {
inline namespace SDIWM_ISA {

// Runs `loops` rounds of independent int16 dot-product steps; returns how many MACs that was.
static inline int64_t peak(int64_t loops) {
#if defined(__SSE2__)
  typedef short Int16 __attribute__((vector_size(16)));
  Int16 sums[8] = {};
  Int16 x = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int64_t i = 0; i < loops; ++i) {
    for (int k = 0; k < 8; ++k) {
      Int16 y = x;
      asm volatile("pmaddwd %1, %0" : "+x"(y) : "x"(x));
      asm volatile("paddd %1, %0" : "+x"(sums[k]) : "x"(y));
    }
  }
  return loops * 8 * 8;
#else
  (void)loops;
  return 0;  // not known for this machine
#endif
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
