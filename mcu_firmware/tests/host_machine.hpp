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

static sdiwm::Machine machine() {
  return {{write}, ticks, 1000 * kTicksPerMs, none, none, "host"};
}

}  // namespace host_machine
