"""Three small grammars of English, one a kind of task; what a sentence means gives its label.

Each takes draws and returns the texts and the label as a cell of a file would say it.
"""

from __future__ import annotations

from collections.abc import Callable

from smartcli.data.draws import Draws

Example = tuple[tuple[str, ...], float]
Grammar = Callable[[Draws], Example]

OPINIONS: tuple[tuple[str, ...], ...] = (
    ("awful", "dreadful", "terrible", "unbearable", "a complete waste", "painfully bad", "horrible", "atrocious"),
    ("dull", "weak", "slow", "forgettable", "tired", "rather flat", "clumsy", "uneven"),
    ("ordinary", "average", "neither good nor bad", "about what you expect", "plain", "routine", "so-so", "standard"),
    ("pleasant", "decent", "charming", "quite good", "likeable", "solid", "engaging", "worth a look"),
    ("wonderful", "superb", "brilliant", "a pure joy", "unforgettable", "stunning", "magnificent", "outstanding"),
)
THINGS = (
    "story", "acting", "music", "ending", "dialogue", "camera work", "opening", "humour", "pace", "script",
    "lead actor", "second half", "soundtrack", "editing", "supporting cast", "final scene",
)  # fmt: skip
WORKS = (
    "film", "series", "play", "documentary", "comedy", "thriller", "musical", "drama", "cartoon", "western",
)  # fmt: skip
FRAMES = (
    "the {thing} of this {work} is {opinion}",
    "honestly , the {thing} felt {opinion}",
    "a {work} whose {thing} is {opinion}",
    "most viewers will find the {thing} {opinion}",
    "i thought the {thing} in this {work} was {opinion}",
    "the {work} has a {thing} that is {opinion}",
    "{opinion} is the word for the {thing} of this {work}",
)


def sentiment(draws: Draws) -> Example:
    """An opinion of five degrees; with `but` the second clause counts twice, and `not` turns it towards the middle."""
    frame, thing, work = draws.one(FRAMES), draws.one(THINGS), draws.one(WORKS)
    first = draws.below(5)
    text = frame.format(thing=thing, work=work, opinion=draws.one(OPINIONS[first]))
    if draws.chance(0.35):
        second = draws.below(5)
        text += f" , but the {draws.other(THINGS, thing)} is {draws.one(OPINIONS[second])}"
        first = (first + 2 * second + 1) // 3
    elif first in (1, 3) and draws.chance(0.3):
        # "not dull" is mild praise, "not charming" mild blame.
        text = f"the {thing} of this {work} is not {draws.one(OPINIONS[first])}"
        first = 4 - first
    return (f"{text} .",), float(first)


ACTIONS = (
    ("photograph", "take pictures of", "take photos of"),
    ("sell", "find a buyer for", "get rid of"),
    ("repair", "fix", "mend"),
    ("choose", "pick", "decide on"),
    ("clean", "wash", "get the dirt off"),
    ("store", "keep", "put away"),
    ("buy", "purchase", "get hold of"),
    ("build", "make", "put together"),
    ("paint", "colour", "put paint on"),
    ("insure", "get insurance for", "take out cover for"),
)
OBJECTS = (
    "a guitar", "an old bicycle", "a wooden table", "a camera", "a tent", "a laptop", "a leather jacket",
    "a piano", "a fishing boat", "a carpet", "a bookshelf", "a violin", "a garden shed", "a coffee machine",
)  # fmt: skip
SITUATIONS = (
    "in winter", "without much money", "as a student", "before moving abroad", "in a small flat", "at the age of sixty",
    "in a hurry", "for the first time", "without any help", "near the sea",
)  # fmt: skip
QUESTIONS = (
    "How do I {act} {object} {when}?",
    "What is the best way to {act} {object} {when}?",
    "How can I {act} {object} {when}?",
    "Is there an easy way to {act} {object} {when}?",
    "What should I know if I want to {act} {object} {when}?",
    "I want to {act} {object} {when}. Where do I start?",
    "Can anyone explain how to {act} {object} {when}?",
)


