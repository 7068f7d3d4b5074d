// Bytes and halfwords, four or two in a register.
#pragma once

#include <stdint.h>
#include <string.h>

namespace sdiwm {
namespace nn {

static inline uint32_t load_word(const void* from) {
  uint32_t word;
  memcpy(&word, from, 4);
  return word;
}

static inline void store_word(uint32_t word, void* to) { memcpy(to, &word, 4); }

// Bytes 0 and 2 as 16-bit numbers.
static inline uint32_t even_bytes(uint32_t x) {
  uint32_t y;
  asm("sxtb16 %0, %1" : "=r"(y) : "r"(x));
  return y;
}

// Bytes 1 and 3.
static inline uint32_t odd_bytes(uint32_t x) {
  uint32_t y;
  asm("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(x));
  return y;
}

// The lower halves of both.
static inline uint32_t lower_halves(uint32_t a, uint32_t b) {
  uint32_t y;
  asm("pkhbt %0, %1, %2, lsl #16" : "=r"(y) : "r"(a), "r"(b));
  return y;
}

// The upper halves of both.
static inline uint32_t upper_halves(uint32_t a, uint32_t b) {
  uint32_t y;
  asm("pkhtb %0, %1, %2, asr #16" : "=r"(y) : "r"(b), "r"(a));
  return y;
}

// sum + both products of 16-bit numbers.
static inline int32_t smlad(uint32_t a, uint32_t b, int32_t sum) {
  asm("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

// What makes four elements of a picture the int8 that the operators see.
static inline uint32_t flip_of(const uint8_t*) { return 0x80808080u; }
static inline uint32_t flip_of(const int8_t*) { return 0; }

}  // namespace nn
}  // namespace sdiwm
