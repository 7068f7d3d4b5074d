// The largest number of every channel of a picture.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

// x[places][channels] -> largest[channels].
static inline void largest_of_channels(const int8_t* x, int32_t places, int32_t channels,
                                       int8_t* largest) {
  for (int32_t c = 0; c < channels; ++c) largest[c] = x[c];
  for (int32_t place = 1; place < places; ++place) {
    x += channels;
    for (int32_t c = 0; c < channels; ++c) largest[c] = x[c] > largest[c] ? x[c] : largest[c];
  }
}

}  // namespace nn
}  // namespace sdiwm
