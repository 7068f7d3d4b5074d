"""No two blocks that are alive at once share bytes, unless they may."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.export.compiler.memory_plan import ALIGNMENT, Block, plan


def alive(moments, first, last):
    found = np.zeros(moments, bool)
    found[first : last + 1] = True
    return found


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 25), overlap=st.booleans())
def test_blocks_never_collide(seed, count, overlap):
    rng = np.random.default_rng(seed)
    blocks = []
    for i in range(count):
        first = int(rng.integers(0, 20))
        lives = alive(24, first, min(23, first + int(rng.integers(0, 6))))
        may = {}
        if overlap and i and rng.random() < 0.5:
            may = {str(rng.integers(i)): int(rng.integers(0, 300))}
        blocks.append(Block(str(i), int(rng.integers(1, 500)), lives, may))
    made = plan(blocks)
    assert made.peak == max(made.offsets[b.name] + b.size for b in blocks)
    for i, a in enumerate(blocks):
        assert made.offsets[a.name] % ALIGNMENT == 0
        for b in blocks[:i]:
            if not (a.alive & b.alive).any():
                continue
            at, other = made.offsets[a.name], made.offsets[b.name]
            apart = at + a.size <= other or other + b.size <= at
            before = b.name in a.may_overlap and other - at >= a.may_overlap[b.name]
            assert apart or before


def test_what_dies_makes_room():
    blocks = [
        Block("a", 100, alive(4, 0, 1)),
        Block("b", 50, alive(4, 1, 2)),
        Block("c", 96, alive(4, 2, 3)),
    ]
    made = plan(blocks)
    assert made.peak == 162  # 112 = 100 aligned, then b; c where a was


def test_an_output_slides_over_its_input():
    input_, output = Block("x", 1000, alive(2, 0, 1)), Block("y", 900, alive(2, 1, 1), {"x": 100})
    assert plan([input_, output]).peak <= 1000 + 112
    assert plan([input_, Block("y", 900, alive(2, 1, 1))]).peak >= 1900
