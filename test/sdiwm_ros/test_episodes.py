import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.episodes import Episodes, episode_seed
from sdiwm_ros.recording import load_run
from sdiwm_ros.signals import Command, CommandKind

GOALS = ("red", "green", "blue", "yellow")
REST = np.zeros(4, np.float32)


class CountingTask:
    """Succeeds after `patience` ticks since its reset or its newest goal."""

    name, goals, physics_dt, time_limit = "counting", GOALS, 0.005, 6.0
    action_limit = np.ones(4, np.float32)

    def __init__(self, patience):
        self.patience = patience

    def reset(self, seed, goal=None, instruction=None):
        self.time = 0.0
        self.set_goal(seed % 4 if goal is None else goal, instruction or f"touch {seed}")

    def set_goal(self, goal, instruction=None):
        self.goal = goal
        self.instruction = instruction or self.instruction
        self.ticks = 0

    def step(self, action):
        self.ticks += 1
        self.time += self.physics_dt

    def goal_costs(self):
        return np.array([3, 1, 2, 4], np.float32)

    def outcome(self):
        success = self.goal is not None and self.ticks >= self.patience
        time = self.time if success else None
        return SimpleNamespace(
            success=success, wrong_target=False, passed_over_wrong=False, time_to_success=time
        )


def run_until_end(episodes, limit=5000):
    for tick in range(limit):
        ended = episodes.step(REST, tick)
        if ended:
            return ended
    raise AssertionError("the episode did not end")


def test_success_ends_an_episode_and_the_next_one_begins():
    episodes = Episodes(CountingTask(10), seed=3, count=2, instruction="")
    first = run_until_end(episodes)
    assert (first.success, first.ticks, first.index) == (True, 10, 0)
    assert not episodes.exhausted
    run_until_end(episodes)
    assert episodes.exhausted


def test_an_episode_without_success_ends_at_the_time_limit():
    ended = run_until_end(Episodes(CountingTask(10**6), 0, 1, ""))
    assert ended.success is False
    assert ended.ticks == 1200


def test_a_sentence_that_names_no_single_target_is_not_judged():
    ended = run_until_end(Episodes(CountingTask(10), 0, 1, "touch something nice"))
    assert ended.success is None
    assert ended.nearest == "green"


def test_a_new_instruction_gets_the_full_time_and_is_recorded():
    episodes = Episodes(CountingTask(10**6), 0, 1, "touch the red one")
    for tick in range(1000):
        episodes.step(REST, tick)
    episodes.change("touch the blue one")
    ended = run_until_end(episodes)
    assert ended.changes == [(1000, 2, "touch the blue one")]
    assert ended.ticks == 2200


def test_every_pair_of_seed_and_index_has_its_own_layout():
    seeds = {episode_seed(seed, index) for seed in range(20) for index in range(100)}
    assert len(seeds) == 2000


def test_a_record_comes_back_as_it_was_saved(tmp_path):
    episodes = Episodes(CountingTask(10), 0, 1, "touch red", room=100)
    run_until_end(episodes)
    episodes.record.add_command(20, Command(np.zeros(4), 10, CommandKind.FALLBACK, 1))
    episodes.record.save(tmp_path)
    run = load_run(tmp_path)
    assert run.episodes == episodes.record.episodes
    assert run.commands.tolist() == [[20, 10, 1, 1]]
    assert len(run.of_kind(CommandKind.PLAN)) == 0
    assert run.tick_ns.tolist() == list(range(10))
    assert run.actions.shape == (10, 4)


def test_a_record_keeps_whole_episodes_as_far_as_it_has_room(tmp_path):
    episodes = Episodes(CountingTask(10), 0, 3, "", room=25)
    for _ in range(3):
        run_until_end(episodes)
    episodes.record.save(tmp_path)
    run = load_run(tmp_path)
    assert [episode.complete for episode in run.episodes] == [True, True, False]
    assert len(run.tick_ns) == 25
    assert run.header["unrecorded_ticks"] == 5


def test_without_room_for_a_record_nothing_is_kept_of_a_long_run():
    episodes = Episodes(CountingTask(2), 0, 0, "")
    tracemalloc.start()
    for tick in range(200):
        episodes.step(REST, tick)
    before = tracemalloc.get_traced_memory()[0]
    for tick in range(2000):
        episodes.step(REST, tick)
        episodes.record.add_command(20, Command(REST, 10, CommandKind.PLAN, 1))
    assert tracemalloc.get_traced_memory()[0] - before < 5000
    tracemalloc.stop()
    assert not episodes.record.episodes


def test_a_damaged_record_is_refused_in_words(tmp_path):
    (tmp_path / "simulator.npz").write_bytes(b"no archive")
    with pytest.raises(SdiwmError, match=r"simulator\.npz"):
        load_run(tmp_path)
