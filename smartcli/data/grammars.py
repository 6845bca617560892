"""Three small grammars of English, one a kind of task; what a sentence means gives its label.

Each takes draws and returns the texts and the label as a cell of a file would say it. Sentences are short, so that the
demo is. In pairs a point that stays the same is often said in another word, and one that changes never is: how many
words two sentences share says little, and what the words mean says all.
"""

from __future__ import annotations

from collections.abc import Callable

from smartcli.data.draws import Draws

Example = tuple[tuple[str, ...], float]
Grammar = Callable[[Draws], Example]
Meaning = tuple[str, ...]
"""Words of one meaning."""

OPINIONS: tuple[Meaning, ...] = (
    ("awful", "terrible", "horrible", "dreadful", "disgusting"),
    ("dull", "boring", "weak", "tedious", "bland"),
    ("average", "ordinary", "okay", "typical", "standard"),
    ("good", "nice", "pleasant", "enjoyable", "charming"),
    ("brilliant", "superb", "amazing", "perfect", "magnificent"),
)
THINGS = ("story", "acting", "music", "ending", "dialogue", "humour", "script", "cast")
WORKS = ("film", "series", "play", "comedy", "drama", "western")
FRAMES = (
    "the {thing} is {one} and {two}",
    "{one} {thing} , {two} {other}",
    "this {work} is {one} , simply {two}",
    "{one} {work} with {two} {thing}",
)


def sentiment(draws: Draws) -> Example:
    """An opinion of five degrees, in two words."""
    degree, thing = draws.below(5), draws.one(THINGS)
    one = draws.one(OPINIONS[degree])
    text = draws.one(FRAMES).format(
        one=one,
        two=draws.other(OPINIONS[degree], one),
        thing=thing,
        other=draws.other(THINGS, thing),
        work=draws.one(WORKS),
    )
    return (f"{text} .",), float(degree)


ACTIONS: tuple[Meaning, ...] = (
    ("buy", "purchase"), ("repair", "fix"), ("clean", "wash"), ("choose", "pick"), ("build", "construct"),
    ("hide", "conceal"), ("draw", "sketch"), ("find", "locate"),
)  # fmt: skip
OBJECTS: tuple[Meaning, ...] = (
    ("a car", "an automobile"), ("a bicycle", "a bike"), ("a couch", "a sofa"), ("a phone", "a telephone"),
    ("a boat", "a ship"), ("a plane", "an airplane"), ("a fridge", "a refrigerator"), ("a television", "a TV"),
)  # fmt: skip
QUESTIONS = ("How do I {act} {object}?", "How can I {act} {object}?", "Where do I {act} {object}?")
HOW = QUESTIONS[:2]
"""Two that ask the same."""


def paraphrase(draws: Draws) -> Example:
    """Two questions: of action and object one is said in another word (1), or is another one (0)."""
    act, thing, frame = draws.one(ACTIONS), draws.one(OBJECTS), draws.one(QUESTIONS)
    first_act, first_thing = draws.one(act), draws.one(thing)
    second_act, second_thing = first_act, first_thing
    same, by_act = draws.chance(0.45), draws.chance(0.5)
    if by_act:
        second_act = draws.other(act, first_act) if same else draws.one(draws.other(ACTIONS, act))
    else:
        second_thing = draws.other(thing, first_thing) if same else draws.one(draws.other(OBJECTS, thing))
    second = draws.one(HOW) if frame in HOW else frame
    return (
        frame.format(act=first_act, object=first_thing),
        second.format(act=second_act, object=second_thing),
    ), float(same)


PEOPLE = ("A man", "A woman", "A boy", "A girl", "A nurse", "A farmer", "A student", "A cook")
DEEDS: tuple[Meaning, ...] = (
    ("drives a car", "steers an automobile"), ("rides a bike", "is on a bicycle"), ("reads a book", "studies a novel"),
    ("eats lunch", "has a meal"),
)  # fmt: skip
PLACES: tuple[Meaning, ...] = (
    ("in the woods", "in a forest"), ("by the sea", "near the ocean"), ("in town", "in the city"),
)  # fmt: skip
DEED, PLACE = 3.5, 1.5
"""What it counts that deed and place agree: 5 together. The person is the same in both."""


def similarity(draws: Draws) -> Example:
    """Two scenes: 5 where all agrees down to 0 where nothing does, give or take what raters disagree about."""
    person = draws.one(PEOPLE)
    score, first, second = 0.0, [person], [person]
    for meanings, weight in ((DEEDS, DEED), (PLACES, PLACE)):
        meaning = draws.one(meanings)
        word = draws.one(meaning)
        first.append(word)
        if draws.chance(0.5):
            score += weight
            second.append(draws.other(meaning, word) if draws.chance(0.15) else word)
        else:
            second.append(draws.one(draws.other(meanings, meaning)))
    score = min(5.0, max(0.0, score + (draws.below(5) - 2) / 10))
    return (f"{' '.join(first)}.", f"{' '.join(second)}."), round(score, 1)


GRAMMARS: dict[str, Grammar] = {"sentiment": sentiment, "paraphrase": paraphrase, "similarity": similarity}
