// Mean of each channel over the whole picture.
#pragma once

#include <stdint.h>

#include "../../fixed_point.hpp"
#include "../rows.hpp"

namespace sdiwm {
namespace nn {

struct Mean {
  int32_t bias;
  int32_t shift;
  int32_t multiplier;
};

// x[places][channels] -> y[channels]; sums[channels] is scratch.
template <class In>
static inline void global_average(const Mean& mean, const In* x, int32_t places, int32_t channels,
                                  int32_t* sums, int16_t* y) {
  for (int32_t c = 0; c < channels; ++c) sums[c] = mean.bias;
  for (int32_t place = 0; place < places; ++place, x += channels) {
    for (int32_t c = 0; c < channels; ++c) sums[c] += seen(x[c]);
  }
  for (int32_t c = 0; c < channels; ++c) {
    y[c] = static_cast<int16_t>(requantise(sums[c], mean.shift, mean.multiplier));
  }
}

}  // namespace nn
}  // namespace sdiwm
