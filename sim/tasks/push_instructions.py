"""The sentences of the `push` task: a grammar to train on, another to be tested on.

Colour words, polite frames and all that is unrelated are those of the `reach` task; verbs, nouns
and word orders are the puck's own. The training and the held-out sentences share colour words and
no template. All is deterministic.
"""

from __future__ import annotations

import random

from . import instructions
from .instructions import COLOUR_WORDS, GOALS, HELDOUT_FRAMES, TRAIN_FRAMES, say_colour

__all__ = [
    "GOALS",
    "heldout_instructions",
    "heldout_unrelated_instructions",
    "train_instructions",
    "unrelated_instructions",
]

PUCKS = ("the puck", "the puck", "the puck", "the white puck", "the disc", "the white disc", "it")
PLACES = (
    "zone", "zone", "zone", "area", "circle", "place", "field", "region", "goal", "target", "disc",
    "corner", "spot on the table", "patch", "part of the table", "round area", "destination",
)  # fmt: skip
TRAIN_REFERENCES = (
    "the {c} {n}", "the {c} {n}", "the {c} {n}", "the {c} {n}", "{c}", "the {n} that is {c}",
    "the {c}-coloured {n}", "the {n} coloured {c}", "the {n} in {c}", "that {c} {n}", "the {c} one",
    "the {c} colored {n}", "the {n} marked {c}", "the {n} painted {c}",
)  # fmt: skip
TRAIN_ACTIONS = (
    "push {p} to {o}", "push {p} to {o}", "push {p} to {o}", "push {p} into {o}",
    "slide {p} to {o}",
    "move {p} to {o}", "bring {p} to {o}", "put {p} in {o}", "shove {p} to {o}", "take {p} to {o}",
    "push {p} onto {o}", "slide {p} into {o}", "move {p} into {o}", "get {p} to {o}",
    "push {p} towards {o}", "drive {p} into {o}", "send {p} to {o}", "place {p} on {o}",
    "deliver {p} to {o}", "guide {p} to {o}", "park {p} in {o}", "carry {p} over to {o}",
    "push {p} over to {o}", "let {p} slide to {o}", "make {p} go to {o}", "work {p} into {o}",
    "leave {p} in {o}", "move {p} across the table to {o}", "push {p} until it lies in {o}",
    "set {p} down in {o}", "lead {p} to {o}", "return {p} to {o}", "transport {p} to {o}",
    "push {p} all the way to {o}", "fill {o} with {p}", "cover {o} with {p}", "use {o} for {p}",
    "have {p} end in {o}", "shift {p} to {o}", "relocate {p} to {o}", "press {p} over to {o}",
)  # fmt: skip
TRAIN_ORDERS = (
    "{o}", "{o}, please", "{o}: push {p} there", "{o}, push {p} there", "{o} now", "puck to {o}",
    "{p} to {o}", "{p} into {o}, please", "{o} is where {p} should go", "{o} is the goal",
    "to {o}", "the goal is {o}", "{p} belongs in {o}", "{p} has to go to {o}", "next: {o}",
    "i want {p} in {o}", "{p} should lie in {o}", "now {o}", "destination {o}", "it is {o} now",
    "your goal is {o}", "this time {o}", "{o}! {o}!", "again {o}", "only {o}", "into {o} with {p}",
    "with your finger, {p} to {o}", "do you see {o}? push {p} there", "i need {p} in {o}",
    "of all zones {o} is the one for {p}", "in {o} is where {p} must stop", "task: {p} to {o}",
    "{p} wants to be in {o}", "is {p} in {o}? if not, push it there", "the place for {p} is {o}",
)  # fmt: skip
TRAIN_DISTRACTIONS = (
    "ignore {d}, {x}", "ignore {d} and {x}", "not {d}, {x}", "{x}, not {d}", "{x} instead of {d}",
    "{x} and leave {d} empty", "don't push it to {d}, {x}", "do not use {d}, {x}", "not {d}, {o}",
    "{x} rather than {d}", "skip {d} and {x}", "forget {d}, {x}", "{o}, not {d}", "{o} and not {d}",
    "{x} but avoid {d}", "{x}, never {d}", "stay away from {d} and {x}", "instead of {d}, {x}",
    "not {d} but {o}", "no, not {d}. {x}.", "{x}, ignore {d}", "{x}, away from {d}",
    "{x} without crossing {d}", "{x} no matter what {d} is for", "don't bother with {d}, {x}",
    "it was {d} before, now {x}", "last time it was {d}, this time {o}", "{d}? no. {o}!",
    "i don't want it in {d}, i want it in {o}", "{d} does not matter, {x}", "from {d}, {x}",
    "{d} no, {o} yes", "{o} yes, {d} no", "i do not mean {d}, i mean {o}", "{x}, unlike {d}",
    "it is not {d}, it is {o}", "never {d}, always {o}", "{o} over {d}", "out of {d}, {x}",
    "{x} even if {d} is closer", "{d} is wrong, {o} is right", "wrong, that is {d}, {x}",
    "it is in {d}, {x}", "take it out of {d} and {x}", "{x} while keeping clear of {d}",
)  # fmt: skip

