"""A world-action model executed by ONNX Runtime on one thread; torch is never imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array
from sdiwm_model.runtime.checks import as_floats
from sdiwm_model.wam.denoising import Denoising, Feed, reading_again, unread
from sdiwm_model.wam.dropping import Kept, any_half, best_half
from sdiwm_model.wam.noise import SEED, video_noise
from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.rolling import History, RollingCache
from sdiwm_model.wam.schedule import Pass, passes
from sdiwm_model.wam.sizes import WamSize
from sdiwm_model.wam.switches import Switches
from sdiwm_model.wam.weights import QUICK, GraphFolder

CLEAN = 1.0  # the time of data


class OnnxWamEngine:
    """See protocols.WamEngine. Not for two threads at once.

    Args:
        folder: with the graphs and weights, `wam` of a bundle.
        size: as wam.json says.

    Raises SdiwmError where graphs of the precision that is asked for are missing or damaged.
    """

    def __init__(self, folder: Path, size: WamSize, switches: Switches | None = None) -> None:
        self.size, self.switches = size, switches or Switches()
        graphs = GraphFolder(folder, self.switches.precision)
        self._sessions = {name: graphs.open(name) for name in self._needed()}
        sessions = self._sessions.items()
        self._inputs = {name: [x.name for x in s.get_inputs()] for name, s in sessions}
        self._outputs = {name: [x.name for x in s.get_outputs()] for name, s in sessions}
        self._scale = graphs.tensor("future.scale").astype(np.float32)
        self._graphs = graphs  # holds what the sessions read
        self._video_noise = video_noise(size)
        self._about: bytes | None = None
        self._told: dict[tuple[StepPair, int], list[Feed]] = {}
        self.begin()

    def begin(self) -> None:
        """Forget the episode."""
        self._cache, self._history = RollingCache(self.size), History(self.size)
        self._rng = np.random.default_rng(SEED)

    def observe(self, o: Array) -> None:
        """Append one observation o (O,)."""
        self._history.add(as_floats("o", o, (self.size.observation,)))
        if self.switches.streaming:
            self._cache.advance()
            self._look()

    def chunk(self, c: Array, noise: Array, steps: StepPair, prefix: Array | None = None) -> Array:
        """c (C,), noise (H, A), prefix (k, A) -> (H, A)."""
        return self.chunks(c, as_floats("noise", noise, self._chunk)[None], steps, prefix)[0]

    def chunks(self, c: Array, noise: Array, steps: StepPair, prefix: Array | None = None) -> Array:
        """c (C,), noise (N, H, A), prefix (k, A) -> (N, H, A)."""
        return self._sample(c, noise, steps, prefix, False)[0].clip(-1.0, 1.0)

    def imagine(self, c: Array, noise: Array, steps: StepPair) -> Array:
        """c (C,), noise (H, A) -> future image features (F, E)."""
        if steps.mode == "policy":
            raise SdiwmError("mode 'policy' imagines nothing: choose 'joint' or 'inverse'")
        noise = as_floats("noise", noise, self._chunk)[None]
        tokens = self._sample(c, noise, steps, None, True)[1]
        change = tokens[0].reshape(self.size.frames, self.size.features)
        now = self._history.newest()[self.size.latent :][: self.size.features]
        return now + change * self._scale

    @property
    def _chunk(self) -> tuple[int, int]:
        return self.size.chunk, self.size.action

    def _needed(self) -> list[str]:
        """Graphs that these switches run."""
        passes = ["video", "joint", "action"]
        needed = ["observe" if self.switches.streaming else "recompute", "gates", "follow", *passes]
        if self.switches.token_drop == "ranked":
            needed.append("rank")
        if self._quick:
            needed += [name + QUICK for name in passes]
        return needed

    @property
    def _quick(self) -> bool:
        """Whether passes are quick in turn, where there are layers between first and last."""
        return self.switches.feature_cache and self.size.depth > 2

    def _sample(
        self, c: Array, noise: Array, steps: StepPair, prefix: Array | None, imagined: bool
    ) -> tuple[Array, Array]:
        """Actions (N, H, A) and tokens of the future (N, video_tokens, PATCH).

        imagined: whether the future is followed to its end although no action reads it.
        """
        c = as_floats("c", c, (self.size.conditioning,))[None]
        action = as_floats("noise", noise, (None, *self._chunk)).copy()
        given = self._begin_with(prefix, action)
        window = self._window(len(action))
        kept = self._kept(c, steps, window)
        video = np.repeat(self._video_noise[None, kept], len(action), axis=0)
        chunks = Denoising(self.size, action, given, video, kept, self._quick)
        plan = list(passes(steps))
        if not self.switches.kv_reuse:
            plan = list(reading_again(plan))
        elif not imagined:
            plan = list(unread(plan))
        told = self._gates_of_all(c, steps, plan, given)
        for i, each in enumerate(plan):
            if i and not self.switches.kv_reuse:
                window = self._window(len(action), again=True)
            gates = told[i] if told else self._gates(c, [each], given)[0]
            name, feed = chunks.ask(each)
            found = self._run(name, window | gates | feed, chunks.wanted(name, plan[i:]))
            if each.video_step:
                found |= self._run("follow", found | gates | feed)
            chunks.take(each, found)
        whole = np.zeros((len(action), *self._video_noise.shape), np.float32)
        whole[:, kept] = chunks.video
        return chunks.action, whole

    def _begin_with(self, prefix: Array | None, action: Array) -> int:
        """Put the prefix (k, A) at the start of ``action``; k."""
        if prefix is None or not len(prefix):
            return 0
        prefix = as_floats("prefix", prefix, (None, self.size.action))
        if len(prefix) > self.size.chunk:
            raise SdiwmError(
                f"the prefix holds {len(prefix)} actions, a chunk {self.size.chunk}: cut it"
            )
        action[:, : len(prefix)] = prefix
        return len(prefix)

    def _window(self, chunks: int, again: bool = False) -> Feed:
        """Keys and values of the observations that are looked back on, for each of the chunks.

        again: although they were computed before.
        """
        if not len(self._history):
            raise SdiwmError("no chunk without an observation: call observe first")
        if self.switches.streaming:
            if again:
                self._look()
            found, ages = self._cache.feed(), self._cache.ages
        else:
            found, ages = self._run("recompute", self._history.feed()), self._history.ages()
        if chunks > 1:
            found = {name: np.repeat(each, chunks, axis=0) for name, each in found.items()}
        return found | {"ages": ages}

    def _look(self) -> None:
        """Write keys and values of the newest observation into the cache."""
        feed: Feed = {"o": self._history.newest()[None], "ages": self._cache.ages_before()}
        self._cache.put(self._run("observe", self._cache.feed() | feed))

    def _kept(self, c: Array, steps: StepPair, window: Feed) -> Kept:
        """Numbers of the future's tokens that are imagined."""
        count, drop = self.size.video_tokens, self.switches.token_drop
        if drop == "none" or steps.mode == "policy":
            return np.arange(count)
        if drop == "random":
            return any_half(count, self._rng)
        if self.switches.streaming:
            values = self._cache.newest_values()
        else:
            values = window[f"values_{self.size.depth - 1}"][:1, :, : self.size.seen_tokens]
        feed: Feed = {"values": np.ascontiguousarray(values), "c": c}
        return best_half(self._run("rank", feed)["scores"])

    def _gates_of_all(self, c: Array, steps: StepPair, plan: list[Pass], given: int) -> list[Feed]:
        """Gates of every pass, as they were for the same goal and observation before.

        None without the switch.
        """
        if not self.switches.gate_cache:
            return []
        about = c.tobytes() + self._history.newest().tobytes()
        if self._about != about:
            self._about = about
            self._told.clear()
        if (steps, given) not in self._told:
            self._told[steps, given] = self._gates(c, plan, given)
        return self._told[steps, given]

    def _gates(self, c: Array, plan: list[Pass], given: int) -> list[Feed]:
        """What the layers are told in each pass: of the future, and of each action."""
        times = [[p.video_time or 0.0, p.action_time or 0.0, CLEAN] for p in plan]
        spans = [[0.0, *[p.long_step if self.switches.one_step else 0.0] * 2] for p in plan]
        rows = {"t": times, "span": spans}
        feed: Feed = {name: np.array(x, np.float32).reshape(-1, 1) for name, x in rows.items()}
        found = self._run("gates", feed | {"c": c, "o": self._history.newest()[None]})
        free = np.arange(self.size.chunk)[:, None] >= given
        told: list[Feed] = []
        for i in range(0, len(feed["t"]), 3):
            now, clean = (found["action"][:, j : j + 1] for j in (i + 1, i + 2))
            video = np.ascontiguousarray(found["video"][:, i : i + 1])
            action = np.where(free, now, clean)
            told.append({"video_gates": video, "action_gates": action, "anchor": found["anchor"]})
        return told

    def _run(self, name: str, feed: Feed, wanted: Sequence[str] = ()) -> Feed:
        """A graph's outputs, those that are wanted or all."""
        outputs = wanted or self._outputs[name]
        taken = {key: feed[key] for key in self._inputs[name]}
        found = self._sessions[name].run(outputs, taken)
        return dict(zip(outputs, found, strict=True))
