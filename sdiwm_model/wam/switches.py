"""What makes a world-action model cheap to run, each with a switch of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sdiwm_model.errors import SdiwmError

TOKEN_DROPS = ("none", "random", "ranked")
PRECISIONS = ("float", "fp16", "int8")


@dataclass(frozen=True)
class Switches:
    """How the ONNX engine saves work. The default changes no chunk by more than rounding.

    streaming      observations by windowed attention to a rolling cache, one at a time; else all
                   that the newest one can know of is computed again
    kv_reuse       keys and values of the observations, and of a future that is imagined no
                   further, are computed once a chunk; else in every pass
    gate_cache     what tells the layers time, goal and newest observation is computed once a chunk;
                   else in every pass
    token_drop     "random" and "ranked" imagine half of the future's tokens: any, or those that
                   the model's own score puts first
    feature_cache  every other pass takes over what the layers between the first and the last added
                   in the pass before
    precision      "float", "fp16" or "int8" (weights; inputs by their range at every call)
    one_step       action steps as the distilled few-step head takes them
    """

    streaming: bool = True
    kv_reuse: bool = True
    gate_cache: bool = True
    token_drop: str = "none"
    feature_cache: bool = False
    precision: str = "float"
    one_step: bool = False

    def __post_init__(self) -> None:
        for name, known in (("token_drop", TOKEN_DROPS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise SdiwmError(
                    f"switch '{name}' is {getattr(self, name)!r}: choose one of {', '.join(known)}"
                )
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool" and type(value) is not bool:
                raise SdiwmError(f"switch '{field.name}' is {value!r}: use True or False")


UNOPTIMISED = Switches(streaming=False, kv_reuse=False, gate_cache=False)
