// The Cortex-M55 that QEMU runs: UART0 and the system counter at 32 MHz.
#include "../board.hpp"

#include "../cortex_m/cmsdk.hpp"
#include "../cortex_m/vectors.hpp"

namespace sdiwm {
namespace board {

const char kName[] = "mps3-an547";
const uint32_t kTicksPerSecond = 32000000;

constexpr CmsdkUart kUart{0x59303000u};
constexpr uint32_t kCounterControl = 0x58100000u;
constexpr uint32_t kCounter = 0x48101000u;  // its lower 32 bits
constexpr int kReceiveInterrupt = 33;

static void on_receive() { kUart.receive(); }

__attribute__((section(".vectors"), used)) static const auto vectors =
    make_vectors<96>(kReceiveInterrupt, on_receive);

void start_board() {
  at(kCounterControl) = 1;
  kUart.start();
  enable_interrupt(kReceiveInterrupt);
  start_systick(kTicksPerSecond, 1000);
}

uint32_t ticks() { return at(kCounter); }

void write(const uint8_t* bytes, uint32_t count) { kUart.send(bytes, count); }

void feed_watchdog() {}

}  // namespace board
}  // namespace sdiwm
