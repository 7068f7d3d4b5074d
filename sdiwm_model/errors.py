"""Errors that a person reads: one clear sentence naming the file, the field and the remedy."""


class SdiwmError(Exception):
    """Bad input or a missing part; the command line prints it and exits with status 2."""


class InstructionError(SdiwmError):
    """An instruction that is empty or asks for none of the known goals."""
