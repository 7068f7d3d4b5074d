// A convolution whose output is a single place: a matrix of 8-bit weights by a vector.
//
// Four output channels at a time share the numbers of the window. Four weights of one are a load,
// two SXTB16 and two SMLAD: widening bounds it, about one multiply-accumulate a cycle.
#pragma once

#include <stdint.h>
#include <string.h>

#include "../windows.hpp"
#include "finish.hpp"

namespace sdiwm {
namespace nn {

// The window as bytes.
struct BytePixels {
  using Element = int8_t;

  template <class In>
  static inline void copy(const In* from, int32_t n, int8_t* to) {
    for (; n > 0; --n) *to++ = static_cast<int8_t>(seen(*from++));
  }

  static inline void fill(int32_t value, int32_t n, int8_t* to) {
    memset(to, value, static_cast<uint32_t>(n));
  }
};

// Numbers 0 and 2, 1 and 3 of four.
struct Four {
  uint32_t even, odd;

  explicit Four(const int8_t* x) : even(even_bytes(load_word(x))), odd(odd_bytes(load_word(x))) {}
  explicit Four(const int16_t* x)
      : even(lower_halves(load_word(x), load_word(x + 2))),
        odd(upper_halves(load_word(x), load_word(x + 2))) {}
};

// All output channels; x[depth], padded with zeros to a multiple of four. The last four channels
// may be done twice.
template <class X, class Out>
static inline void multiply_matrix(const Layer& layer, int32_t depth, const X* x, Out* out) {
  const Finisher finisher(layer);
  const int32_t channels = layer.out_channels, step = channels < 4 ? 1 : 4;
  const int32_t stride = step == 4 ? depth : 0;
  for (int32_t o = 0; o < channels; o += step) {
    const int32_t first = o + step <= channels ? o : channels - step;
    const int8_t* weight = layer.weight + first * depth;
    int32_t sums[4] = {};
    for (int32_t k = 0; k < depth; k += 4) {
      const Four numbers(x + k);
#pragma GCC unroll 4
      for (int32_t c = 0; c < 4; ++c) {
        const Four own(weight + c * stride + k);
        sums[c] = smlad(own.odd, numbers.odd, smlad(own.even, numbers.even, sums[c]));
      }
    }
    for (int32_t k = first; k < first + step; ++k) {
      const Scale& scale = layer.scale[k];
      out[k] = finisher.template finish<Out>(sums[k - first] + scale.bias, factor_of(scale));
    }
  }
}

// scratch: the window.
template <class In, class Out>
static inline void fully_connected_row(const Layer& layer, const In* const* rows, Out* out,
                                       int16_t* scratch) {
  int8_t* x = reinterpret_cast<int8_t*>(scratch);
  const int32_t depth = depth_of(layer);
  collect<BytePixels>(layer, rows, 0, 1, x);
  memset(x + depth, 0, 4);
  multiply_matrix(layer, depth, x, out);
}

template <class Out>
static inline void fully_connected_row(const Layer& layer, const int16_t* const* rows, Out* out,
                                       int16_t* scratch) {
  const int32_t depth = layer.in_channels;
  memcpy(scratch, rows[0], static_cast<uint32_t>(2 * depth));
  memset(scratch + depth, 0, 8);
  multiply_matrix(layer, depth, scratch, out);
}

}  // namespace nn
}  // namespace sdiwm
