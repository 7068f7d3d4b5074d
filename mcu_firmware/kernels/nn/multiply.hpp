// The constants of a product of two tensors.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

struct Product {
  int32_t zero_a, zero_b;
  int32_t rounding;
  int32_t shift;
  int32_t multiplier;
  int32_t zero;
  int32_t low, high;
};

}  // namespace nn
}  // namespace sdiwm
