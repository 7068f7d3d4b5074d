// Bytes from an interrupt handler to the program: one writer, one reader, no lock.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace board {

template <uint32_t kSize>
class Ring {
  static_assert((kSize & (kSize - 1)) == 0, "the size is a power of two");

 public:
  // Called by the interrupt handler.
  void put(uint8_t byte) {
    const uint32_t head = head_;
    if (head - tail_ == kSize) {
      lost_ = lost_ + 1;
      return;
    }
    bytes_[head & (kSize - 1)] = byte;
    head_ = head + 1;
  }

  // Called by the program: the oldest byte, or -1.
  int get() {
    const uint32_t tail = tail_;
    if (head_ == tail) return -1;
    const int byte = bytes_[tail & (kSize - 1)];
    tail_ = tail + 1;
    return byte;
  }

  bool empty() const { return head_ == tail_; }

  uint32_t lost() const { return lost_; }

 private:
  volatile uint8_t bytes_[kSize];
  volatile uint32_t head_;  // counts bytes put, wraps at 2^32
  volatile uint32_t tail_;  // counts bytes taken
  volatile uint32_t lost_;
};

}  // namespace board
}  // namespace sdiwm
