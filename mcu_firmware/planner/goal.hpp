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
#if SDIWM_HAS_PRIOR
  int16_t prior_gain[model::kPrior];
  int16_t prior_shift[model::kPrior];
#endif
};

}  // namespace sdiwm
