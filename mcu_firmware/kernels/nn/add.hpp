// The constants of a sum of two tensors in different units.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

struct Sum {
  int32_t multiplier_a, multiplier_b;
  int32_t bias;
  int32_t shift;
  int32_t low, high;
  const int8_t* table;  // [256], replaces each 8-bit result; null for none
};

}  // namespace nn
}  // namespace sdiwm