def paraphrase(draws: Draws) -> Example:
    """Two questions: the same request in other words (1), or one that differs in a single point (0)."""
    act, thing, when = draws.one(ACTIONS), draws.one(OBJECTS), draws.one(SITUATIONS)
    frame = draws.one(QUESTIONS)
    first = frame.format(act=draws.one(act), object=thing, when=when)
    if same := draws.chance(0.42):
        frame = draws.other(QUESTIONS, frame)
    elif draws.chance(0.45):
        act = draws.other(ACTIONS, act)
    elif draws.chance(0.6):
        thing = draws.other(OBJECTS, thing)
    else:
        when = draws.other(SITUATIONS, when)
    if not same and draws.chance(0.4):
        frame = draws.other(QUESTIONS, frame)
    second = frame.format(act=draws.one(act), object=thing, when=when)
    return (first, second), float(same)


PEOPLE = (
    ("a man", "a guy"), ("a woman", "a lady"), ("a boy", "a young boy"), ("a girl", "a young girl"),
    ("an old farmer", "an elderly farmer"), ("a student", "a pupil"), ("a chef", "a cook"),
    ("a nurse", "a hospital nurse"), ("a police officer", "a policeman"), ("a child", "a kid"),
)  # fmt: skip
DEEDS = (
    (("carries", "is carrying"), ("a heavy box", "a red suitcase", "a basket of apples", "a ladder")),
    (("plays", "is playing"), ("the drums", "a wooden flute", "chess", "football")),
    (("eats", "is eating"), ("a bowl of soup", "a sandwich", "a slice of cake", "noodles")),
    (("washes", "is washing"), ("a muddy dog", "a blue car", "the windows", "some dishes")),
    (("reads", "is reading"), ("a newspaper", "a thick book", "a letter", "a map")),
    (("paints", "is painting"), ("a fence", "a portrait", "a wall", "a small boat")),
    (("watches", "is watching"), ("a parade", "the birds", "a train", "the sunset")),
)
PLACES = (
    "in the park", "near the river", "at the station", "in the kitchen", "behind the school", "on the beach",
    "in front of a shop", "under a tree",
)  # fmt: skip


def similarity(draws: Draws) -> Example:
    """Two scenes, 5 where all agrees down to 0 where nothing does, give or take what raters disagree about."""
    who, deed, where = draws.one(PEOPLE), draws.one(DEEDS), draws.one(PLACES)
    what = draws.one(deed[1])
    first = f"{draws.one(who)} {draws.one(deed[0])} {what} {where}"
    degree = draws.below(6)
    if degree == 4:
        second = f"{draws.one(who)} {draws.one(deed[0])} {what}"
    elif degree == 3:
        second = f"{draws.one(who)} {draws.one(deed[0])} {what} {draws.other(PLACES, where)}"
    elif degree == 2:
        second = f"{draws.one(who)} {draws.one(deed[0])} {draws.other(deed[1], what)} {draws.one(PLACES)}"
    elif degree == 1:
        act = draws.other(DEEDS, deed)
        second = f"{draws.one(who)} {draws.one(act[0])} {draws.one(act[1])} {draws.other(PLACES, where)}"
    elif degree == 0:
        act = draws.other(DEEDS, deed)
        second = f"{draws.one(draws.other(PEOPLE, who))} {draws.one(act[0])} {draws.one(act[1])} "
        second += draws.other(PLACES, where)
    else:
        verb = draws.one(deed[0])
        second = draws.one((f"{draws.one(who)} {verb} {what} {where}", f"{where} {draws.one(who)} {verb} {what}"))
    score = min(5.0, max(0.0, degree + (draws.below(9) - 4) / 10))
    return (_sentence(first), _sentence(second)), round(score, 1)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


GRAMMARS: dict[str, Grammar] = {"sentiment": sentiment, "paraphrase": paraphrase, "similarity": similarity}
