// The Cortex-M7 that QEMU runs: UART0 and a 32-bit timer at 25 MHz.
#include "../board.hpp"

#include "../cortex_m/cmsdk.hpp"
#include "../cortex_m/vectors.hpp"

namespace sdiwm {
namespace board {

const char kName[] = "mps2-an500";
const uint32_t kTicksPerSecond = 25000000;

constexpr CmsdkUart kUart{0x40004000u};
constexpr uint32_t kTimer = 0x40000000u;  // CMSDK timer 0, which counts down
constexpr int kReceiveInterrupt = 0;

static void on_receive() { kUart.receive(); }

__attribute__((section(".vectors"), used)) static const auto vectors =
    make_vectors<32>(kReceiveInterrupt, on_receive);

void start_board() {
  at(kTimer + 8) = 0xFFFFFFFFu;  // reload
  at(kTimer + 4) = 0xFFFFFFFFu;
  at(kTimer) = 1;
  kUart.start();
  enable_interrupt(kReceiveInterrupt);
  start_systick(kTicksPerSecond, 1000);
}

uint32_t ticks() { return 0xFFFFFFFFu - at(kTimer + 4); }

void write(const uint8_t* bytes, uint32_t count) { kUart.send(bytes, count); }

void feed_watchdog() {}

}  // namespace board
}  // namespace sdiwm
