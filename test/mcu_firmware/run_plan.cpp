// Runs plans read from a file and compares every integer; built with sanitizers by the test.
//
// Records: goal, settings, z, mean, expected mean, expected cost. Exit status 1 on a difference.
#include <stdio.h>
#include <string.h>

#include "../../mcu_firmware/planner/fuse.hpp"
#include "../../mcu_firmware/planner/mppi.hpp"

static sdiwm::Workspace work;

template <class T>
static bool read(FILE* file, T* to, size_t count) {
  return fread(to, sizeof(T), count, file) == count;
}

int main(int, char** arguments) {
  FILE* file = fopen(arguments[1], "rb");
  if (file == nullptr) return 2;
  sdiwm::Goal goal;
  int records = 0;
  while (read(file, &goal, 1)) {
    sdiwm::PlannerSettings settings;
    int16_t z[sdiwm::model::kLatent];
    static int16_t mean[sdiwm::model::kMaxHorizon * sdiwm::model::kAction];
    static int16_t expected[sdiwm::model::kMaxHorizon * sdiwm::model::kAction];
    int32_t cost;
    if (!read(file, &settings, 1) || !read(file, z, sdiwm::model::kLatent)) return 2;
    const size_t count = static_cast<size_t>(settings.horizon) * sdiwm::model::kAction;
    if (!read(file, mean, count) || !read(file, expected, count) || !read(file, &cost, 1)) return 2;
    if (sdiwm::plan(goal, settings, z, mean, work) != cost) return 1;
    if (memcmp(mean, expected, count * sizeof(int16_t)) != 0) return 1;
    static int16_t x[sdiwm::model::kFusionInput];
    sdiwm::fuse(x, z);
    ++records;
  }
  printf("%d\n", records);
  return 0;
}
