"""Three small grammars of English, one a kind of task; what a sentence means gives its label.

Each takes draws and returns the texts and the label as a cell of a file would say it. Sentences are short, so that the
demo is. In pairs a point that stays the same is often said in another word, and one that changes never is: how many
words two sentences share says little, and what the words mean says all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smartcli.data.draws import Draws

Example = tuple[tuple[str, ...], float]
Grammar = Callable[[Draws], Example]
Meaning = tuple[str, ...]
"""Words of one meaning."""

OPINIONS: tuple[Meaning, ...] = (
    ("awful", "terrible", "horrible", "dreadful", "disgusting", "atrocious"),
    ("dull", "boring", "weak", "tedious", "disappointing", "bland"),
    ("average", "ordinary", "okay", "typical", "standard", "acceptable"),
    ("good", "nice", "pleasant", "enjoyable", "charming", "likeable"),
    ("brilliant", "superb", "amazing", "perfect", "magnificent", "outstanding"),
)
THINGS = (
    "story", "acting", "music", "ending", "dialogue", "opening", "humour", "script", "cast", "soundtrack", "editing",
    "final scene",
)  # fmt: skip
WORKS = ("film", "series", "play", "documentary", "comedy", "thriller", "musical", "drama", "cartoon", "western")
FRAMES = (
    "the {thing} is {one} and the {other} is {two}",
    "{one} {thing} , {two} {other}",
    "this {work} is {one} , simply {two}",
    "i found the {thing} {one} and {two}",
    "the {thing} of this {work} is {one}",
    "my word for this {work} : {one}",
)


def sentiment(draws: Draws) -> Example:
    """An opinion of five degrees, in one word or two; now and then a second one, after `but`, that counts twice."""
    degree, thing = draws.below(5), draws.one(THINGS)
    one, other = draws.one(OPINIONS[degree]), draws.other(THINGS, thing)
    if draws.chance(0.12):
        last = draws.below(5)
        text = f"the {thing} is {one} , but the {other} is {draws.one(OPINIONS[last])}"
        degree = (degree + 2 * last + 1) // 3
    else:
        two = draws.other(OPINIONS[degree], one)
        text = draws.one(FRAMES).format(one=one, two=two, thing=thing, other=other, work=draws.one(WORKS))
    return (f"{text} .",), float(degree)


ACTIONS: tuple[Meaning, ...] = (
    ("buy", "purchase"), ("repair", "fix"), ("choose", "pick"), ("clean", "wash"), ("photograph", "take a picture of"),
    ("throw away", "get rid of"), ("build", "construct"), ("learn about", "study"),
)  # fmt: skip
OBJECTS: tuple[Meaning, ...] = (
    ("a car", "an automobile"), ("a bicycle", "a bike"), ("a couch", "a sofa"), ("a laptop", "a notebook computer"),
    ("a phone", "a telephone"), ("a boat", "a ship"), ("a house", "a home"), ("a rug", "a carpet"),
)  # fmt: skip
QUESTIONS = (
    "How do I {act} {object}?",
    "How can I {act} {object}?",
    "What is the best way to {act} {object}?",
    "Is it easy to {act} {object}?",
    "Where do I {act} {object}?",
)


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
    second = draws.one(QUESTIONS[:3]) if frame in QUESTIONS[:3] else frame
    return (
        frame.format(act=first_act, object=first_thing),
        second.format(act=second_act, object=second_thing),
    ), float(same)


PEOPLE: tuple[Meaning, ...] = (
    ("a man", "a guy"), ("a woman", "a lady"), ("a child", "a kid"), ("a doctor", "a physician"),
    ("a student", "a pupil"),
    ("a cook", "a chef"), ("a farmer", "a farm worker"), ("a policeman", "a police officer"),
)  # fmt: skip
DEEDS: tuple[Meaning, ...] = (
    ("drives a car", "steers an automobile"), ("rides a bike", "pedals on a bicycle"),
    ("plays music", "performs a song"),
    ("reads a book", "looks into a novel"), ("eats lunch", "has a meal"), ("paints a picture", "draws a portrait"),
    ("washes a dog", "bathes some puppies"), ("climbs a hill", "walks up the mountain"),
)  # fmt: skip
PLACES: tuple[Meaning, ...] = (
    ("in the woods", "in the forest"), ("near the sea", "by the ocean"), ("on the street", "on the road"),
    ("in the city", "in town"), ("at home", "in the house"), ("at school", "in a classroom"),
)  # fmt: skip
DEED, PLACE = 3.0, 2.0
"""What it counts that deed and place agree: 5 together. The person is the same in both."""


def similarity(draws: Draws) -> Example:
    """Two scenes: 5 where all agrees down to 0 where nothing does, give or take what raters disagree about."""
    person = draws.one(draws.one(PEOPLE))
    score, first, second = 0.0, [person], [person]
    for meanings, weight in ((DEEDS, DEED), (PLACES, PLACE)):
        meaning = draws.one(meanings)
        word = draws.one(meaning)
        first.append(word)
        if draws.chance(0.5):
            score += weight
            second.append(draws.other(meaning, word) if draws.chance(0.6) else word)
        else:
            second.append(draws.one(draws.other(meanings, meaning)))
    score = min(5.0, max(0.0, score + (draws.below(9) - 4) / 10))
    return (_sentence(first), _sentence(second)), round(score, 1)


def _sentence(words: Sequence[str]) -> str:
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."


GRAMMARS: dict[str, Grammar] = {"sentiment": sentiment, "paraphrase": paraphrase, "similarity": similarity}
