// Windows of output places as columns of 16-bit numbers, in the order in which SXTB16 widens.
//
// Columns of two places alternate word by word, and so do weights of two channels.
// Four numbers x0 x1 x2 x3 become the words (x0, x2) and (x1, x3): what SXTB16 and SXTB16 with a
// rotation by 8 make of four bytes. Weights are widened in the same way, so their products meet.
#pragma once

#include <stdint.h>
#include <string.h>

#include "../layer.hpp"

namespace sdiwm {
namespace nn {

static inline uint32_t load_word(const void* from) {
  uint32_t word;
  memcpy(&word, from, 4);
  return word;
}

static inline uint32_t even_bytes(uint32_t x) {
  uint32_t y;
  asm("sxtb16 %0, %1" : "=r"(y) : "r"(x));
  return y;
}

static inline uint32_t odd_bytes(uint32_t x) {
  uint32_t y;
  asm("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(x));
  return y;
}

// What makes four elements of a picture the int8 that the operators see.
static inline uint32_t flip_of(const uint8_t*) { return 0x80808080u; }
static inline uint32_t flip_of(const int8_t*) { return 0; }

// n bytes, a multiple of four -> n / 2 words, every other word of `to`.
template <class In>
static inline uint32_t* widen(const In* from, int32_t n, uint32_t* to) {
  const uint32_t flip = flip_of(from);
  const In* end = from + n;
  for (; from + 8 <= end; from += 8, to += 8) {
    const uint32_t first = load_word(from) ^ flip, second = load_word(from + 4) ^ flip;
    to[0] = even_bytes(first);
    to[2] = odd_bytes(first);
    to[4] = even_bytes(second);
    to[6] = odd_bytes(second);
  }
  for (; from < end; from += 4, to += 4) {
    const uint32_t word = load_word(from) ^ flip;
    to[0] = even_bytes(word);
    to[2] = odd_bytes(word);
  }
  return to;
}

// n bytes as int8.
template <class In>
static inline void copy(const In* from, int32_t n, int8_t* to) {
  const uint32_t flip = flip_of(from);
  int32_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const uint32_t word = load_word(from + i) ^ flip;
    memcpy(to + i, &word, 4);
  }
  for (; i < n; ++i) to[i] = static_cast<int8_t>(seen(from[i]));
}

// Columns are padded with zeros to this: what the kernels take in one round.
static inline int32_t padded_depth(int32_t depth) { return (depth + 7) & ~7; }

// The window of output column `x` as bytes.
template <class In>
static inline void collect(const Layer& layer, const In* const* rows, int32_t x, int8_t* to) {
  const Window& window = layer.window;
  const int32_t channels = layer.in_channels;
  const int32_t left = x * window.stride_x - window.pad_left;
  for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
    for (int32_t kx = 0; kx < window.kernel_width; ++kx, to += channels) {
      const int32_t at = left + kx * window.dilation_x;
      if (rows[ky] == nullptr || at < 0 || at >= layer.in_width) {
        memset(to, layer.padding, static_cast<uint32_t>(channels));
      } else {
        copy(rows[ky] + at * channels, channels, to);
      }
    }
  }
}

// The same where every row of the window is a run of neighbours, from column `start` on.
template <class In>
static inline void collect_runs(const In* const* rows, int32_t height, int32_t start, int32_t run,
                                int8_t* to) {
  for (int32_t ky = 0; ky < height; ++ky, to += run) copy(rows[ky] + start, run, to);
}

// Whether the window of column `x` lies inside its rows, each a run of neighbours.
template <class In>
static inline bool in_runs(const Layer& layer, const In* const* rows, int32_t x) {
  const Window& window = layer.window;
  const int32_t left = x * window.stride_x - window.pad_left;
  if (window.dilation_x != 1 || left < 0 || left + window.kernel_width > layer.in_width) {
    return false;
  }
  for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
    if (rows[ky] == nullptr) return false;
  }
  return true;
}

// The window of output column `x`, widened into every other word of `to`; `bytes` is for columns
// that are not in runs of a multiple of four.
template <class In>
static inline void widened_column(const Layer& layer, const In* const* rows, int32_t x,
                                  int32_t depth, int8_t* bytes, uint32_t* to) {
  const Window& window = layer.window;
  const int32_t run = window.kernel_width * layer.in_channels;
  const bool runs = in_runs(layer, rows, x);
  const int32_t start = (x * window.stride_x - window.pad_left) * layer.in_channels;
  if (runs && run % 4 == 0) {
    for (int32_t ky = 0; ky < window.kernel_height; ++ky) {
      to = widen(rows[ky] + start, run, to);
    }
    if (depth % 8) to[0] = to[2] = 0;
    return;
  }
  if (runs) {
    collect_runs(rows, window.kernel_height, start, run, bytes);
  } else {
    collect(layer, rows, x, bytes);
  }
  for (int32_t i = depth; i < padded_depth(depth); ++i) bytes[i] = 0;
  widen(bytes, padded_depth(depth), to);
}

}  // namespace nn
}  // namespace sdiwm
