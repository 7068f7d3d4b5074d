"""The sentences of the `cartpole` task: some to train on, others to be tested on, some to refuse.

Every sentence of `TRAIN` and `HELDOUT` asks for the one goal, the pole upright. What must be
refused includes the opposites: let it hang, let it fall, drive the cart and forget the pole.
"""

from __future__ import annotations

from sdiwm_sim.tasks.unrelated_instructions import TRAIN_SENTENCES

TRAIN_ACTIONS = (
    "swing the pole up and balance it", "swing up the pole", "swing the pole up",
    "balance the pole", "balance the pole upright", "keep the pole upright", "raise the pole",
    "bring the pole to the top and hold it there", "get the pole to stand up",
    "make the pole stand", "make the pole stand upright", "put the pole in the upright position",
    "lift the pole and keep it balanced", "stand the pole up on the cart",
    "turn the pole until it points up", "flip the pole up", "hold the pole vertically",
    "point the pole at the ceiling", "move the cart so that the pole stands up",
    "push the cart until the pole is upright", "drive the cart back and forth to raise the pole",
    "balance the stick", "swing the stick up", "keep the stick upright", "balance the rod",
    "swing the rod up and keep it there", "raise the rod above the cart",
    "balance the pendulum", "swing up the pendulum", "keep the pendulum at the top",
    "swing the pendulum up and balance it in the middle", "invert the pendulum",
    "balance it upright", "swing it up", "swing it up and keep it there",
)  # fmt: skip
TRAIN_FRAMES = (
    "{x}", "please {x}", "{x} please", "could you {x}?", "can you {x}?", "i want you to {x}",
    "now {x}", "robot, {x}", "your task is to {x}", "{x} as fast as you can", "try to {x}",
    "do not let it fall, {x}",
)  # fmt: skip
TRAIN = tuple(frame.format(x=action) for frame in TRAIN_FRAMES for action in TRAIN_ACTIONS)
"""The plainest one first."""

HELDOUT = (
    "get that pole up in the air and keep it from falling", "pole up!", "an upright pole, please",
    "let the pole rise and stay on top", "would you mind balancing the pole",
    "the pole should stand on end above the cart", "set the pole upright",
    "work the cart so the pole ends up vertical", "stabilise the pole in its upper position",
    "i need the pole standing", "have the pole stand straight up", "upright with that pole",
    "do the cart-pole swing-up", "erect the pole and steady it", "keep the pole aloft",
    "steady the inverted pendulum", "rock the cart until the pole tips over the top and stays",
    "the rod belongs at the top", "get the stick vertical and hold it",
    "the pendulum ought to be upside down", "swing that thing up and steady it",
    "kindly bring the pole upright", "pole to the top, and balance",
)  # fmt: skip
"""Paraphrases and word orders of which no training sentence has the like."""

OPPOSITES = (
    "let the pole hang down", "let the pole fall", "drop the pole", "keep the pole down",
    "do not swing the pole up", "do not balance the pole", "never raise the pole",
    "leave the pole hanging", "the pole must not stand up", "stop balancing the pole",
    "bring the pole to the bottom", "lower the pole", "hold the pole horizontally",
    "spin the pole as fast as you can", "keep the pole spinning", "swing the pole to and fro",
    "drive the cart to the left end", "move the cart to the right", "park the cart in the middle",
    "drive the cart away", "leave the cart where it is", "push the cart", "stop the cart",
    "remove the pole", "paint the pole red", "break the stick", "how long is the pole",
    "how heavy is the cart", "what is a pendulum", "who built the cart", "the pole is broken",
    "where is the north pole", "fly to the south pole", "a pole", "the cart", "the pendulum",
    "balance my accounts", "swing the golf club", "swing the door open", "raise the flag",
    "raise my salary", "keep the lamp upright", "balance the books", "lift the box",
    "the pendulum of the clock swings", "stand up straight", "sit upright", "swing",
    "balance", "up", "down", "climb up the pole", "turn the cart over",
)  # fmt: skip
UNRELATED = (*TRAIN_SENTENCES, *OPPOSITES)
