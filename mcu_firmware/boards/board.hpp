// What every board offers to the programs that run on it; boards/host has no need of it.
//
// A board's `start_board` runs before `main`, with data and bss in place and interrupts off.
#pragma once

#include <stdint.h>

namespace sdiwm {
namespace board {

extern const char kName[];              // as in the table of boards
extern const uint32_t kTicksPerSecond;  // of `ticks`

// Clocks, caches, UART, timer and watchdog.
void start_board();

// A counter that runs upwards and wraps at 2^32.
uint32_t ticks();

// The next received byte, or -1 when there is none.
int read_byte();

// Bytes that came while the ring buffer was full, since the start.
uint32_t lost_bytes();

// Blocks until all bytes are in the transmitter.
void write(const uint8_t* bytes, uint32_t count);

// Waits for an interrupt, or for at most a millisecond.
void idle();

// Tells the hardware watchdog that the program is alive; nothing on boards without one.
void feed_watchdog();

// Stack in bytes: set aside by the linker, and used at most since the start, by its paint.
uint32_t stack_size();
uint32_t stack_peak();

}  // namespace board
}  // namespace sdiwm
