"""The sentences of the `reach` task: a grammar to train on, another to be tested on.

`train_instructions` and `heldout_instructions` share colour words and no template: verbs,
nouns and word orders of the second never occur in the first. Both are deterministic.
"""

from __future__ import annotations

import random

from .unrelated_instructions import heldout_unrelated_instructions, unrelated_instructions

__all__ = [
    "GOALS",
    "heldout_instructions",
    "heldout_unrelated_instructions",
    "train_instructions",
    "unrelated_instructions",
]

GOALS = ("red", "green", "blue", "yellow")

COLOUR_WORDS = {
    "red": ("red", "crimson", "scarlet", "ruby", "bright red", "dark red", "cherry-red"),
    "green": ("green", "emerald", "lime", "lime green", "dark green", "bright green"),
    "blue": ("blue", "azure", "navy", "sapphire", "dark blue", "bright blue", "navy blue"),
    "yellow": ("yellow", "lemon", "golden", "gold", "bright yellow", "canary", "lemon yellow"),
}
PLAIN_SHARE = 0.7
"""How often a sentence says the plain colour word rather than one of its synonyms."""

TRAIN_NOUNS = (
    "target", "target", "puck", "puck", "disc", "circle", "button", "one", "one", "marker", "dot",
    "object", "goal", "tile", "sticker", "cylinder", "item", "patch", "shape", "mark", "place",
    "round thing", "thing", "bullseye", "tablet", "knob", "ring", "area", "point", "location",
    "blob", "block", "position", "zone",
)  # fmt: skip
TRAIN_REFERENCES = (
    "the {c} {n}", "the {c} {n}", "the {c} {n}", "the {c} {n}", "{c}", "the {n} that is {c}",
    "the {c}-coloured {n}", "the {n} coloured {c}", "the {n} in {c}", "that {c} {n}", "the {c}",
    "the {c} {n} on the table", "the {c} colored {n}", "my {c} {n}",
)  # fmt: skip
TRAIN_ACTIONS = (
    "touch {o}", "touch {o}", "touch {o}", "tap {o}", "tap on {o}", "press {o}", "reach {o}",
    "reach for {o}", "go to {o}", "move to {o}", "hit {o}", "poke {o}", "point at {o}",
    "hover over {o}", "move the fingertip to {o}", "put your finger on {o}", "find {o}",
    "bring the arm to {o}", "rest the tip on {o}", "place your fingertip on {o}", "select {o}",
    "drive the arm to {o}", "go and touch {o}", "stretch out to {o}", "get to {o}", "choose {o}",
    "strike {o}", "push {o}", "meet {o}", "rub {o}", "brush {o}", "proceed to {o}", "bump {o}",
    "stroke {o}", "feel {o}", "pat {o}", "tag {o}", "seek {o}", "advance to {o}", "slide to {o}",
    "lower the finger onto {o}", "connect with {o}", "fly to {o}", "be at {o}", "finish at {o}",
    "bring yourself to {o}", "work your way to {o}", "place the hand above {o}", "track {o}",
    "extend towards {o}", "descend on {o}", "line up with {o}", "walk over to {o}", "run to {o}",
    "put the gripper at {o}", "let the arm move to {o}", "turn to {o}", "hold still above {o}",
    "end up at {o}", "bring your hand over {o}", "stop on {o}", "drop by {o}", "return to {o}",
    "direct the tip at {o}", "stop at {o} and remain there", "catch {o}", "get {o}", "check {o}",
    "move over {o} and stay there", "keep the tip above {o}", "travel to {o}", "take me to {o}",
)  # fmt: skip
TRAIN_FRAMES = (
    "{x}", "{x}", "{x}", "{x}", "please {x}", "{x} please", "could you {x}?", "can you {x}?",
    "i want you to {x}", "now {x}", "robot, {x}", "would you {x} for me", "your task is to {x}",
    "{x} now", "quickly {x}", "i would like you to {x}", "next, {x}", "{x}.", "{x}!", "just {x}",
    "you should {x}", "let's {x}", "{x} as fast as you can", "try to {x}", "ok, {x}",
    "hey robot, can you please {x}", "would you mind if you had to {x}", "you must {x} immediately",
    "my wish is that you {x}", "it is your turn to {x}", "how about you {x}", "machine: {x}",
    "if possible {x}", "be so good as to {x}", "we want you to {x}", "do me a favour and {x}",
    "among the pucks, {x}", "from here {x}", "{x}, ok?", "then {x}", "it would be nice to {x}",
    "why not {x}", "can't you {x}?",
    "don't hesitate to {x}", "don't wait, {x}", "whatever happens, {x}", "{x} without delay",
    "do {x}", "shall we {x}?", "won't you {x}?", "so {x}", "first of all {x}", "{x}, i say",
    "go ahead and {x}", "{x}, thanks", "slowly {x}",
)  # fmt: skip
TRAIN_ORDERS = (
    "{o}", "{o}, please", "{o}: touch it", "{o}, touch it", "{o}, go to it now", "{o} now",
    "it is {o} that you should touch", "{o} is the goal", "to {o}", "{o} is what i want touched",
    "for {o} you should reach", "the goal is {o}", "i want {o}", "next one: {o}", "now {o}",
    "{o} is next, tap it", "onto {o} with your finger", "your goal is {o}", "{o} it is",
    "{o}! {o}!", "{o} {o} {o}", "arm to {o}", "with your hand, {o}", "hand over {o}", "say {o}",
    "the answer is {o}", "let it be {o}", "i pick {o}", "{o} wins", "this time {o}", "again {o}",
    "where you must go is {o}", "there is {o}, reach it", "do you see {o}? touch it", "only {o}",
    "{o} is where the arm has to go", "destination {o}", "aim: {o}", "up next is {o}, go",
    "of all pucks {o} is the one to touch", "of the colours, take {o}", "above {o}, keep the tip",
    "is {o} within reach? go there", "at {o} the tip has to stop", "{o} is waiting for you",
    "task: {o}", "{o} if you please", "get yourself to where {o} is", "i need the tip on {o}",
    "i am thinking of {o}", "what about {o}", "look at {o} and go for it", "{o}, move to that",
)  # fmt: skip
TRAIN_DISTRACTIONS = (
    "ignore {d}, {x}", "ignore {d} and {x}", "not {d}, {x}", "{x}, not {d}", "{x} instead of {d}",
    "{x} and leave {d} alone", "don't touch {d}, {x}", "do not go to {d}, {x}", "not {d}, {o}",
    "{x} rather than {d}", "skip {d} and {x}", "forget {d}, {x}", "{o}, not {d}", "{o} and not {d}",
    "{x} but avoid {d}", "{x}, never {d}", "stay away from {d} and {x}", "instead of {d}, {x}",
    "not {d} but {o}", "{x}. leave {d} where it is.", "no, not {d}. {x}.", "{x}, ignore {d}",
    "without touching {d}, {x}", "{x} beside {d}", "{x} next to {d}", "{x}, it is near {d}",
    "you touched {d}, now {x}", "let {d} rest and {x}", "{x} while staying away from {d}",
    "{x} without hitting {d}", "{x} no matter what {d} does", "don't bother with {d}, {x}",
    "{x}, but keep your distance from {d}", "let {d} stay and {x}", "i don't want {d}, i want {o}",
    "{x}, whereas {d} does not matter", "{d} does not matter, {x}", "whatever {d} is for, {x}",
    "{x}, though {d} is there", "no attention to {d}, {x}", "{x} and keep off {d}",
    "there is {d}, but {x}", "{d} no, {o} yes", "{o} yes, {d} no", "{x} and do not come near {d}",
    "{o}, in contrast to {d}, has to be touched", "i do not mean {d}, i mean {o}",
    "keep away from {d} while you {x}", "last time it was {d}, this time {o}", "{d}? no. {o}!",
    "let {d} lie there and {x}", "move off {d} and {x}", "{o} regardless of {d}",
    "{x} while {d} stays out of it", "{x} and stay clear of {d}", "{x} as {d} is taken",
    "{x}, away from {d}", "{x} while avoiding {d}", "do not go near {d} but {x}",
    "{x}, unlike {d}", "{o}, unlike {d}, should be touched", "leave {d} alone and {x}",
    "it is not {d}, it is {o}", "do not mind {d}, {x}", "never {d}, always {o}", "{o} over {d}",
    "{x} even if {d} is closer", "{d} is wrong, {o} is right", "{d} was last time, now {x}",
    "stop going to {d} and {x}", "wrong, that is {d}, {x}",
)  # fmt: skip

