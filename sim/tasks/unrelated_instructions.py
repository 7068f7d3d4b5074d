"""Sentences that no coloured puck answers to: what the arm must refuse rather than guess.

Among them are commands that look right: colours that are not on the table, no colour at all,
a prohibition without a goal, and the right colours on other things. A sentence that asks for two
targets at once is related, and which of them it gets is not defined.
"""

from __future__ import annotations

import itertools
import random

TABLE_COLOURS = ("red", "green", "blue", "yellow")

TRAIN_SENTENCES = tuple(
    """what is the weather like today|it will rain tomorrow afternoon|is it going to snow this week
how warm is it outside|the wind is strong in the mountains|tell me the forecast for sunday
boil two eggs for six minutes|chop the onions and fry them in butter|what should i cook tonight
add a pinch of salt to the soup|preheat the oven to 200 degrees|how long does rice take to cook
bake a chocolate cake|peel the potatoes|stir the sauce until it thickens|slice the bread
open the door|close the door|open the drawer|close the drawer|shut the window|turn on the light
turn off the light|pick up the cup|put the cup on the shelf|fold the towel|wipe the table
sweep the floor|vacuum the living room|wash the dishes|water the plants|screw in the bulb
insert the peg into the hole|stack the blocks|pour water into the glass|unscrew the bottle cap
hand me the hammer|push the cart to the wall|drive to the charging station|take off and hover
walk forward two metres|turn left|turn right|rotate by ninety degrees|stand up|sit down
kick the ball|throw the ball|catch the ball|open your gripper|close your gripper|grasp the mug
push the block off the table|pull the lever|flip the switch|unplug the cable|feed the cat
stop|halt|wait|do nothing|stay where you are|go home|return to your base|calibrate yourself
shut down|reboot the computer|what can you do|who are you|hello|hi there|good morning|thank you
yes|no|maybe|ok|okay|sure|never mind|cancel|help|again|faster|slower|undo that|repeat after me
how are you doing|what time is it|set an alarm for seven|play some music|tell me a joke
sing a song|who won the football match|what is the capital of france|how old is the universe
translate this sentence into german|write a poem about the sea|what is two plus two
call my mother|send an email to the office|book a flight to london|how much does it cost
the stock market fell yesterday|my dog likes long walks|she reads a book every week
the train leaves at noon|we went to the beach in summer|he plays the piano very well
history is my favourite subject|the meeting was moved to monday|this film is too long
touch|go|move|target|puck|the target|the puck|the table|arm|robot|please|now|that one|this one
touch it|touch the target|touch the puck|go there|move to the disc|reach for the button
touch a target|touch any target|touch something|press the button|hit the circle|touch one of them
touch the left one|touch the nearest puck|touch the biggest target|go to the other one|select one
touch the target on the right|which one do you like|touch your nose|touch the floor|touch the wall
touch the camera|reach for the sky|go to the kitchen|move to the next room|point at the ceiling
touch all of them|touch every target|touch none of them|do not touch anything|avoid all targets
asdf|qwerty|lorem ipsum dolor sit amet|blah blah blah|xyzzy|foo bar baz|aaaa|zzz|hmm|uh|la la la
1 2 3 4|42|...|???|!|-|. . .|#$%|a|the|of and the|and then|because|wibble wobble|x y z|0
colour|colours|what colour is it|which colour is the best|how many colours are there|rainbow
mix all the paints|name three colours|touch the colourless target|touch the transparent puck
touch the invisible one|touch the striped disc|touch the rainbow target|paint the puck""".replace(
        "\n", "|"
    ).split("|")
)

