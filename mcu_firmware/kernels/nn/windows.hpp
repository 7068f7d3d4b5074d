// Windows of output places in memory (im2col), each without gaps.
//
// Where neighbours overlap, the picture's columns lie side by side (kernel height, channels) and
// windows are runs of them: every pixel is copied once for each row of the window, not for each
// place of it.
#pragma once

#include <stdint.h>

#include "layer.hpp"

namespace sdiwm {
namespace nn {

static inline int32_t depth_of(const Layer& layer) {
  return layer.window.kernel_height * layer.window.kernel_width * layer.in_channels;
}

// Windows `first` ... `last` - 1, `width` pixels wide and `step` apart, of one row of the picture.
struct Strip {
  int32_t first, last, left, step, width, dilation;

  // The first window that does not begin before the row, and the first that ends behind it.
  int32_t inside_from() const {
    const int32_t n = left >= 0 ? 0 : (-left + step - 1) / step;
    return n < last ? n : last;
  }
  int32_t inside_to(int32_t in_width) const {
    const int32_t room = in_width - left - (width - 1) * dilation;
    const int32_t n = room <= 0 ? 0 : (room + step - 1) / step;
    const int32_t from = inside_from();
    return n < from ? from : (n < last ? n : last);
  }
};

// Windows that leave the row, pixel by pixel.
template <class Pixels, class In>
static __attribute__((noinline)) void border(const Layer& layer, const In* row, const Strip& strip,
                                             int32_t apart, typename Pixels::Element* to) {
  const int32_t channels = layer.in_channels;
  for (int32_t i = strip.first; i < strip.last; ++i) {
    typename Pixels::Element* pixel = to + i * apart;
    for (int32_t k = 0; k < strip.width; ++k, pixel += channels) {
      const int32_t x = strip.left + i * strip.step + k * strip.dilation;
      if (row == nullptr || x < 0 || x >= layer.in_width) {
        Pixels::fill(layer.padding, channels, pixel);
      } else {
        Pixels::copy(row + x * channels, channels, pixel);
      }
    }
  }
}

// Windows inside the row, whose pixels are neighbours.
template <class Pixels, class In>
static __attribute__((noinline)) void inside(const In* from, int32_t step, int32_t run,
                                             int32_t count, int32_t apart,
                                             typename Pixels::Element* to) {
  for (; count > 0; --count, from += step, to += apart) Pixels::copy(from, run, to);
}

// Windows of `places` output columns from `first` on. `Pixels` is the instruction set's: what an
// element in memory is, how to copy and how to fill some.
template <class Pixels, class In>
static inline void collect(const Layer& layer, const In* const* rows, int32_t first,
                           int32_t places, typename Pixels::Element* to) {
  const Window& window = layer.window;
  const int32_t channels = layer.in_channels, left = first * window.stride_x - window.pad_left;
  Strip all = {0, places, left, window.stride_x, window.kernel_width, window.dilation_x};
  int32_t apart = layer.apart;
  if (layer.shared) {
    all = {0, (places - 1) * window.stride_x + window.kernel_width, left, 1, 1, 1};
    apart = window.kernel_height * channels;
  }
  const int32_t run = all.width * channels;
  for (int32_t ky = 0; ky < window.kernel_height; ++ky, to += run) {
    const In* row = rows[ky];
    const bool runs = row != nullptr && all.dilation == 1;
    Strip before = all, after = all;
    before.last = runs ? all.inside_from() : all.last;
    after.first = runs ? all.inside_to(layer.in_width) : all.last;
    border<Pixels>(layer, row, before, apart, to);
    if (before.last < after.first) {
      inside<Pixels>(row + (left + before.last * all.step) * channels, all.step * channels, run,
             after.first - before.last, apart, to + before.last * apart);
    }
    border<Pixels>(layer, row, after, apart, to);
  }
}

}  // namespace nn
}  // namespace sdiwm