HELDOUT_ACTIONS = (
    "contact", "land on", "visit", "prod", "make contact with", "head over to", "approach",
    "come to rest on", "position yourself over", "lay a hand on", "aim for", "swing over to",
    "guide the manipulator onto", "settle above", "steer towards", "nudge your way to",
)  # fmt: skip
HELDOUT_NOUNS = ("pad", "token", "spot", "coin", "plate", "piece", "chip", "counter")
HELDOUT_FRAMES = (
    "{x}", "kindly {x}", "{x}, will you", "i need you to {x} at once", "time to {x}",
    "arm: {x}", "{x} if you don't mind", "why don't you {x}",
)  # fmt: skip
HELDOUT_ORDERS = (
    "{c}. go there now", "that {c} thing — put your fingertip over it", "target: {c}",
    "over the {c} thing, hold your end effector", "{c} is where you ought to be",
    "it's the {c} {n} i need you to contact", "the {c} {n}, and be quick about it",
    "your destination is the {c} {n}", "{c} {c} {c}!", "see the {c} {n}? approach it",
    "on the {c} {n} your hand must come to rest", "we need the arm at the {c} {n}",
    "let the tip come down on the {c} {n}", "make it {c}", "fingertip to {c}",
    "the colour is {c}, get yourself there", "out of the four, visit the {c} {n}",
    "there, the {c} {n}, that's where your hand belongs", "finger, {c} {n}, go",
    "hand on {c}", "would the {c} {n} be reachable? then do it", "to the {c} side with you, finger",
)  # fmt: skip
HELDOUT_DISTRACTIONS = (
    "leave the {d} {n} be and head over to the {c} {n}", "disregard {d}; {c} it shall be",
    "the {c} {n}, as opposed to the {d} {n}, is to be prodded",
    "it isn't the {d} {n} i'm after, it's the {c} {n}", "land on {c}, whatever {d} does",
    "pay no attention to the {d} {n}: visit the {c} {n}",
    "approach the {c} {n} while keeping clear of the {d} {n}",
    "not {d} this time, steer towards {c}",
)  # fmt: skip


