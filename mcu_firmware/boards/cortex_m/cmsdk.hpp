// UART and timer of Arm's Cortex-M System Design Kit, which the MPS boards have.
#pragma once

#include <stdint.h>

#include "receiver.hpp"
#include "registers.hpp"

namespace sdiwm {
namespace board {

// Sent when the board listens: what comes earlier may be lost. To the link it is an empty frame.
constexpr uint32_t kStarted = 0;

struct CmsdkUart {
  uint32_t base;

  volatile uint32_t& data() const { return at(base); }
  volatile uint32_t& state() const { return at(base + 4); }
  volatile uint32_t& control() const { return at(base + 8); }
  volatile uint32_t& interrupt() const { return at(base + 12); }
  volatile uint32_t& divider() const { return at(base + 16); }

  void start() const {
    divider() = 16;  // the smallest: the fastest line
    control() = 1u | 2u | 8u;  // transmit, receive, interrupt on receive
    const uint32_t nothing = data();  // QEMU holds back what it buffered until a byte is read
    static_cast<void>(nothing);
    data() = kStarted;
  }

  // Called by the interrupt handler: everything received goes to the ring.
  void receive() const {
    interrupt() = 2;  // clear
    while ((state() & 2u) != 0) received.put(static_cast<uint8_t>(data()));
  }

  void send(const uint8_t* bytes, uint32_t count) const {
    for (uint32_t i = 0; i < count; ++i) {
      while ((state() & 1u) != 0) {
      }
      data() = bytes[i];
    }
  }
};

}  // namespace board
}  // namespace sdiwm
