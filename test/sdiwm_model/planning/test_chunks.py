import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.chunk_planner import ChunkPlanner
from sdiwm_model.planning.chunks import AtOnce, ChunkSettings, ChunkStream, rows_from
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.proposals import ProposalPlanner
from sdiwm_model.planning.protocols import PlannerSettings, Sighting, TimedPlanner
from sdiwm_model.wam.protocols import StepPair, WamEngine
from sdiwm_model.wam.sizes import WamSize

DT = 0.04
TICKS = 8  # control ticks in a model step
STEPS = StepPair(0, 1, "prefill")
C = np.ones(16, np.float32)
SIZE = WamSize(chunk=8, action=2, latent=2, features=8, proprio=0)
WIDTH = SIZE.observation


class CountingEngine:
    """Row i of the chunk that follows observation n is (n + i) / 100, then noise / 1000."""

    size = SIZE

    def __init__(self):
        self.seen, self.asked, self.begun = [], [], 0

    def begin(self):
        self.begun += 1
        self.seen = []

    def observe(self, o):
        if not np.isfinite(o).all():
            raise SdiwmError("o holds a NaN")
        self.seen.append(o)

    def chunk(self, c, noise, steps, prefix=None):
        self.asked.append((len(self.seen), prefix, c, steps))
        rows = (len(self.seen) - 1 + np.arange(SIZE.chunk)) / 100
        actions = np.stack([rows, noise[:, 1] / 1000], axis=1).astype(np.float32)
        if prefix is not None:
            actions[: len(prefix)] = prefix
        return actions

    def chunks(self, c, noise, steps, prefix=None):
        return np.stack([self.chunk(c, one, steps, prefix) for one in noise])

    def imagine(self, c, noise, steps):
        raise NotImplementedError


class Later(Executor):
    """Runs its jobs when told to, in their order."""

    def __init__(self):
        self.waiting = []

    def submit(self, job, /, *args):
        future = Future()
        self.waiting.append((future, job, args))
        return future

    def work(self):
        for future, job, args in self.waiting:
            future.set_result(job(*args))
        self.waiting = []


def make_planner(engine=None, executor=None, horizon=8, seed=0, **settings):
    engine, executor = engine or CountingEngine(), executor or AtOnce()
    stream = ChunkStream(engine, executor, ChunkSettings(STEPS, **settings), DT, seed)
    return ChunkPlanner(stream, PlannerSettings(horizon=horizon), SIZE, DT)


def sighting(tick, goal=0, lag=0.0):
    o, now = np.full(WIDTH, tick, np.float32), np.nan_to_num(tick) * DT / TICKS
    return Sighting(o, now, o, now + lag, goal)


def act(planner, ticks, **told):
    """The first action of the plan at each tick, (n, A)."""
    return np.stack([planner.plan_at(sighting(t, **told), C, None).actions[0] for t in ticks])


def test_the_scripted_engine_and_the_planner_fit_their_protocols():
    assert isinstance(CountingEngine(), WamEngine)
    assert isinstance(make_planner(), TimedPlanner)


def test_the_engine_sees_one_observation_a_model_step_however_fast_the_loop_is():
    engine = CountingEngine()
    act(make_planner(engine), range(5 * TICKS))
    assert [int(o[0]) for o in engine.seen] == [0, 8, 16, 24, 32]
    assert [seen for seen, *_ in engine.asked] == [1, 2, 3, 4, 5]


def test_without_delay_each_chunk_is_carried_out_from_its_own_observation_on():
    done = act(make_planner(), range(3 * TICKS))
    assert done[::TICKS, 0] == pytest.approx([0.0, 0.01, 0.02])
    assert done[7, 0] == pytest.approx(0.0)  # held for a whole model step


