// Says its name, counts a loop of known length, then answers every byte with the next one.
#include "boards/board.hpp"

using namespace sdiwm;

static volatile uint32_t initialised = 0x12345678u;
static volatile uint32_t zeroed[4];

int main() {
  uint32_t words[4] = {initialised, zeroed[3], 0, 0};
  const uint32_t began = board::ticks();
  for (volatile int i = 0; i < 10000; i = i + 1) {
  }
  words[2] = board::ticks() - began;
  words[3] = board::stack_peak();
  board::write(reinterpret_cast<const uint8_t*>(words), sizeof words);
  for (;;) {
    const int byte = board::read_byte();
    if (byte < 0) {
      board::idle();
      continue;
    }
    const uint8_t next = static_cast<uint8_t>(byte + 1);
    board::write(&next, 1);
  }
}
