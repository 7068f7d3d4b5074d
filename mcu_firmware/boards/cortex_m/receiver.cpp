// The receiving half of board.hpp, compiled for every Cortex-M board.
#include "receiver.hpp"

#include "../board.hpp"

namespace sdiwm {
namespace board {

Ring<kRingBytes> received;

int read_byte() { return received.get(); }

uint32_t lost_bytes() { return received.lost(); }

void idle() {
  if (received.empty()) asm volatile("wfi" ::: "memory");
}

}  // namespace board
}  // namespace sdiwm