@pytest.mark.parametrize("delay", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_the_prefix_is_what_is_carried_out_until_the_chunk_is_there(delay):
    engine = CountingEngine()
    planner = make_planner(engine, delay=delay * DT)
    done = act(planner, range(30 * TICKS))
    late = [(seen, prefix) for seen, prefix, *_ in engine.asked if prefix is not None]
    assert len(late) >= 7
    for seen, prefix in late[:-2]:
        assert len(prefix) == np.ceil(delay)
        carried_out = done[(seen - 1) * TICKS :: TICKS][: len(prefix)]
        assert carried_out == pytest.approx(prefix, abs=1e-6)
    assert np.abs(np.diff(done[8 * TICKS :, 0])).max() < 0.011  # no jump from chunk to chunk


def test_the_robot_rests_until_its_first_chunk_is_there_which_then_begins():
    planner = make_planner(delay=1.5 * DT)
    done = act(planner, range(3 * TICKS))
    assert not done[:12].any()
    assert done[12, 0] == pytest.approx(0.0)  # row 0, not the row of 1.5 steps later
    assert done[20, 0] == pytest.approx(0.01)


def test_a_delay_in_lockstep_does_not_depend_on_how_long_the_making_takes(monkeypatch):
    def run():
        engine = CountingEngine()
        return act(make_planner(engine, delay=0.05, seed=4), range(20 * TICKS)), engine.asked

    ticks = iter(range(10**6))
    first, asked = run()
    monkeypatch.setattr("time.perf_counter", lambda: 60.0 * next(ticks))  # a slow computer
    second, asked_again = run()
    assert np.array_equal(first, second)
    assert [n for n, *_ in asked] == [n for n, *_ in asked_again]


def test_chunks_come_no_more_often_than_asked():
    engine = CountingEngine()
    act(make_planner(engine, every=3), range(9 * TICKS))
    assert [seen for seen, *_ in engine.asked] == [1, 4, 7]


def test_the_loop_never_waits_for_a_chunk_and_goes_on_with_the_one_in_force():
    engine, released = CountingEngine(), threading.Event()
    made = engine.chunk

    def slow(*args):
        assert released.wait(20)
        return made(*args)

    engine.chunk = slow
    with ThreadPoolExecutor(1) as thread:
        planner = make_planner(engine, thread)
        assert not act(planner, range(2)).any()  # the thread stands still; this one does not
        released.set()
        thread.submit(int).result()
        first = planner.plan_at(sighting(2), C, None)
        assert first.inference_s > 0
        released.clear()
        done = act(planner, range(3, 4 * TICKS))
        assert done[:, 0] == pytest.approx((np.arange(3, 4 * TICKS) - 2) // TICKS / 100)
        released.set()


def test_a_chunk_that_is_over_is_reported_and_the_next_one_is_carried_out():
    executor = Later()
    planner = make_planner(executor=executor)
    act(planner, [0])
    executor.work()
    act(planner, range(1, 8 * TICKS))
    with pytest.raises(SdiwmError, match="chunk is over"):
        act(planner, [8 * TICKS + 1])
    assert not act(planner, [8 * TICKS + 2]).any()
    executor.work()
    act(planner, [8 * TICKS + 3])
    assert act(planner, [9 * TICKS + 4])[0, 0] > 0


def test_a_chunk_that_comes_after_more_than_its_prefix_is_late():
    executor = Later()
    planner = make_planner(executor=executor)
    told = []
    for tick in range(6 * TICKS):
        if tick not in range(2 * TICKS, 5 * TICKS):  # one chunk takes three model steps
            executor.work()
        told.append(planner.plan_at(sighting(tick), C, None))
    assert [i for i, plan in enumerate(told) if plan.late] == [5 * TICKS]
    assert told[5 * TICKS].age_s == pytest.approx(3 * DT + DT, abs=DT)


def test_another_goal_begins_another_episode_at_rest():
    engine = CountingEngine()
    planner = make_planner(engine, delay=DT)
    assert act(planner, range(3 * TICKS))[-1, 0] > 0
    assert not act(planner, [3 * TICKS + 1], goal=1).any()
    assert engine.begun == 2
    assert len(engine.seen) == 1


@pytest.mark.parametrize("tick", [0, 50 * TICKS])
def test_a_clock_that_jumps_and_a_gap_without_observations_forget_the_episode(tick):
    engine = CountingEngine()
    planner = make_planner(engine)
    act(planner, range(1, 3 * TICKS))
    act(planner, [tick])
    assert engine.begun == 2


def test_a_late_action_is_taken_from_further_on_in_the_chunk():
    engine = CountingEngine()
    planner = make_planner(engine)
    act(planner, range(TICKS), lag=DT / 2)
    done = act(planner, [TICKS], lag=DT / 2)[0, 0]
    assert len(engine.asked[1][1]) == 1  # half a step is committed when it is seen
    assert done == pytest.approx(engine.asked[1][1][0, 0])
    assert act(planner, [TICKS + 4], lag=DT / 2)[0, 0] == pytest.approx(0.02)


@pytest.mark.parametrize("executor", [AtOnce(), ThreadPoolExecutor(1)])
def test_what_goes_wrong_in_the_making_of_a_chunk_is_told_by_the_planner(executor):
    planner = make_planner(executor=executor)
    with pytest.raises(SdiwmError, match="a NaN"):
        for _ in range(2):
            act(planner, [np.nan])
            executor.submit(int).result()


def test_the_latent_of_another_back_end_is_refused_in_words():
    z = np.zeros(2, np.float32)
    with pytest.raises(SdiwmError, match=r"shape \(2,\).* takes \(10,\).*back end 'wam'"):
        make_planner().plan_at(Sighting(z, 0.0, z, 0.0), C, None)


def test_a_chunk_that_is_not_finite_is_refused():
    engine = CountingEngine()
    engine.chunk = lambda *args: np.full((8, 2), np.nan, np.float32)
    with pytest.raises(SdiwmError, match="not finite"):
        act(make_planner(engine), [0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"delay": 0.3}, "a chunk lasts 8 model steps, 320 ms"),
        ({"every": 8}, "every 8 model steps"),
        ({"every": 0}, "wam.every is 0"),
        ({"delay": -0.1}, "wam.delay is -0.1"),
        ({"delay": np.nan}, "wam.delay is nan"),
    ],
)
def test_times_that_contradict_the_chunk_are_refused(settings, words):
    with pytest.raises(SdiwmError, match=words):
        make_planner(**settings)