HELDOUT_ACTIONS = (
    "nudge the piece to", "herd the white thing into", "usher the puck over to",
    "sweep the counter into", "transfer the token to", "propel the disc onto", "conduct it to",
    "steer the puck towards", "hustle the white piece to", "escort the puck to",
    "shepherd it into", "position the puck inside", "scoot the coin to", "convey the disc into",
)  # fmt: skip
HELDOUT_NOUNS = ("pad", "bay", "home", "territory", "section", "landing", "box", "square")
HELDOUT_ORDERS = (
    "{c}. there, with the puck", "that {c} thing — get the puck onto it", "puck: {c}",
    "{c} is where the white piece ought to be", "it's the {c} {n} that needs the puck",
    "the {c} {n}, and be quick about it", "the puck's destination is the {c} {n}", "{c} {c} {c}!",
    "see the {c} {n}? that's home for the puck", "make it {c}", "{c} {n} for the white piece",
    "let the puck come to rest on the {c} {n}", "out of the four, choose the {c} {n}",
    "there, the {c} {n}, that's where the disc belongs", "finger, puck, {c} {n}, go",
    "would the {c} {n} be free? then the puck goes there", "the colour is {c}, push away",
)  # fmt: skip
HELDOUT_DISTRACTIONS = (
    "leave the {d} {n} be and steer the puck to the {c} {n}", "disregard {d}; {c} it shall be",
    "the {c} {n}, as opposed to the {d} {n}, gets the puck",
    "it isn't the {d} {n} i'm after, it's the {c} {n}", "nudge it to {c}, whatever {d} does",
    "pay no attention to the {d} {n}: the puck goes to the {c} {n}",
    "not {d} this time, herd it to {c}",
)  # fmt: skip

ABSENT_COLOURS = (
    "purple", "orange", "pink", "white", "black", "brown", "grey", "silver", "turquoise", "violet",
)  # fmt: skip
UNRELATED = (
    "push the puck", "move the puck", "slide it", "push it somewhere",
    "push the puck off the table", "push the puck to any zone", "where is the puck",
    "do not push the puck", "leave the puck alone", "push the puck to the middle",
    "push the table", "lift the puck", "pick up the puck",
    "throw the puck", "turn the puck over", "bring me the puck", "how heavy is the puck",
    "push the puck to the left", "push the puck to the nearest zone", "empty every zone",
)  # fmt: skip
UNRELATED_FORMS = (
    "do not push the puck to the {t} zone", "keep the puck out of the {t} zone",
    "never push it into the {t} area", "the puck must not enter {t}", "paint the puck {t}",
)  # fmt: skip
HELDOUT_ABSENT_COLOURS = ("magenta", "beige", "lilac", "ivory", "khaki", "copper")
HELDOUT_UNRELATED_FORMS = (
    "nudge the puck to the {c} bay", "puck: {c}", "push the puck to the {c} zone",
)  # fmt: skip


def _refer(rng: random.Random, name: str) -> str:
    return rng.choice(TRAIN_REFERENCES).format(c=say_colour(rng, name), n=rng.choice(PLACES))


def _train_sentence(rng: random.Random, goal: int) -> str:
    wanted, puck = _refer(rng, GOALS[goal]), rng.choice(PUCKS)
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(TRAIN_ORDERS).format(o=wanted, p=puck)
    action = rng.choice(TRAIN_ACTIONS).format(o=wanted, p=puck)
    if kind < 0.6:
        return rng.choice(TRAIN_FRAMES).format(x=action)
    other = _refer(rng, rng.choice([name for name in GOALS if name != GOALS[goal]]))
    return rng.choice(TRAIN_DISTRACTIONS).format(x=action, o=wanted, d=other)


def train_instructions(goal: int, count: int = 1300) -> list[str]:
    """`count` different sentences that ask for goal 0..3, the plainest one first."""
    rng = random.Random(f"push, train {GOALS[goal]}")
    sentences = {f"push the puck to the {GOALS[goal]} zone": None, GOALS[goal]: None}
    sentences |= dict.fromkeys(COLOUR_WORDS[GOALS[goal]])
    sentences |= {f"push the puck to the {word} one": None for word in COLOUR_WORDS[GOALS[goal]]}
    while len(sentences) < count:
        sentences[_train_sentence(rng, goal)] = None
    return list(sentences)


def heldout_instructions(goal: int) -> list[str]:
    """Sentences that ask for goal 0..3 in verbs, nouns and word orders unseen in training."""
    rng = random.Random(f"push, held out {GOALS[goal]}")
    sentences: dict[str, None] = {}
    for action in HELDOUT_ACTIONS:
        colour = say_colour(rng, GOALS[goal])
        wanted = f"{action} the {colour} {rng.choice(HELDOUT_NOUNS)}"
        sentences[rng.choice(HELDOUT_FRAMES).format(x=wanted)] = None
    for order in HELDOUT_ORDERS:
        words = {"c": say_colour(rng, GOALS[goal]), "n": rng.choice(HELDOUT_NOUNS)}
        sentences[order.format(**words)] = None
    for order in HELDOUT_DISTRACTIONS:
        for other in GOALS:
            if other != GOALS[goal]:
                words = {"c": GOALS[goal], "d": other, "n": rng.choice(HELDOUT_NOUNS)}
                sentences[order.format(**words)] = None
    return list(sentences)


def unrelated_instructions() -> list[str]:
    """Sentences of the training set that must be refused."""
    sentences = [*instructions.unrelated_instructions(), *UNRELATED]
    sentences += [form.format(t=t) for form in UNRELATED_FORMS for t in GOALS]
    for colour in ABSENT_COLOURS:
        sentences += [f"push the puck to the {colour} zone", f"slide the puck into {colour}"]
    return list(dict.fromkeys(sentences))


def heldout_unrelated_instructions() -> list[str]:
    """Sentences never trained on that must be refused too."""
    sentences = instructions.heldout_unrelated_instructions()
    for form in HELDOUT_UNRELATED_FORMS:
        sentences += [form.format(c=colour) for colour in HELDOUT_ABSENT_COLOURS]
    seen = set(unrelated_instructions())
    return [s for s in dict.fromkeys(sentences) if s not in seen]
