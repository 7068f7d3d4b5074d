// Fully connected layer with int16 activations and int8 weights, for the fusion network.
#pragma once

#include <stdint.h>

#include "fixed_point.hpp"
#include "isa.hpp"

namespace sdiwm {

// y[M] = requantise(W[M][K] x[K] + bias); the caller applies the activation.
template <int M, int K>
static inline void fully_connected_s16(const int16_t* x, const int8_t* weight, const int32_t* bias,
                                       const int32_t* shift, const int16_t* multiplier,
                                       int16_t* y) {
  for (int row = 0; row < M; ++row) {
    const int32_t sum = dot_s16<K>(x, weight + row * K, bias[row]);
    y[row] = static_cast<int16_t>(requantise(sum, shift[row], multiplier[row]));
  }
}

}  // namespace sdiwm
