// Constant tables; defined in the generated `model.cpp` from `sdiwm_model/compression/tables.py`.
#pragma once

#include <stdint.h>

namespace sdiwm {

alignas(64) extern const int16_t kTanhValue[64];  // Q15, at multiples of 1/16
alignas(64) extern const int16_t kTanhRise[64];   // to the next value
alignas(64) extern const int8_t kNormal[128];     // positive normal quantiles, in 1/40
alignas(64) extern const uint16_t kExp2[256];     // 32767 * 2^(-i/256)

}  // namespace sdiwm