TRAIN_ABSENT_COLOURS = (
    "purple", "orange", "pink", "white", "black", "brown", "grey", "silver", "turquoise",
    "maroon", "violet", "indigo", "cyan", "bronze", "tan", "lavender", "gray", "peach", "cream",
    "chestnut", "salmon", "coral", "platinum", "charcoal", "burgundy", "mint", "sand", "pearl",
)  # fmt: skip
TRAIN_ABSENT_FORMS = (
    "touch the {c} target", "go to the {c} puck", "{c}", "please tap the {c} disc",
    "reach for the {c} one", "the {c} one", "move to the {c} circle", "the {c} button, touch it",
    "can you press the {c} marker?", "put your finger on the {c} object", "touch {c}",
    "i want you to touch the dark {c} puck", "the goal is the {c} target", "hover over {c}",
    "go: {c}", "{c} it is", "arm to {c}", "let the tip rest on the {c} puck", "{c}, please",
    "the {c} tile, quickly", "would you be so kind as to touch the {c} ring", "next: {c}",
)  # fmt: skip
TRAIN_ABSENT_COUNT = 330
TRAIN_ABSENT_WITH_PRESENT = (
    "touch the {c} target, not the {t} one", "ignore the {t} puck, go to the {c} puck",
    "the {c} one instead of the {t} one",
)  # fmt: skip
TRAIN_PRESENT_FORMS = (
    "do not touch the {t} target", "stay away from the {t} puck", "don't go to {t}",
    "ignore the {t} one", "never touch the {t} disc", "not the {t} one", "avoid {t}",
    "paint the wall {t}", "my {t} car is broken", "she wore a {t} dress", "buy a {t} jacket",
    "pick up the {t} cup", "open the {t} door", "wash the {t} towel", "i like {t} flowers",
    "why is the {t} light blinking", "is {t} your favourite colour", "the {t} bus is late",
    "what does {t} mean", "the wallpaper is {t}", "eat a {t} apple", "mix {t} paint with white",
    "throw the {t} ball", "the {t} team won the match", "where is the {t} puck",
    "how far away is the {t} target", "put the {t} block into the box",
)  # fmt: skip
TRAIN_OTHER_VERBS = (
    "pick up", "open", "close", "wash", "throw", "bring me", "buy", "sell", "clean", "paint",
    "put away", "lift", "pull", "fill", "empty", "hang up", "cut", "sew", "peel", "drive", "ride",
    "push", "turn off", "turn on", "carry", "drop", "break", "hide", "eat", "read", "find me",
    "hand over", "look for", "polish", "sharpen", "measure", "borrow", "return", "mend", "admire",
    "show me", "tell me about", "describe", "photograph", "knit", "bake", "taste", "plant", "pack",
    "park", "get rid of", "post", "i lost", "i need", "i like", "she wants", "they stole", "i saw",
    "have you got", "do you own", "what about", "who wore", "when did you buy", "put on",
    "take off", "give her", "move", "fix", "store", "order", "wrap", "draw", "where is",
    "who took", "fold up",
)  # fmt: skip
TRAIN_OTHER_NOUNS = (
    "cup", "door", "towel", "car", "bottle", "book", "box", "chair", "shoe", "pen", "bag", "hat",
    "window", "drawer", "house", "bowl", "blanket", "ball", "truck", "shirt", "flower", "apple",
    "pepper", "fish", "bird", "sock", "kettle", "lamp", "ribbon", "balloon", "envelope", "curtain",
    "pencil", "hammer", "spoon", "fork", "knife", "coat", "scarf", "glove", "wallet", "laptop",
    "keyboard", "guitar", "violin", "bench", "fence", "roof", "brick", "candle", "clock",
    "feather", "horse", "dog", "cat", "frog", "parrot", "tomato", "grape", "cabbage", "banana",
    "juice", "wine", "tea", "soup", "cake", "sugar", "leaf", "tree", "lawn", "river", "sky",
    "cloud", "stone", "drill", "wrench", "screw", "rope", "tent", "kite", "toy", "doll", "poster",
    "flag",
    "sign", "signal", "lipstick", "hair", "eye", "jumper", "uniform", "tie", "dress", "ink",
    "stamp", "tractor", "phone", "bucket", "boat", "pillow", "notebook", "sofa", "carpet", "train",
    "wire",
)  # fmt: skip
TRAIN_OTHER_SCENES = (
    "a {t} {o} stood by the road", "the {t} {o} is mine", "she lost her {t} {o}", "the {o} is {t}",
    "there is a {t} {o} in the garden", "we painted the {o} {t}", "his {o} turned {t}",
    "the {t} {o} costs too much", "someone left a {t} {o} here", "{t} is the colour of my {o}",
    "{t} is my favourite", "{t} is such a beautiful colour", "i prefer {t} to other colours",
    "is {t} a warm colour", "how do you make {t} from other colours", "which {t} is the darkest",
    "the {o} went {t}", "the {o} looks {t} in this light", "{t} {o}s are on sale",
    "all the {o}s in town are {t}", "our {t} {o} is broken", "nobody liked the {t} {o}",
    "a {t} {o} by the window", "the {t} of the {o}", "a film about a {t} {o}", "{t} as a {o}",
    "what a lovely {t} {o}", "who has seen the {t} {o}", "why is the {o} {t}",
    "the {o} was once {t}", "he felt {t}", "{t} stands for danger",
    "in the {t} {o} there is a mouse", "my {t} {o} is gone",
    "how expensive is the {t} {o}", "a poem about {t}", "the {t} {o} in the picture is old",
    "the {t} {o} fell over", "i saw two {t} {o}s yesterday", "dye the {o} {t}",
)  # fmt: skip
TRAIN_OTHER_COUNT = 1000
TRAIN_PROHIBITIONS = (
    "do not {v} the {t} {n}", "don't {v} the {t} {n}", "never {v} the {t} {n}",
    "under no circumstances {v} the {t} {n}", "you must not {v} the {t} {n}",
    "stay away from the {t} {n}", "avoid the {t} {n}", "keep off the {t} {n}",
    "keep your distance from the {t} {n}", "steer away from the {t} {n}", "not the {t} {n}",
    "stop before the {t} {n}", "leave the {t} {n} alone", "ignore the {t} {n}",
    "please don't {v} {t}", "be careful not to {v} the {t} {n}", "the {t} {n} is off limits",
    "whatever happens, avoid the {t} {n}", "in any case, do not {v} the {t} {n}",
    "make sure to stay away from {t}", "stay out of the way of the {t} {n}",
    "at all costs, do not {v} {t}", "get away from the {t} {n}", "at no time {v} the {t} {n}",
    "nothing must {v} the {t} {n}", "no matter what, keep off the {t} {n}",
    "whatever else happens, keep away from {t}", "do as you like, but not the {t} {n}",
    "everything except {t}", "any colour other than {t}", "not {t}, please", "leave out {t}",
    "you are forbidden to {v} the {t} {n}", "i told you not to {v} {t}", "no {t}",
    "hands off the {t} {n}", "take care that you never {v} the {t} {n}",
)  # fmt: skip
TRAIN_PROHIBITION_COUNT = 400

