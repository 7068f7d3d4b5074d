// The firmware: bytes from the UART to the command handler, answers back.
#include "boards/board.hpp"
#include "protocol/handler.hpp"

using namespace sdiwm;

int main() {
  prepare_kernels();
  static Handler handler({{board::write},
                          board::ticks,
                          board::kTicksPerSecond,
                          board::lost_bytes,
                          board::stack_peak,
                          board::kName});
  for (;;) {
    for (int byte = board::read_byte(); byte >= 0; byte = board::read_byte()) {
      handler.put(static_cast<uint8_t>(byte));
    }
    handler.watch();
    board::feed_watchdog();
    board::idle();
  }
}
