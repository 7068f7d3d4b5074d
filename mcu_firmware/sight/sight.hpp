// What the chip sees: a picture that arrives in chunks, its features, and those of pictures before.
//
// The definition of every operation is sdiwm_model/export/encoder.py.
#pragma once

#include <stdint.h>
#include <string.h>

#include "encode.hpp"
#include "model.hpp"

namespace sdiwm {

// Lent by the board, aligned to 16: the picture and the network's arena.
struct SightMemory {
  uint8_t* picture;  // [encoder::kPictureBytes]
  uint8_t* arena;    // [encoder::kArenaBytes]
};

class Sight {
 public:
  static constexpr int kProprio = model::kFusionInput - encoder::kFrames * encoder::kFeatures;
  static_assert(kProprio >= 0, "features and joints are what the fusion network takes");

  explicit Sight(const SightMemory& memory) : memory_(memory) {}

  // As if nothing had been seen.
  void forget() {
    next_ = 0;
    has_features_ = false;
  }

  // Takes bytes of picture `number` if they are those that come next. Byte 0 begins a picture,
  // whatever came of the last one; what would lie beyond the picture's end is padding.
  bool take(uint32_t number, uint32_t offset, const uint8_t* bytes, uint32_t count) {
    if (offset == 0) {
      arriving_ = number;
      next_ = 0;
    }
    if (number != arriving_ || offset != next_ || offset >= encoder::kPictureBytes) return false;
    const uint32_t left = encoder::kPictureBytes - offset;
    const uint32_t taken = count < left ? count : left;
    memcpy(memory_.picture + offset, bytes, taken);
    next_ = offset + taken;
    return true;
  }

  // The byte of the arriving picture that comes next.
  uint32_t next() const { return next_; }

  bool complete(uint32_t number) const {
    return number == arriving_ && next_ == encoder::kPictureBytes;
  }

  // Whether the newest features are those of picture `number`.
  bool has_encoded(uint32_t number) const { return has_features_ && number == newest_; }

  // Encodes the complete picture `number`. With `first` those before it are forgotten: it then
  // stands in for them.
  void encode(uint32_t number, bool first) {
    const int16_t* features = encoder::encode(memory_.picture, memory_.arena);
    const bool alone = first || !has_features_;
    for (int k = encoder::kFrames - 1; k >= 0; --k) {
      memcpy(features_[k], k == 0 || alone ? features : features_[k - 1], sizeof features_[k]);
    }
    newest_ = number;
    has_features_ = true;
  }

  // x[kFusionInput]: the newest features, how they changed since each of those before, the joints.
  void fusion_inputs(const int16_t* proprio, int16_t* x) const {
    for (int k = 0; k < encoder::kFrames; ++k) {
      for (int i = 0; i < encoder::kFeatures; ++i) {
        const int32_t newest = features_[0][i];
        *x++ = rescaled(k == 0 ? newest : encoder::kChange * (newest - features_[k][i]));
      }
    }
    for (int i = 0; i < kProprio; ++i) *x++ = proprio[i];
  }

 private:
  // A feature -> the unit of the fusion network's inputs.
  static int16_t rescaled(int32_t feature) {
    const int64_t half = (int64_t{1} << encoder::kShift) >> 1;
    const int64_t x = (feature * int64_t{encoder::kMultiplier} + half) >> encoder::kShift;
    return static_cast<int16_t>(x > 32767 ? 32767 : (x < -32767 ? -32767 : x));
  }

  SightMemory memory_;
  int16_t features_[encoder::kFrames][encoder::kFeatures] = {};  // the newest first
  uint32_t arriving_ = 0;  // number of the picture that arrives
  uint32_t next_ = 0;
  uint32_t newest_ = 0;  // number of the picture that was encoded last
  bool has_features_ = false;
};

}  // namespace sdiwm
