// Which of the linked instruction sets this processor has; the only run-time choice.
#include <stdint.h>

extern "C" __attribute__((visibility("default"))) const char* sdiwm_best_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
      __builtin_cpu_supports("avx512vnni")) {
    return "avx512vnni";
  }
  if (__builtin_cpu_supports("avx2")) return "avx2";
#endif
  return "portable";
}
