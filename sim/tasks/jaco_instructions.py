"""Sentences for task `jaco_reach`, whose one goal is the red ball: to train on and to be tested by.

Sentences to test by use verbs, nouns and word orders that no training sentence has. A sentence that
is about a ball of another colour, about another thing, or about the ball but not about bringing the
hand to it, must be refused.
"""

from __future__ import annotations

import itertools
import random

TRAIN_COUNT = 800
TRAIN_BALLS = (
    "the red ball", "the red ball", "the ball", "the red sphere", "the target", "that red ball",
    "the red target", "the sphere", "the red thing", "the red globe", "the bright red ball",
    "the red ball in the air", "the floating ball", "the ball that is red", "red",
    "the crimson ball", "the scarlet ball", "the ruby sphere", "the scarlet sphere",
    "the crimson thing", "the red object", "the round red thing", "the red balloon", "the red dot",
    "the red marker", "the round target", "the red circle", "the red point", "the red one",
)  # fmt: skip
TRAIN_ACTIONS = (
    "move the hand to {o}", "reach {o}", "reach for {o}", "go to {o}", "touch {o}", "move to {o}",
    "bring the hand to {o}", "bring the gripper to {o}", "move the gripper to {o}", "get to {o}",
    "put your hand on {o}", "put the fingers around {o}", "take the hand to {o}", "find {o}",
    "drive the arm to {o}", "stretch out to {o}", "hold the hand at {o}", "stay at {o}",
    "place the hand at {o}", "point the fingers at {o}", "extend the arm to {o}", "tap {o}",
    "let the hand travel to {o}", "move your fingertips to {o}", "go and touch {o}", "hit {o}",
    "stop with the hand at {o}", "keep the hand at {o}", "have the hand meet {o}",
)  # fmt: skip
TRAIN_FRAMES = (
    "{x}", "{x}", "{x}", "please {x}", "{x} please", "could you {x}?", "can you {x}?", "now {x}",
    "robot, {x}", "i want you to {x}", "your task is to {x}", "{x} now", "quickly {x}", "{x}.",
    "{x}!", "just {x}", "you should {x}", "let's {x}", "{x} as fast as you can", "try to {x}",
    "would you {x} for me", "go ahead and {x}", "next, {x}", "{x} and stay there", "slowly {x}",
)  # fmt: skip
TRAIN_ORDERS = (
    "{o}", "{o}, please", "{o}: reach it", "{o} is the goal", "the goal is {o}", "to {o}",
    "hand to {o}", "gripper to {o}", "{o} is where the hand has to go", "{o}, go to it now",
    "for {o} you should reach", "it is {o} that you should touch", "do you see {o}? touch it",
    "there is {o}, move there", "where you must go is {o}", "destination {o}", "arm to {o}",
)  # fmt: skip

HELDOUT_BALLS = ("the red orb", "the red bubble", "the crimson orb", "the scarlet bubble")
HELDOUT_ACTIONS = (
    "approach {o}", "steer the hand towards {o}", "guide the fingers onto {o}", "visit {o}",
    "make contact with {o}", "head over to {o}", "position the gripper over {o}", "aim for {o}",
    "swing the arm over to {o}", "carry your hand across to {o}",
)  # fmt: skip
HELDOUT_FRAMES = ("{x}", "kindly {x}", "{x}, will you", "time to {x}", "i need you to {x}")
HELDOUT_ORDERS = (
    "your destination is {o}", "see {o}? approach it", "at {o} your hand belongs",
    "{o} is where you ought to be", "we need the gripper at {o}", "hand, {o}, go",
    "over by {o}, that is where the fingers should end up", "let the arm come to rest at {o}",
)  # fmt: skip

