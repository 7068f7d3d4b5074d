// From reset to main: FPU on, data copied, bss zeroed, stack painted.
//
// Compiled for every Cortex-M board; the symbols in brackets come from sections.ld.
#include <stdint.h>
#include <string.h>

#include "../board.hpp"
#include "vectors.hpp"

extern "C" {
extern uint8_t sdiwm_data_from[], sdiwm_data_begin[], sdiwm_data_end[];
extern uint8_t sdiwm_fast_from[], sdiwm_fast_begin[], sdiwm_fast_end[];
extern uint8_t sdiwm_bss_begin[], sdiwm_bss_end[];
extern uint8_t sdiwm_far_bss_begin[], sdiwm_far_bss_end[];
extern uint32_t sdiwm_stack_begin[], sdiwm_stack_end[];
int main();
}

namespace sdiwm {
namespace board {

constexpr uint32_t kPaint = 0xC5A3C5A3u;
constexpr uint32_t kLeftUnpainted = 64;  // words below the stack pointer that are in use just now

// From the bottom up to what the caller uses; noinline, so that the stack pointer is below it.
__attribute__((noinline)) static void paint_stack() {
  uint32_t* top = static_cast<uint32_t*>(__builtin_frame_address(0)) - kLeftUnpainted;
  for (volatile uint32_t* word = sdiwm_stack_begin; word < top; word = word + 1) *word = kPaint;
}

uint32_t stack_size() {
  return static_cast<uint32_t>(sdiwm_stack_end - sdiwm_stack_begin) * sizeof(uint32_t);
}

uint32_t stack_peak() {
  const volatile uint32_t* word = sdiwm_stack_begin;
  while (word < sdiwm_stack_end && *word == kPaint) word = word + 1;
  return static_cast<uint32_t>(sdiwm_stack_end - word) * sizeof(uint32_t);
}

static void enable_coprocessors() {
  volatile uint32_t* const access = reinterpret_cast<volatile uint32_t*>(0xE000ED88u);
  *access = *access | (0xFu << 20);  // CPACR: CP10 and CP11, which are FPU and Helium
  asm volatile("dsb\n\tisb" ::: "memory");
}

}  // namespace board
}  // namespace sdiwm

// The stack pointer is set by the vector table.
extern "C" __attribute__((noreturn)) void sdiwm_reset() {
  using namespace sdiwm::board;
  enable_coprocessors();
  if (sdiwm_fast_begin != sdiwm_fast_from) {
    const auto bytes = static_cast<size_t>(sdiwm_fast_end - sdiwm_fast_begin);
    memcpy(sdiwm_fast_begin, sdiwm_fast_from, bytes);
    asm volatile("dsb\n\tisb" ::: "memory");
  }
  memcpy(sdiwm_data_begin, sdiwm_data_from, static_cast<size_t>(sdiwm_data_end - sdiwm_data_begin));
  memset(sdiwm_bss_begin, 0, static_cast<size_t>(sdiwm_bss_end - sdiwm_bss_begin));
  memset(sdiwm_far_bss_begin, 0, static_cast<size_t>(sdiwm_far_bss_end - sdiwm_far_bss_begin));
  paint_stack();
  start_board();
  asm volatile("cpsie i" ::: "memory");
  main();
  for (;;) asm volatile("wfi");
}

// Wakes the processor, no more.
extern "C" void sdiwm_tick() {}

// A fault, or an interrupt that nobody handles: stop here; the hardware watchdog restarts the chip.
extern "C" void sdiwm_fault() {
  for (;;) asm volatile("");
}
