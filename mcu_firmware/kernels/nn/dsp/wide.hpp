// Weights of a convolution widened to 16 bits when it is compiled, as the hot loop reads them.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

// Words of two numbers of a window; columns are read in steps of two words.
constexpr int32_t words_of(int32_t depth) { return (depth + 3) / 4 * 2; }

// data[pair of channels][word][channel][2], zeros behind a window and for a missing channel, and
// one more word of both channels, which is read and not used.
template <const int8_t* kWeight, int32_t kChannels, int32_t kDepth>
struct Wide {
  static constexpr int32_t kPairs = (kChannels + 1) / 2;
  static constexpr int32_t kPair = 4 * words_of(kDepth);  // numbers
  alignas(4) int16_t data[kPairs * kPair + 4];

  constexpr Wide() : data() {
    for (int32_t o = 0; o < kChannels; ++o) {
      for (int32_t k = 0; k < kDepth; ++k) {
        data[o / 2 * kPair + k / 2 * 4 + o % 2 * 2 + k % 2] = kWeight[o * kDepth + k];
      }
    }
  }
};

template <const int8_t* kWeight, int32_t kChannels, int32_t kDepth>
constexpr Wide<kWeight, kChannels, kDepth> kWide{};

template <const int8_t* kWeight, int32_t kChannels, int32_t kDepth>
constexpr const int16_t* wide() {
  return kWide<kWeight, kChannels, kDepth>.data;
}

}  // namespace nn
}  // namespace sdiwm
