"""What to say where nothing can be rendered."""

from __future__ import annotations

from sdiwm_model.errors import SdiwmError


def cannot_render(error: BaseException) -> SdiwmError:
    """One sentence with the remedy for ``error``, whose type tells nothing.

    MuJoCo and PyOpenGL raise another type for every library that is missing.
    """
    return SdiwmError(
        f"cannot render: no working OpenGL ({error}); on Debian or Ubuntu run "
        "'apt-get install libegl1 libgl1-mesa-dri' and unset MUJOCO_GL"
    )
