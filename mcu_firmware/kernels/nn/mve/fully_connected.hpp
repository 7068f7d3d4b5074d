// A convolution whose output is a single place: a matrix of 8-bit weights by a vector.
//
// Every weight is loaded for one product, so loads bound it: sixteen products in four cycles.
#pragma once

#include <arm_mve.h>
#include <stdint.h>
#include <string.h>

#include "columns.hpp"
#include "finish.hpp"

namespace sdiwm {
namespace nn {

static inline int32_t dot(const int8_t* weight, const int8_t* x, int32_t depth, int32_t sum) {
  for (int32_t k = 0; k < depth; k += 16) {
    const mve_pred16_t lanes = vctp8q(static_cast<uint32_t>(depth - k));
    sum = vmladavaq_s8(sum, vldrbq_z_s8(x + k, lanes), vldrbq_z_s8(weight + k, lanes));
  }
  return sum;
}

static inline int32_t dot(const int8_t* weight, const int16_t* x, int32_t depth, int32_t sum) {
  for (int32_t k = 0; k < depth; k += 8) {
    const mve_pred16_t lanes = vctp16q(static_cast<uint32_t>(depth - k));
    sum = vmladavaq_s16(sum, vldrhq_z_s16(x + k, lanes), vldrbq_z_s16(weight + k, lanes));
  }
  return sum;
}

template <class X, class Out>
static inline void multiply_matrix(const Layer& layer, int32_t depth, const X* x, Out* out) {
  for (int32_t o = 0; o < layer.out_channels; o += kSums) {
    const int32_t left = layer.out_channels - o, n = left < kSums ? left : kSums;
    alignas(16) int32_t sums[kSums] = {};
    for (int32_t c = 0; c < n; ++c) {
      sums[c] = dot(layer.weight + (o + c) * depth, x, depth, layer.scale[o + c].bias);
    }
    finish_places(layer, o, n, sums, 1, out + o, layer.out_channels);
  }
}

// scratch: the window.
template <class In, class Out>
static inline void fully_connected_row(const Layer& layer, const In* const* rows, Out* out,
                                       int16_t* scratch) {
  int8_t* x = reinterpret_cast<int8_t*>(scratch);
  collect<BytePixels>(layer, rows, 0, 1, x);
  multiply_matrix(layer, depth_of(layer), x, out);
}

template <class Out>
static inline void fully_connected_row(const Layer& layer, const int16_t* const* rows, Out* out,
                                       int16_t*) {
  multiply_matrix(layer, layer.in_channels, rows[0], out);
}

}  // namespace nn
}  // namespace sdiwm
