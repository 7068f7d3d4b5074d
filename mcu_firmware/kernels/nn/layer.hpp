// The constants of a convolution, depthwise convolution or fully connected layer.
#pragma once

#include <stdint.h>

#include "../fixed_point.hpp"
#include "window.hpp"

namespace sdiwm {
namespace nn {

// What makes an integer of the sum of one output channel. `shift` lies where a register shift of
// Arm reads it when shift and multiplier are loaded as one word.
struct Scale {
  int32_t bias;
  int16_t shift;
  int16_t multiplier;
};

struct Layer {
  Window window;
  int32_t in_width, in_channels;
  int32_t out_width, out_channels;
  int32_t padding;  // the integer outside the picture
  int32_t zero;     // added after requantisation
  int32_t low, high;
  const int8_t* weight;  // [O][kh][kw][I], [O][kw][kh][I] if `shared`; depthwise [kh][kw][C]
  const int16_t* wide;   // weights of a convolution as Armv7E-M takes them
  const Scale* scale;    // [O] and zeros up to a multiple of eight
  const int8_t* table;   // [256], replaces each 8-bit result; null for none
  int32_t places;        // of the output, whose windows are in memory at a time
  int32_t apart;         // elements in memory from one window to the next
  int32_t shared;        // whether windows overlap in memory, column of pixels by column
};

// Sum of output channel `o` -> its integer.
static inline int32_t finish(const Layer& layer, int32_t o, int32_t sum) {
  const int32_t y = requantise(sum, layer.scale[o].shift, layer.scale[o].multiplier) + layer.zero;
  return clamp(y, layer.low, layer.high);
}

}  // namespace nn
}  // namespace sdiwm
