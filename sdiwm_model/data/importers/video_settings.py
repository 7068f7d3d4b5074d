"""What an import of video is told, from a YAML; see config/import/video.yaml."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.data.frame_codec import ENCODINGS
from sdiwm_model.errors import SdiwmError

MOST_BYTES = 1e9  # of one clip in memory


@dataclass(frozen=True)
class VideoSettings:
    """size: side of the square pictures, pixels; fps: pictures kept of each second; clip: most
    frames of one episode; longest_hold: s that one picture may stand for; encoding: "raw" or
    "jpeg"; split: the only one taken of a list that has several, "" takes all.
    """

    size: int = 224
    fps: float = 4.0
    clip: int = 64
    longest_hold: float = 2.0
    encoding: str = "raw"
    split: str = ""

    def __post_init__(self) -> None:
        for name, low, high in (("size", 8, 2048), ("fps", 0.01, 1000.0), ("clip", 1, 100_000),
                                ("longest_hold", 0.01, 3600.0)):  # fmt: skip
            value = getattr(self, name)
            whole = isinstance(getattr(type(self), name), int)
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise SdiwmError(f"{name} is {value!r}: give a {'whole ' if whole else ''}number")
            if not low <= value <= high:
                raise SdiwmError(f"{name} is {value}: use {low} to {high}")
        if self.clip * self.size**2 * 3 > MOST_BYTES:
            raise SdiwmError(
                f"a clip of {self.clip} pictures of {self.size} x {self.size} pixels takes more "
                "than 1 GB: use a smaller clip"
            )
        if self.encoding not in ENCODINGS:
            raise SdiwmError(f"encoding is {self.encoding!r}: use {' or '.join(ENCODINGS)}")
        if not isinstance(self.split, str):
            raise SdiwmError(f"split is {self.split!r}: give a word, as the list has it")

    def spec(self) -> EpisodeSpec:
        """What every clip has in common."""
        return EpisodeSpec(
            image=(self.size, self.size, 3), proprio=0, action=0, goals=0, state=0,
            task={"name": "video", "dt": 1.0 / self.fps, "goals": []}, encoding=self.encoding,
        )  # fmt: skip


def read_video_settings(path: Path | None) -> VideoSettings:
    """Read and check a settings file; without one, the defaults.

    Raises:
        SdiwmError: the file is missing or damaged, or a field is unknown or wrong.
    """
    if path is None:
        return VideoSettings()
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SdiwmError(f"{path} is missing: name an import's settings with --config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SdiwmError(f"{path} is no readable YAML: {error}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise SdiwmError(f"{path} holds no fields; see config/import/video.yaml")
    known = [each.name for each in fields(VideoSettings)]
    for name in content:
        if name not in known:
            raise SdiwmError(f"{path} has an unknown field '{name}'; there are {', '.join(known)}")
    try:
        return VideoSettings(**content)
    except SdiwmError as error:
        raise SdiwmError(f"{path}: {error}") from None