HELDOUT_SENTENCES = tuple(
    """will there be a thunderstorm tonight|how humid is it in singapore|the fog lifts before noon
is it sunny in madrid|a cold front moves in from the north|bring an umbrella on tuesday
how do i poach a salmon|whisk the cream until stiff|simmer the lentils for half an hour
knead the dough|marinate the chicken overnight|what goes well with asparagus|grate some cheese
drain the pasta|roast a turkey|brew a pot of coffee|unlock the gate|open the fridge
close the microwave|lift the box onto the pallet|tie the shoelaces|iron the shirt|mop the hallway
empty the dishwasher|hang up the coat|tighten the bolt|weld the two plates together|sand the board
solder the wire|load the truck|mow the lawn|trim the hedge|rake the leaves|plug in the charger
climb the stairs|land on the helipad|dock with the charger|follow the person in front of you
take a photograph|scan the barcode|sort the mail|shake hands with the visitor|wave at the crowd
bow to the audience|dance for me|stretch your legs|juggle three oranges|thread the needle
what's your name|are you alive|do you speak spanish|see you later|good night|bye|you're welcome
who invented the telephone|when did the war end|how tall is mount everest|define entropy
what's the square root of nine|recommend a good novel|read me the news|start a timer
order a pizza|reserve a table for four|cancel my subscription|log me out|increase the volume
skip this track|dim the screen|the committee approved the budget|prices rose by three percent
our neighbours bought a boat|birds migrate in autumn|the museum is closed on mondays
they married in a small chapel|the river flooded the valley|i forgot my keys again
the lecture starts at nine|nobody answered the phone|the bridge was built long ago
asdkjh qwpoe|flurble gnax|hjkl hjkl|tra la la|ooo eee|beep boop|7 8 9|3.14159|@@@|***|__|;;|n/a
null|undefined|test test|one two three|if only|therefore|between|nothing at all|whatever you like
move|do something|over there|begin|press it|hit that thing|reach it|the disc|a button|this circle
touch the middle one|go to the far target|tap whichever is closest|pick any puck you like
choose for yourself|touch your elbow|point at the moon|go to the garage|press the doorbell
tap everything|hit nothing|leave every puck alone|touch the chequered disc|the shiny one
the see-through puck|how bright is that|describe the palette|repaint the room|count the pucks
are the pucks heavy|who made this table|how fast is your arm|what is your payload
bend your elbow|move joint two by ten degrees|relax your motors|show me the camera image
lower the table|remove all pucks|shuffle the targets|tip the table over|clean the lens""".replace(
        "\n", "|"
    ).split("|")
)
HELDOUT_ABSENT_COLOURS = ("magenta", "beige", "lilac", "ivory", "mauve", "khaki", "copper", "plum")
HELDOUT_ABSENT_FORMS = (
    "touch the {c} target", "visit the {c} pad", "target: {c}", "fingertip to the {c} spot",
    "kindly approach the {c} plate", "press the purple button, {c} if you must",
)  # fmt: skip
HELDOUT_PRESENT_FORMS = (
    "keep clear of the {t} pad", "whatever you do, stay off the {t} one", "dye the curtains {t}",
    "a {t} bicycle leans on the fence", "fetch the {t} umbrella", "iron the {t} shirt",
    "who parked the {t} van outside", "the {t} folder holds the invoices", "fold a {t} napkin",
    "unlock the {t} gate", "they painted the barn {t}", "lift the {t} crate onto the pallet",
)  # fmt: skip