def _others(goal: int) -> list[str]:
    return [name for name in GOALS if name != GOALS[goal]]


def say_colour(rng: random.Random, name: str) -> str:
    return name if rng.random() < PLAIN_SHARE else rng.choice(COLOUR_WORDS[name])


def _refer(rng: random.Random, name: str) -> str:
    reference = rng.choice(TRAIN_REFERENCES)
    return reference.format(c=say_colour(rng, name), n=rng.choice(TRAIN_NOUNS))


def _train_sentence(rng: random.Random, goal: int) -> str:
    wanted = _refer(rng, GOALS[goal])
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(TRAIN_ORDERS).format(o=wanted)
    action = rng.choice(TRAIN_ACTIONS).format(o=wanted)
    if kind < 0.6:
        return rng.choice(TRAIN_FRAMES).format(x=action)
    other = _refer(rng, rng.choice(_others(goal)))
    return rng.choice(TRAIN_DISTRACTIONS).format(x=action, o=wanted, d=other)


def train_instructions(goal: int, count: int = 1300) -> list[str]:
    """`count` different sentences that ask for goal 0..3, the plainest one first."""
    rng = random.Random(f"train {GOALS[goal]}")
    sentences = {f"touch the {GOALS[goal]} target": None, GOALS[goal]: None}
    sentences |= dict.fromkeys(COLOUR_WORDS[GOALS[goal]])
    sentences |= {f"touch the {word} one": None for word in COLOUR_WORDS[GOALS[goal]]}
    while len(sentences) < count:
        sentences[_train_sentence(rng, goal)] = None
    return list(sentences)


def heldout_instructions(goal: int) -> list[str]:
    """Sentences that ask for goal 0..3 in verbs, nouns and word orders unseen in training."""
    rng = random.Random(f"held out {GOALS[goal]}")
    sentences: dict[str, None] = {}
    for action in HELDOUT_ACTIONS:
        colour = say_colour(rng, GOALS[goal])
        wanted = f"{action} the {colour} {rng.choice(HELDOUT_NOUNS)}"
        sentences[rng.choice(HELDOUT_FRAMES).format(x=wanted)] = None
    for order in HELDOUT_ORDERS:
        words = {"c": say_colour(rng, GOALS[goal]), "n": rng.choice(HELDOUT_NOUNS)}
        sentences[order.format(**words)] = None
    for order in HELDOUT_DISTRACTIONS:
        for other in _others(goal):
            noun = rng.choice(HELDOUT_NOUNS)
            sentences[order.format(c=GOALS[goal], d=other, n=noun)] = None
    return list(sentences)
