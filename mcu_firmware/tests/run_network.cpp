// Runs a generated network on inputs that are sent, or random ones drawn on the chip: answers with a checksum of the
// outputs and the ticks of each run. sdiwm_model/firmware/network.py draws the same inputs.
//
// Compiled with network.hpp and these: INPUT_BYTES of all inputs; ROW_BYTES and PIXEL_BYTES of a
// picture that is read by rows (0 for networks without); INPUTS and OUTPUTS, lists of {offset, bytes}.
#include <string.h>

#include "boards/board.hpp"
#include "network.hpp"

using namespace sdiwm;

struct Request {
  uint32_t seed;     // of the first inputs, or kGiven: they follow
  uint32_t count;    // inputs
  uint32_t repeats;  // runs on each of them
};

constexpr uint32_t kGiven = 0xFFFFFFFFu;
constexpr uint32_t kBlock = 1024;  // bytes
static const uint8_t kReceived = 1;

struct Part {
  int32_t offset;
  int32_t bytes;
};

struct Reply {
  uint32_t checksum;
  uint32_t ticks;
  uint32_t stack_peak;
};

alignas(16) static uint8_t arena[network::kArenaBytes];
static const Part outputs[] = {OUTPUTS};

// Byte n of a stream of random bytes (the finaliser of MurmurHash3, four bytes a call).
static uint32_t random_word(uint32_t seed, uint32_t n) {
  uint32_t x = seed * 0x9E3779B9u + n;
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  return x ^ (x >> 16);
}

static void draw(uint32_t seed, uint8_t* to, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; ++i) {
    to[i] = static_cast<uint8_t>(random_word(seed, i / 4) >> (8 * (i % 4)));
  }
}

// All inputs, one after the other; the network overwrites those in the arena.
static uint8_t given[INPUT_BYTES];

#if ROW_BYTES
static void read_row(void*, int32_t row, int32_t first, int32_t count, uint8_t* to) {
  memcpy(to, given + row * ROW_BYTES + first * PIXEL_BYTES,
         static_cast<uint32_t>(count * PIXEL_BYTES));
}

static void run() { network::run(arena, read_row, nullptr); }
#else
static const Part inputs[] = {INPUTS};

static void run() {
  const uint8_t* from = given;
  for (const Part& part : inputs) {
    memcpy(arena + part.offset, from, static_cast<uint32_t>(part.bytes));
    from += part.bytes;
  }
  network::run(arena);
}
#endif

// Waits for one byte and stores it.
static uint8_t receive() {
  for (;;) {
    const int byte = board::read_byte();
    if (byte >= 0) return static_cast<uint8_t>(byte);
    board::idle();
  }
}

static void receive(void* to, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; ++i) static_cast<uint8_t*>(to)[i] = receive();
}

// In blocks that the board's ring has room for, each one answered by one byte.
static void receive_in_blocks(uint8_t* to, uint32_t bytes) {
  for (uint32_t done = 0; done < bytes;) {
    const uint32_t block = bytes - done < kBlock ? bytes - done : kBlock;
    receive(to + done, block);
    done += block;
    board::write(&kReceived, 1);
  }
}

int main() {
  for (;;) {
    Request request;
    receive(&request, sizeof request);
    for (uint32_t i = 0; i < request.count; ++i) {
      if (request.seed == kGiven) {
        receive_in_blocks(given, INPUT_BYTES);
      } else {
        draw(request.seed + i, given, INPUT_BYTES);
      }
      const uint32_t began = board::ticks();
      for (uint32_t k = 0; k < request.repeats; ++k) run();
      Reply reply = {0x811C9DC5u, board::ticks() - began, board::stack_peak()};
      for (const Part& part : outputs) {
        for (int32_t k = 0; k < part.bytes; ++k) {
          reply.checksum = (reply.checksum ^ arena[part.offset + k]) * 0x01000193u;
        }
      }
      board::write(reinterpret_cast<const uint8_t*>(&reply), sizeof reply);
    }
  }
}