def _absent_commands() -> list[str]:
    pairs = itertools.product(TRAIN_ABSENT_FORMS, TRAIN_ABSENT_COLOURS)
    rng = random.Random("absent colours")
    chosen = rng.sample(list(pairs), TRAIN_ABSENT_COUNT)
    commands = [f"touch the {colour} target" for colour in TRAIN_ABSENT_COLOURS]
    commands += [*TRAIN_ABSENT_COLOURS, *(form.format(c=colour) for form, colour in chosen)]
    for form in TRAIN_ABSENT_WITH_PRESENT:
        for colour in TRAIN_ABSENT_COLOURS:
            commands.append(form.format(c=colour, t=rng.choice(TABLE_COLOURS)))
    return commands


def _other_things() -> list[str]:
    """The right colours on things that are not on the table."""
    rng = random.Random("other things")
    found = []
    for _ in range(TRAIN_OTHER_COUNT):
        colour, thing = rng.choice(TABLE_COLOURS), rng.choice(TRAIN_OTHER_NOUNS)
        if rng.random() < 0.7:
            article = rng.choice(("the", "the", "a", "my", "that"))
            found.append(f"{rng.choice(TRAIN_OTHER_VERBS)} {article} {colour} {thing}")
        else:
            found.append(rng.choice(TRAIN_OTHER_SCENES).format(t=colour, o=thing))
    return found


def _prohibitions() -> list[str]:
    """What not to touch, without a word on what to touch."""
    rng = random.Random("prohibitions")
    nouns = ("target", "puck", "disc", "circle", "one", "button", "marker", "object")
    verbs = ("touch", "go to", "tap", "press", "reach for", "hit", "poke", "move to")
    found = []
    for _ in range(TRAIN_PROHIBITION_COUNT):
        words = {"v": rng.choice(verbs), "n": rng.choice(nouns), "t": rng.choice(TABLE_COLOURS)}
        found.append(rng.choice(TRAIN_PROHIBITIONS).format(**words))
    return found


def unrelated_instructions() -> list[str]:
    """Sentences of the training set that must be refused."""
    sentences = [*TRAIN_SENTENCES, *_absent_commands(), *_other_things(), *_prohibitions()]
    sentences += [form.format(t=t) for form in TRAIN_PRESENT_FORMS for t in TABLE_COLOURS]
    return list(dict.fromkeys(sentences))


def heldout_unrelated_instructions() -> list[str]:
    """Sentences never trained on that must be refused too."""
    sentences = list(HELDOUT_SENTENCES)
    absent = itertools.product(HELDOUT_ABSENT_FORMS, HELDOUT_ABSENT_COLOURS)
    sentences += [form.format(c=colour) for form, colour in absent]
    sentences += [form.format(t=t) for form in HELDOUT_PRESENT_FORMS for t in TABLE_COLOURS]
    seen = set(unrelated_instructions())
    return [s for s in dict.fromkeys(sentences) if s not in seen]
