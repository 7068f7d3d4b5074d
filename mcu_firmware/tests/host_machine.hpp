// A machine without a chip: time that the test moves, answers that it reads.
#pragma once

#include <stdint.h>
#include <string.h>

#include "protocol/handler.hpp"

namespace host_machine {

constexpr uint32_t kTicksPerMs = 1000;
constexpr uint32_t kAnswers = 1 << 16;

static uint32_t now;
static uint8_t answers[kAnswers];
static uint32_t answered;

static void write(const uint8_t* bytes, uint32_t count) {
  if (count > kAnswers - answered) answered = 0;
  memcpy(answers + answered, bytes, count);
  answered += count;
}

static uint32_t ticks() { return now; }
static uint32_t none() { return 0; }

#if SDIWM_HAS_ENCODER
alignas(16) static uint8_t picture[sdiwm::encoder::kPictureBytes];
alignas(16) static uint8_t arena[sdiwm::encoder::kArenaBytes];
#endif

static sdiwm::Machine machine() {
  return {{write},
          ticks,
          1000 * kTicksPerMs,
          none,
          none,
          "host",
#if SDIWM_HAS_ENCODER
          {picture, arena},
#endif
  };
}

}  // namespace host_machine
