// The table that a Cortex-M reads at reset: stack pointer, exceptions, interrupts.
#pragma once

#include <stdint.h>

extern "C" {
extern uint32_t sdiwm_stack_end[];
void sdiwm_reset();
void sdiwm_fault();
void sdiwm_tick();
}

namespace sdiwm {
namespace board {

using Handler = void (*)();

// `kInterrupts` entries, all of them faults but the ones that the board names.
template <int kInterrupts>
struct Vectors {
  const void* stack;
  Handler exceptions[15];
  Handler interrupts[kInterrupts];
};

constexpr int kSysTick = 14;  // place among the exceptions

template <int kInterrupts>
constexpr Vectors<kInterrupts> make_vectors(int interrupt, Handler handler) {
  Vectors<kInterrupts> table{sdiwm_stack_end, {}, {}};
  for (Handler& entry : table.exceptions) entry = sdiwm_fault;
  for (Handler& entry : table.interrupts) entry = sdiwm_fault;
  table.exceptions[0] = sdiwm_reset;
  table.exceptions[kSysTick] = sdiwm_tick;
  table.interrupts[interrupt] = handler;
  return table;
}

}  // namespace board
}  // namespace sdiwm