TRAIN_UNRELATED = tuple(
    """what is the weather like today|tell me the forecast for sunday|boil two eggs for six minutes
preheat the oven to 200 degrees|chop the onions and fry them in butter|open the door|close the door
open the drawer|turn on the light|turn off the light|pick up the cup|put the cup on the shelf
fold the towel|wipe the table|sweep the floor|wash the dishes|water the plants|hand me the hammer
insert the peg into the hole|stack the blocks|pour water into the glass|unscrew the bottle cap
walk forward two metres|turn left|turn right|stand up|sit down|drive to the charging station
open your gripper|close your gripper|close your fingers|make a fist|wave|stop|halt|wait|do nothing
stay where you are|go home|return to your base|calibrate yourself|shut down|reboot the computer
what can you do|who are you|hello|good morning|thank you|yes|no|maybe|ok|never mind|cancel|help
again|faster|slower|undo that|how are you doing|what time is it|play some music|tell me a joke
what is the capital of france|how old is the universe|write a poem about the sea|sing a song
what is two plus two|call my mother|send an email to the office|book a flight to london
the stock market fell yesterday|my dog likes long walks|the train leaves at noon|asdf|qwerty
he plays the piano very well|lorem ipsum dolor sit amet|blah blah blah|hmm|1 2 3 4|...|???|arm
robot|please|now|that one|go|move|reach|the hand|the floor|touch the floor|reach for the sky
move to the next room|move the hand to the wall|touch the camera|touch your elbow|go to the kitchen
lower the arm|raise the arm|move up|move down|move to the left|turn the wrist|bend your elbow
kick the red ball|throw the ball|catch the ball|buy a red ball|who lost the red ball|paint the ball
my red car is broken|she wore a red dress|eat a red apple|the red bus is late|a red door|red wine
where is the red ball|how big is the ball|what colour is the ball|is the ball red|hide the ball
do not touch the red ball|stay away from the ball|never touch the ball|avoid the red sphere
leave the ball alone|don't go to the red ball|keep the hand off the target|not the red ball
move the hand to the green ball|reach for the blue sphere|go to the yellow target""".replace(
        "\n", "|"
    ).split("|")
)
HELDOUT_UNRELATED = tuple(
    """is it sunny in madrid|knead the dough|unlock the gate|tie the shoelaces|mop the hallway
tighten the bolt|climb the stairs|shake hands with the visitor|juggle three oranges|good night
who invented the telephone|define entropy|order a pizza|the museum is closed on mondays|beep boop
release your grip|rotate the forearm|relax your motors|bounce the ball|who owns that ball
keep clear of the red ball|iron the red shirt|the red van is parked outside|how heavy is the ball
reach the ceiling|move the hand to the lamp|head over to the garage""".replace("\n", "|").split("|")
)
ABSENT_COLOURS = (
    "blue", "green", "yellow", "purple", "orange", "pink", "white", "black", "brown", "grey",
)  # fmt: skip
ABSENT_THINGS = ("cube", "block", "cup", "box", "bottle", "door", "button", "lamp", "chair", "pen")
ABSENT_COUNT = 250
HELDOUT_ABSENT = ("magenta ball", "turquoise sphere", "silver ball", "red shovel", "red pyramid")


def train_instructions() -> list[str]:
    """`TRAIN_COUNT` different sentences that ask for the ball, the plainest one first."""
    rng = random.Random("train")
    sentences = {"move the hand to the red ball": None}
    while len(sentences) < TRAIN_COUNT:
        ball = rng.choice(TRAIN_BALLS)
        if rng.random() < 0.25:
            sentence = rng.choice(TRAIN_ORDERS).format(o=ball)
        else:
            action = rng.choice(TRAIN_ACTIONS).format(o=ball)
            sentence = rng.choice(TRAIN_FRAMES).format(x=action)
        sentences[sentence] = None
    return list(sentences)


def heldout_instructions() -> list[str]:
    """Sentences that ask for the ball in verbs, nouns and word orders unseen in training."""
    rng = random.Random("held out")
    balls = ("the red ball", *HELDOUT_BALLS)
    actions = [a.format(o=b) for a, b in itertools.product(HELDOUT_ACTIONS, balls)]
    sentences = [rng.choice(HELDOUT_FRAMES).format(x=action) for action in actions]
    sentences += [o.format(o=b) for o, b in itertools.product(HELDOUT_ORDERS, balls)]
    return list(dict.fromkeys(sentences))


def unrelated_instructions() -> list[str]:
    """Sentences of the training set that must be refused."""
    rng = random.Random("unrelated")
    absent = [f"the {c} {n}" for c in ABSENT_COLOURS for n in ("ball", "sphere", "target")]
    absent += [f"the {c} {n}" for c in ("red", *ABSENT_COLOURS[:3]) for n in ABSENT_THINGS]
    sentences = dict.fromkeys([*TRAIN_UNRELATED, *absent])
    while len(sentences) < len(TRAIN_UNRELATED) + ABSENT_COUNT:
        action = rng.choice(TRAIN_ACTIONS).format(o=rng.choice(absent))
        sentences[rng.choice(TRAIN_FRAMES).format(x=action)] = None
    return list(sentences)


def heldout_unrelated_instructions() -> list[str]:
    """Sentences never trained on that must be refused too."""
    absent = [f"approach the {thing}" for thing in HELDOUT_ABSENT]
    return [*HELDOUT_UNRELATED, *absent, *(f"move the hand to the {t}" for t in HELDOUT_ABSENT)]
