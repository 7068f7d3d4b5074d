// The constants of a pooling layer.
#pragma once

#include <stdint.h>

#include "window.hpp"

namespace sdiwm {
namespace nn {

struct Pool {
  Window window;
  int32_t in_width, out_width, channels;
  int32_t count_padding;  // whether padding counts in a mean
  int32_t padding;        // as this integer
};

}  // namespace nn
}  // namespace sdiwm
