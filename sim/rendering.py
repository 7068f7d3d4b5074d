"""Headless MuJoCo rendering with everything expensive turned off."""

from __future__ import annotations

import atexit
import warnings

import mujoco
import numpy as np
from numpy.typing import NDArray

from sdiwm_sim.opengl import cannot_render

_EXPENSIVE = (
    mujoco.mjtRndFlag.mjRND_SHADOW,
    mujoco.mjtRndFlag.mjRND_REFLECTION,
    mujoco.mjtRndFlag.mjRND_SKYBOX,
    mujoco.mjtRndFlag.mjRND_HAZE,
    mujoco.mjtRndFlag.mjRND_CULL_FACE,
)


_open: list[mujoco.Renderer] = []


class Camera:
    """One square offscreen camera of a model.

    Args:
        model: the compiled MuJoCo model.
        camera: name of a camera in it.
        size: edge of the picture in pixels.

    Raises:
        SdiwmError: no OpenGL library can be used.
    """

    def __init__(self, model: mujoco.MjModel, camera: str, size: int) -> None:
        self._camera = camera
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # GLFW's, where there is no display: said below
                self._renderer = mujoco.Renderer(model, size, size)
        except Exception as error:
            raise cannot_render(error) from error
        _open.append(self._renderer)
        atexit.unregister(_close_all)  # last comes first: dm_control ends EGL at exit too
        atexit.register(_close_all)
        for flag in _EXPENSIVE:
            self._renderer.scene.flags[flag] = False

    def render(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """The picture now, (size, size, 3) RGB."""
        self._renderer.update_scene(data, self._camera)
        return self._renderer.render()


def _close_all() -> None:
    """At exit, while EGL is there: in interpreter shutdown it is gone too early."""
    for renderer in _open:
        renderer.close()


def project(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    camera: str,
    points: NDArray[np.float32],
    size: int,
) -> NDArray[np.float32]:
    """Pixels (N, 2), x right and y down, where a square picture shows world points (N, 3)."""
    index = model.camera(camera).id
    axes = data.cam_xmat[index].reshape(3, 3)
    local = (np.asarray(points, dtype=np.float64) - data.cam_xpos[index]) @ axes
    focal = size / 2 / np.tan(np.radians(model.cam_fovy[index]) / 2)
    x = size / 2 + focal * local[:, 0] / -local[:, 2]
    y = size / 2 - focal * local[:, 1] / -local[:, 2]
    return np.stack([x, y], axis=1).astype(np.float32)
