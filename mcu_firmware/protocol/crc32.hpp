// CRC-32 of IEEE 802.3 (reflected, polynomial 0xEDB88320), as zlib computes it.
#pragma once

#include <stdint.h>

namespace sdiwm {

// Sixteen entries are enough: a quarter of a kilobyte less than the usual table, two steps a byte.
class Crc32 {
 public:
  void add(const void* data, uint32_t count) {
    const uint8_t* bytes = static_cast<const uint8_t*>(data);
    for (uint32_t i = 0; i < count; ++i) {
      state_ ^= bytes[i];
      state_ = (state_ >> 4) ^ kTable[state_ & 15];
      state_ = (state_ >> 4) ^ kTable[state_ & 15];
    }
  }

  uint32_t value() const { return ~state_; }

 private:
  static constexpr uint32_t kTable[16] = {
      0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
      0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
      0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
  uint32_t state_ = 0xFFFFFFFFu;
};

}  // namespace sdiwm
