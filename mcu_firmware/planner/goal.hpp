// An instruction in integers; made on the host by `make_goal`, sent as these bytes.
#pragma once

#include <stdint.h>

#include "model.hpp"

namespace sdiwm {

struct Goal {
  int32_t input_bias[model::kHidden];
  int16_t cost_gain[model::kHead];
  int16_t cost_shift[model::kHead];
  int16_t value_gain[model::kHead];
  int16_t value_shift[model::kHead];
};

}  // namespace sdiwm
