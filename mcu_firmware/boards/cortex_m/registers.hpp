// Memory-mapped registers that every Cortex-M has.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace board {

static inline volatile uint32_t& at(uint32_t address) {
  return *reinterpret_cast<volatile uint32_t*>(address);
}

static inline void enable_interrupt(int number) {
  at(0xE000E100u + 4u * static_cast<uint32_t>(number / 32)) = 1u << (number % 32);  // NVIC ISER
}

// An interrupt `hertz` times a second, so that `idle` always comes back.
static inline void start_systick(uint32_t processor_hertz, uint32_t hertz) {
  at(0xE000E014u) = processor_hertz / hertz - 1;  // SYST_RVR
  at(0xE000E018u) = 0;                            // SYST_CVR
  at(0xE000E010u) = 7;  // SYST_CSR: the processor's clock, interrupt, enable
}

}  // namespace board
}  // namespace sdiwm