def test_a_plan_is_as_long_as_its_horizon():
    plan = make_planner(horizon=5).plan(sighting(0).z, C)
    assert plan.actions.shape == (5, 2)


def test_a_row_is_held_for_its_model_step_and_the_last_is_repeated():
    actions = np.arange(4, dtype=np.float32)[:, None]
    assert rows_from(actions, 1.25)[:, 0].tolist() == [1, 2, 3, 3]
    assert rows_from(actions, 2 - 1e-9)[:, 0].tolist() == [2, 3, 3, 3]


class Pull:
    """Each latent costs its distance to 1; an action moves it."""

    action_size = 2

    def prior(self, z, c):
        return None

    def rollout_cost(self, z, actions, c, value_weight=1.0, disagreement=0.0):
        path = z[None, None] + np.cumsum(actions, axis=1)
        return np.abs(path - 1.0).sum(axis=(1, 2)).astype(np.float32)


class KnowingEngine(CountingEngine):
    """Its last chunk goes to 1 at once."""

    def observe(self, o):
        self.seen.append(o)

    def chunks(self, c, noise, steps, prefix=None):
        self.asked.append((len(self.seen), prefix, c, steps))
        actions = np.zeros_like(noise)
        actions[-1, 0] = 1.0
        return actions


def proposing(candidates=8, count=2, **settings):
    engine = KnowingEngine()
    mppi = Mppi(Pull(), PlannerSettings(candidates=candidates, horizon=4, sigma=0.05), 0)
    made = ChunkSettings(STEPS, count=count, **settings)
    stream = ChunkStream(engine, AtOnce(), made, DT, 0)
    return ProposalPlanner(mppi, stream, count, SIZE, DT), engine


def test_a_proposal_that_scores_well_is_what_is_carried_out():
    planner, _ = proposing()
    assert isinstance(planner, TimedPlanner)
    o = np.array([0, 0] + [9] * 8, np.float32)  # all but the first two are the stream's alone
    plan = planner.plan_at(Sighting(o, 0.0, o, 0.0), C, None)
    assert plan.actions == pytest.approx(np.array([[1, 1], [0, 0], [0, 0], [0, 0]]), abs=0.1)
    assert plan.cost == pytest.approx(0.0, abs=1e-6)


def test_proposals_that_are_made_late_are_given_what_is_carried_out_meanwhile():
    planner, engine = proposing(delay=1.5 * DT)
    o = np.zeros(WIDTH, np.float32)
    plans = []
    for tick in range(4 * TICKS):
        now = tick * DT / TICKS
        warm = plans[-1].actions if plans else None
        plans.append(planner.plan_at(Sighting(o, now, o, now), C, warm))
    assert engine.asked[0][1] is None
    asked, prefix, *_ = engine.asked[1]
    assert len(prefix) == 2
    assert prefix[0] == pytest.approx(plans[(asked - 1) * TICKS - 1].actions[0], abs=0.2)


def test_more_proposals_than_candidates_are_refused():
    with pytest.raises(SdiwmError, match="use 7 candidates or more"):
        proposing(candidates=6, count=4)
