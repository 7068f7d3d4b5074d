// A picture in memory (height, width, channels), or as many of its rows as are needed at a time.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace nn {

constexpr int32_t kMostRows = 64;  // of a window; the compiler refuses taller ones

template <class T>
struct Rows {
  T* base;
  int32_t height;
  int32_t stride;    // elements from one row to the next
  int32_t capacity;  // rows in memory: `height`, or fewer of which the oldest are overwritten

  T* operator[](int32_t y) const { return base + (y % capacity) * stride; }

  // The same rows without their first `elements`.
  Rows from(int32_t elements) const { return {base + elements, height, stride, capacity}; }
};

// An element as the operators see it: a byte is an int8 that is 128 larger.
static inline int32_t seen(uint8_t x) { return x - 128; }
static inline int32_t seen(int8_t x) { return x; }
static inline int32_t seen(int16_t x) { return x; }

}  // namespace nn
}  // namespace sdiwm
