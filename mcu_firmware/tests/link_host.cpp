// The command handler on a PC, driven through a pipe; built with sanitizers by its test.
//
// Reads records: milliseconds to let pass, number of bytes, the bytes. Answers each with the number
// of bytes that the chip would have sent, and those.
#include <stdio.h>

#include "tests/host_machine.hpp"

static sdiwm::Handler handler(host_machine::machine());

int main() {
  uint32_t record[2];
  while (fread(record, sizeof record, 1, stdin) == 1) {
    host_machine::answered = 0;
    host_machine::now += record[0] * host_machine::kTicksPerMs;
    handler.watch();
    for (uint32_t i = 0; i < record[1]; ++i) {
      const int byte = getchar();
      if (byte == EOF) return 1;
      handler.put(static_cast<uint8_t>(byte));
    }
    handler.watch();
    fwrite(&host_machine::answered, sizeof host_machine::answered, 1, stdout);
    fwrite(host_machine::answers, host_machine::answered, 1, stdout);
    fflush(stdout);
  }
  return 0;
}
