// What every board does with received bytes: a ring that the UART's interrupt handler fills.
#pragma once

#include "ring.hpp"

namespace sdiwm {
namespace board {

constexpr uint32_t kRingBytes = 4096;

extern Ring<kRingBytes> received;

}  // namespace board
}  // namespace sdiwm
