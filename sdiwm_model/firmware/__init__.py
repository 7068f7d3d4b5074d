"""Programs for microcontrollers: boards, cross-compiler, emulator."""
