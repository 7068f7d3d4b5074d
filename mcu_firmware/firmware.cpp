// The firmware: bytes from the UART to the command handler, answers back.
#include "boards/board.hpp"
#include "protocol/handler.hpp"

using namespace sdiwm;

#if SDIWM_HAS_ENCODER
// A picture is written and read once; what lies in the arena is read again and again.
__attribute__((section(".far_bss"))) alignas(16) static uint8_t picture[encoder::kPictureBytes];
alignas(16) static uint8_t arena[encoder::kArenaBytes];
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
