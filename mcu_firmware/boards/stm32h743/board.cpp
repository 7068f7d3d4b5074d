// STM32H743ZI, as on the Nucleo-144: 480 MHz, caches on, USART3 through the ST-LINK, watchdog.
//
// Registers and orders of events: ST reference manual RM0433, sections named below. Silicon of
// revision V or later; revision Y goes no further than 400 MHz.
#include "../board.hpp"

#include "../cortex_m/registers.hpp"
#include "../cortex_m/receiver.hpp"
#include "../cortex_m/vectors.hpp"

namespace sdiwm {
namespace board {

constexpr uint32_t kProcessorHertz = 480000000;
constexpr uint32_t kPeripheralHertz = 120000000;
constexpr uint32_t kBaud = 921600;
constexpr int kUsart3Interrupt = 39;

const char kName[] = "stm32h743";
const uint32_t kTicksPerSecond = kProcessorHertz;

constexpr uint32_t kRcc = 0x58024400u;
constexpr uint32_t kPwr = 0x58024800u;
constexpr uint32_t kSyscfg = 0x58000400u;
constexpr uint32_t kFlash = 0x52002000u;
constexpr uint32_t kGpioD = 0x58020C00u;
constexpr uint32_t kUsart3 = 0x40004800u;
constexpr uint32_t kWatchdog = 0x58004800u;  // IWDG1

static void wait_for(uint32_t address, uint32_t bits) {
  while ((at(address) & bits) != bits) {
  }
}

static void replace(uint32_t address, uint32_t mask, uint32_t bits) {
  at(address) = (at(address) & ~mask) | bits;
}

// RM0433 6.6: the regulator first to VOS1, then boosted to VOS0, which 480 MHz needs.
static void raise_voltage() {
  at(kPwr + 0x0C) = 6;               // CR3: LDO on, configuration locked
  wait_for(kPwr + 0x04, 1u << 13);   // CSR1.ACTVOSRDY
  at(kPwr + 0x18) = 3u << 14;        // D3CR.VOS = VOS1
  wait_for(kPwr + 0x18, 1u << 13);   // VOSRDY
  at(kRcc + 0xF4) = at(kRcc + 0xF4) | 2u;  // APB4ENR.SYSCFGEN
  at(kSyscfg + 0x2C) = 1;            // PWRCR.ODEN
  wait_for(kPwr + 0x18, 1u << 13);
}

// RM0433 8.5: HSI 64 MHz / 4 * 60 / 2 = 480 MHz; AHB 240 MHz, APB 120 MHz; flash 4 wait states.
static void start_clocks() {
  raise_voltage();
  at(kFlash) = 4u | (2u << 4);                       // ACR: LATENCY, WRHIGHFREQ
  while ((at(kFlash) & 15u) != 4u) {
  }
  replace(kRcc + 0x28, 0x3F3u, 4u << 4);             // PLLCKSELR: HSI, DIVM1
  replace(kRcc + 0x2C, 0xFu, 3u << 2);               // PLLCFGR: input 8 to 16 MHz, wide VCO
  at(kRcc + 0x30) = 59u | (1u << 9) | (1u << 16) | (1u << 24);  // PLL1DIVR: N - 1, P - 1
  at(kRcc + 0x2C) = at(kRcc + 0x2C) | (1u << 16);    // DIVP1EN
  at(kRcc) = at(kRcc) | (1u << 24);                  // CR.PLL1ON
  wait_for(kRcc, 1u << 25);                          // PLL1RDY
  at(kRcc + 0x18) = 8u | (4u << 4);                  // D1CFGR: AHB / 2, APB3 / 2
  at(kRcc + 0x1C) = (4u << 4) | (4u << 8);           // D2CFGR: APB1 / 2, APB2 / 2
  at(kRcc + 0x20) = 4u << 4;                         // D3CFGR: APB4 / 2
  replace(kRcc + 0x10, 7u, 3u);                      // CFGR.SW = PLL1
  wait_for(kRcc + 0x10, 3u << 3);                    // SWS
}

// Armv7-M B2.2: invalidate, then enable; nothing here uses DMA, so nothing needs maintenance later.
static void start_caches() {
  constexpr uint32_t kWays = 4;
  at(0xE000EF50u) = 0;  // ICIALLU
  at(0xE000ED84u) = 0;  // CSSELR: data cache of level 1
  asm volatile("dsb" ::: "memory");
  const uint32_t sets = ((at(0xE000ED80u) >> 13) & 0x7FFFu) + 1;  // CCSIDR
  for (uint32_t set = 0; set < sets; ++set) {
    for (uint32_t way = 0; way < kWays; ++way) at(0xE000EF60u) = (way << 30) | (set << 5);  // DCISW
  }
  asm volatile("dsb\n\tisb" ::: "memory");
  at(0xE000ED14u) = at(0xE000ED14u) | (1u << 17) | (1u << 16);  // CCR: IC, DC
  asm volatile("dsb\n\tisb" ::: "memory");
}

// PD8 and PD9 are USART3, wired to the ST-LINK's virtual COM port on the Nucleo-144.
static void start_uart() {
  at(kRcc + 0xE0) = at(kRcc + 0xE0) | (1u << 3);   // AHB4ENR.GPIODEN
  at(kRcc + 0xE8) = at(kRcc + 0xE8) | (1u << 18);  // APB1LENR.USART3EN
  asm volatile("dsb" ::: "memory");
  replace(kGpioD + 0x24, 0xFFu, 0x77u);            // AFRH: alternate function 7
  replace(kGpioD, 0xFu << 16, 0xAu << 16);         // MODER: alternate function
  at(kUsart3 + 0x0C) = (kPeripheralHertz + kBaud / 2) / kBaud;  // BRR
  at(kUsart3) = 1u | (1u << 2) | (1u << 3) | (1u << 5);         // CR1: UE, RE, TE, RXNEIE
  enable_interrupt(kUsart3Interrupt);
}

// RM0433 45: 32 kHz / 16, restarts the chip unless fed within 512 counts (256 ms).
static void start_watchdog() {
  at(kWatchdog) = 0xCCCCu;     // KR: start
  at(kWatchdog) = 0x5555u;     // unlock
  at(kWatchdog + 4) = 2;       // PR: / 16
  at(kWatchdog + 8) = 511;     // RLR
  while (at(kWatchdog + 12) != 0) {
  }
  feed_watchdog();
}

// The cycle counter of the debug unit.
static void start_cycle_counter() {
  at(0xE000EDFCu) = at(0xE000EDFCu) | (1u << 24);  // DEMCR.TRCENA
  at(0xE0001FB0u) = 0xC5ACCE55u;                   // DWT_LAR
  at(0xE0001004u) = 0;
  at(0xE0001000u) = at(0xE0001000u) | 1u;
}

static void on_usart3() {
  const uint32_t state = at(kUsart3 + 0x1C);  // ISR
  if ((state & (1u << 5)) != 0) received.put(static_cast<uint8_t>(at(kUsart3 + 0x24)));
  at(kUsart3 + 0x20) = 0xFu;  // ICR: overrun, noise, framing, parity; the frame's CRC tells
}


__attribute__((section(".vectors"), used)) static const auto vectors =
    make_vectors<150>(kUsart3Interrupt, on_usart3);

void start_board() {
  start_clocks();
  start_caches();
  start_cycle_counter();
  start_uart();
  start_systick(kProcessorHertz, 1000);
  start_watchdog();
}

uint32_t ticks() { return at(0xE0001004u); }

void write(const uint8_t* bytes, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    wait_for(kUsart3 + 0x1C, 1u << 7);  // ISR.TXE
    at(kUsart3 + 0x28) = bytes[i];
  }
}

void feed_watchdog() { at(kWatchdog) = 0xAAAAu; }

}  // namespace board
}  // namespace sdiwm
