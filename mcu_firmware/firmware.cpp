// The firmware: bytes from the UART to the command handler, answers back.
#include "boards/board.hpp"
#include "protocol/handler.hpp"

using namespace sdiwm;

#if SDIWM_HAS_ENCODER
// A picture is written and read once; what lies in the arena is read again and again, so that its
// place is the fastest memory, unless it is too large.
#define SDIWM_IN(name) __attribute__((section(name))) alignas(16) static
SDIWM_IN(".far_bss") uint8_t picture[encoder::kPictureBytes];
SDIWM_IN(SDIWM_ARENA_SECTION) uint8_t arena[encoder::kArenaBytes];
#endif

int main() {
  prepare_kernels();
  static Handler handler({{board::write},
                          board::ticks,
                          board::kTicksPerSecond,
                          board::lost_bytes,
                          board::stack_peak,
                          board::kName,
#if SDIWM_HAS_ENCODER
                          {picture, arena},
#endif
  });
  for (;;) {
    for (int byte = board::read_byte(); byte >= 0; byte = board::read_byte()) {
      handler.put(static_cast<uint8_t>(byte));
    }
    handler.watch();
    board::feed_watchdog();
    board::idle();
  }
}
