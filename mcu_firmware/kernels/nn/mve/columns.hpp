// Pixels as int8, as VMLAVA takes them.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

#include "../windows.hpp"

namespace sdiwm {
namespace nn {

struct BytePixels {
  using Element = int8_t;

  // n elements of a picture, sixteen in three instructions. In assembly for the loop that masks
  // its last round by itself.
  template <class In>
  static inline void copy(const In* from, int32_t n, int8_t* to) {
    const uint8x16_t flip = vdupq_n_u8(static_cast<uint8_t>(-seen(In{0})));
    asm volatile(
        "dlstp.8 lr, %[n]\n\t"
        "1:\n\t"
        "vldrb.u8 q0, [%[from]], #16\n\t"
        "veor q0, q0, %q[flip]\n\t"
        "vstrb.u8 q0, [%[to]], #16\n\t"
        "letp lr, 1b"
        : [from] "+r"(from), [to] "+r"(to)
        : [n] "r"(n), [flip] "w"(flip)
        : "memory", "lr", "q0");
  }

  static inline void fill(int32_t value, int32_t n, int8_t* to) {
    for (; n > 0; n -= 16, to += 16) {
      const mve_pred16_t lanes = vctp8q(static_cast<uint32_t>(n));
      vstrbq_p_s8(to, vdupq_n_s8(static_cast<int8_t>(value)), lanes);
    }
  }
};

}  // namespace nn
}  // namespace sdiwm
