// The largest number of every channel of a picture, sixteen channels at a time.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

namespace sdiwm {
namespace nn {

// x[places][channels] -> largest[channels].
static inline void largest_of_channels(const int8_t* x, int32_t places, int32_t channels,
                                       int8_t* largest) {
  for (int32_t c = 0; c < channels; c += 16) {
    const mve_pred16_t lanes = vctp8q(static_cast<uint32_t>(channels - c));
    const int8_t* from = x + c;
    int8x16_t most = vldrbq_z_s8(from, lanes);
    for (int32_t place = places; place > 0; --place, from += channels) {
      most = vmaxq_s8(most, vldrbq_z_s8(from, lanes));
    }
    vstrbq_p_s8(largest + c, most, lanes);
  }
}

}  // namespace nn
}  // namespace sdiwm
