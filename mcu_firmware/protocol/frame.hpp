// Frames: COBS (Cheshire and Baker, 1999) around header, payload and CRC-32, ended by a zero byte.
#pragma once

#include <stdint.h>
#include <string.h>

#include "crc32.hpp"

namespace sdiwm {

struct FrameHeader {
  uint8_t number;
  uint8_t version;
  uint16_t sequence;
};

constexpr uint32_t kFrameOverhead = sizeof(FrameHeader) + sizeof(uint32_t);

constexpr uint32_t encoded_size(uint32_t bytes) { return bytes + bytes / 254 + 1; }

enum class FrameState { kIncomplete, kWhole, kCorrupt, kTruncated, kOversized };

// Takes bytes one by one; kPayload is the largest payload that it holds.
template <uint32_t kPayload>
class FrameDecoder {
 public:
  // After kWhole, `header` and `payload` are those of the frame until the next call.
  FrameState put(uint8_t byte) {
    if (byte != 0) {
      if (size_ < kCapacity) {
        bytes_[size_] = byte;
      }
      size_ = size_ < kCapacity ? size_ + 1 : kCapacity + 1;
      return FrameState::kIncomplete;
    }
    const uint32_t size = size_;
    size_ = 0;
    if (size == 0) return FrameState::kIncomplete;  // two delimiters in a row mean nothing
    if (size > kCapacity) return FrameState::kOversized;
    return open(size);
  }

  const FrameHeader& header() const { return header_; }
  const uint8_t* payload() const { return bytes_ + sizeof(FrameHeader); }
  uint32_t payload_size() const { return payload_size_; }

 private:
  static constexpr uint32_t kCapacity = encoded_size(kPayload + kFrameOverhead);

  FrameState open(uint32_t size) {
    uint32_t length = 0;
    if (!unstuff(size, length) || length < kFrameOverhead) return FrameState::kTruncated;
    const uint32_t content = length - static_cast<uint32_t>(sizeof(uint32_t));
    uint32_t checksum;
    memcpy(&checksum, bytes_ + content, sizeof checksum);
    Crc32 crc;
    crc.add(bytes_, content);
    if (crc.value() != checksum) return FrameState::kCorrupt;
    memcpy(&header_, bytes_, sizeof header_);
    payload_size_ = content - static_cast<uint32_t>(sizeof(FrameHeader));
    return FrameState::kWhole;
  }

  // In place; the output never overtakes the input.
  bool unstuff(uint32_t size, uint32_t& length) {
    uint32_t from = 0, to = 0;
    while (from < size) {
      const uint32_t code = bytes_[from];
      if (code > size - from) return false;
      for (uint32_t i = 1; i < code; ++i) bytes_[to++] = bytes_[from + i];
      from += code;
      if (code < 255 && from < size) bytes_[to++] = 0;
    }
    length = to;
    return true;
  }

  alignas(4) uint8_t bytes_[kCapacity];
  uint32_t size_ = 0;
  uint32_t payload_size_ = 0;
  FrameHeader header_ = {};
};

// Sends bytes to wherever the other side listens.
struct Port {
  void (*write)(const uint8_t* bytes, uint32_t count);
};

// Stuffs and sends one frame, a block at a time.
template <uint32_t kPayload>
static inline void send_frame(const Port& port, const FrameHeader& header, const void* payload,
                              uint32_t size) {
  uint8_t body[kPayload + kFrameOverhead];
  memcpy(body, &header, sizeof header);
  if (size != 0) memcpy(body + sizeof header, payload, size);
  const uint32_t content = static_cast<uint32_t>(sizeof header) + size;
  Crc32 crc;
  crc.add(body, content);
  const uint32_t checksum = crc.value();
  memcpy(body + content, &checksum, sizeof checksum);
  uint8_t out[encoded_size(kPayload + kFrameOverhead) + 1];
  uint32_t code_at = 0, to = 1;
  for (uint32_t i = 0; i < content + sizeof checksum; ++i) {
    if (body[i] != 0) {
      out[to++] = body[i];
    }
    if (body[i] == 0 || to - code_at == 255) {
      out[code_at] = static_cast<uint8_t>(to - code_at);
      code_at = to++;
    }
  }
  out[code_at] = static_cast<uint8_t>(to - code_at);
  out[to++] = 0;
  port.write(out, to);
}

}  // namespace sdiwm
