// Runs a generated network on inputs from stdin, one run after the other; outputs go to stdout.
// The arena and every row that is asked for are of their own on the heap, so that sanitizers see
// each access outside of them. Compiled with the definitions of firmware/network.py.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.hpp"

using namespace sdiwm;

struct Part {
  int32_t offset, bytes;
};

static const Part outputs[] = {OUTPUTS};

#if ROW_BYTES
static void read_row(void* context, int32_t row, int32_t first, int32_t count, uint8_t* to) {
  memcpy(to, static_cast<uint8_t*>(context) + row * ROW_BYTES + first * PIXEL_BYTES,
         static_cast<size_t>(count) * PIXEL_BYTES);
}

static void run(uint8_t* arena, uint8_t* given) { network::run(arena, read_row, given); }
#else
static const Part inputs[] = {INPUTS};

static void run(uint8_t* arena, uint8_t* given) {
  for (const Part& part : inputs) {
    memcpy(arena + part.offset, given, static_cast<size_t>(part.bytes));
    given += part.bytes;
  }
  network::run(arena);
}
#endif

int main() {
  auto* given = static_cast<uint8_t*>(malloc(INPUT_BYTES));
  auto* arena = static_cast<uint8_t*>(malloc(network::kArenaBytes));
  while (fread(given, 1, INPUT_BYTES, stdin) == INPUT_BYTES) {
    run(arena, given);
    for (const Part& part : outputs) {
      fwrite(arena + part.offset, 1, static_cast<size_t>(part.bytes), stdout);
    }
  }
  free(arena);
  free(given);
}
