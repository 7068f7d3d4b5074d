// The generated vision network, run on a picture that is whole in memory.
#pragma once

#include <stdint.h>
#include <string.h>

#include "encoder.hpp"

namespace sdiwm {
namespace encoder {

#if SDIWM_ENCODER_BY_ROWS
static inline void read_row(void* picture, int32_t row, int32_t first, int32_t count, uint8_t* to) {
  memcpy(to, static_cast<const uint8_t*>(picture) + row * kRowBytes + first * kPixelBytes,
         static_cast<uint32_t>(count * kPixelBytes));
}
#endif

// picture[kPictureBytes] -> features[kFeatures], which lie in the arena until the next run.
static inline const int16_t* encode(uint8_t* picture, uint8_t* arena) {
#if SDIWM_ENCODER_BY_ROWS
  vision::run(arena, read_row, picture);
#else
  memcpy(arena + kPictureOffset, picture, kPictureBytes);
  vision::run(arena);
#endif
  return reinterpret_cast<const int16_t*>(arena + kFeaturesOffset);
}

}  // namespace encoder
}  // namespace sdiwm
