"""What `smart explain` prints: tables of words, near rows and moved predictions; text of data shows as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from smartcli.cli.output import print_line
from smartcli.counts import counted
from smartcli.explain.moved import Mean, Share, step_of
from smartcli.report.tables import print_table, three
from smartcli.visible import plain
from smartcli.workflows.explaining.explain_inputs import label_name

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from smartcli.tasks import Task
    from smartcli.workflows.explaining.explanation import Answer, Explanation, Swapped
    from smartcli.workflows.explaining.swap_split import PlantedFacts, SwapReport

WORDS = 20
"""Words that are listed, those that matter most; --json has all."""
LONGEST = 1_000
"""Characters of a text that are shown."""
BAR = 12


def print_explanation(out: Console, found: Explanation) -> None:
    """Print the row, the prediction, the words that matter, the nearest training rows, and the swap."""
    task = found.task
    place = found.row.place
    where = f"{place.split} row {place.id} of {place.data}" if place is not None else "a text"
    print_line(out, f"{found.checkpoint}, {task.name}: {where}")
    _print_texts(out, task, found.row.texts)
    truth = "" if found.row.label is None else f"; the label is {label_name(task, found.row.label)}"
    print_line(out, f"prediction: {answer_text(task, found.answer)}{truth}")
    if found.answer.probabilities is not None:
        print_table(out, _classes(task, found.answer))
    if found.words:
        _print_words(out, found)
    if found.near and found.pool is not None:
        print_line(out, f"nearest training rows, among {found.pool.says}:")
        print_table(out, _near(found))
    if found.swapped is not None:
        _print_swap(out, task, found.answer, found.swapped)


def answer_text(task: Task, answer: Answer) -> str:
    """Return a class with its probability, or a score."""
    name = label_name(task, answer.prediction)
    if answer.probabilities is None:
        return name
    return f"{name} (probability {answer.probabilities[int(answer.prediction)]:.3f})"


def shown(text: str) -> str:
    """Return a text as far as it is printed."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text):,} characters)"


def signed(value: float) -> str:
    """Return a change with three decimals and its sign; none of zero."""
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def _print_texts(out: Console, task: Task, texts: Sequence[str]) -> None:
    for column, text in zip(task.text, texts, strict=True):
        print_line(out, f"  {column}: {shown(text)}")


def _table(*columns: tuple[str, bool]) -> Table:
    """Return a table with these columns; True is a column of numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, number in columns:
        table.add_column(plain(name), justify="right" if number else "left", no_wrap=number, overflow="fold")
    return table


def _classes(task: Task, answer: Answer) -> Table:
    table = _table(("class", False), ("probability", True))
    for name, share in zip(task.labels, answer.probabilities or (), strict=True):
        table.add_row(plain(name), f"{share:.3f}")
    return table


def _print_words(out: Console, found: Explanation) -> None:
    task = found.task
    of = "the score" if found.answer.probabilities is None else f"p({label_name(task, found.answer.prediction)})"
    order = sorted(range(len(found.words)), key=lambda i: -abs(found.effects[i]))
    more = f", the {WORDS} of {len(order):,} that matter most" if len(order) > WORDS else ""
    sides = [("in", False)] if task.pair else []
    print_line(out, f"words: {of} less {of} without the word{more}:")
    table = _table(("word", False), *sides, ("effect", True), ("", False))
    largest = max((abs(float(effect)) for effect in found.effects), default=0.0)
    for i in order[:WORDS]:
        word, effect = found.words[i], float(found.effects[i])
        filled = round(BAR * abs(effect) / largest) if largest and signed(effect) != "0.000" else 0
        bar = ("█" if effect > 0 else "░") * filled
        where = [plain(task.text[word.side])] if task.pair else []
        table.add_row(plain(shown(word.text)), *where, signed(effect), bar)
    print_table(out, table)


def _near(found: Explanation) -> Table:
    task = found.task
    table = _table(
        ("cosine", True),
        ("label", True),
        *((column, False) for column in task.text),
        ("id", False),
    )
    for near in found.near:
        same = " (same text)" if near.same else ""
        texts = [plain(shown(text)) for text in near.texts]
        table.add_row(f"{near.cosine:.3f}{same}", plain(label_name(task, near.label)), *texts, plain(near.id))
    return table


def _print_swap(out: Console, task: Task, before: Answer, swapped: Swapped) -> None:
    pairs = ", ".join(f"{old} → {new} ({swapped.found.get(old, 0)} ×)" for old, new in swapped.terms.items())
    print_line(out, f"swap: {pairs}")
    if not swapped.found:
        print_line(out, "  nothing changes: no term occurs in the text")
        return
    _print_texts(out, task, swapped.texts)
    of = "the score" if before.probabilities is None else f"p({label_name(task, before.prediction)})"
    answers = f"before {answer_text(task, before)}, after {answer_text(task, swapped.answer)}"
    print_line(out, f"  {answers}; {of} changes by {signed(swapped.change)}")


def print_swap_report(out: Console, found: SwapReport) -> None:
    """Print how often and how far predictions move, the list of facts' own two checks, and the rows that moved most."""
    task, moves = found.task, found.moves
    where = {"both": "both texts", "first": "the first text", "second": "the second text"}[found.sides]
    print_line(out, f"{found.checkpoint}, {task.name}: {found.listed.title} exchanged in {found.data}, {found.split}")
    inside = f", in {where}" if task.pair else ""
    print_line(out, f"{moves.moved.n:,} of {counted(found.rows, 'row')} hold a term{inside}")
    if moves.moved.n:
        step = step_of(task)
        what = "another class is predicted" if step is None else f"the score moves by more than {step:g}"
        of = "the probability of the class predicted before" if step is None else "the score"
        table = _table(("what", False), ("", True), ("95 % interval", True))
        table.add_row(plain(what), *_share(moves.moved))
        table.add_row(plain(f"mean absolute change of {of}"), *_mean(moves.size))
        if moves.signed is not None:
            table.add_row(plain("mean change of the score"), *_mean(moves.signed))
        if found.still_alike is not None:
            was = "predicted as before" if task.kind == "classification" else "alike before, and still alike after"
            table.add_row(plain(f"pairs {was}"), *_share(found.still_alike))
        print_table(out, table)
    if found.planted is not None:
        _print_planted(out, task, found.planted)
    if found.top:
        print_line(out, "rows that moved most:")
        print_table(out, _top(found))


def _share(share: Share) -> tuple[str, str]:
    if share.value is None or share.low is None or share.high is None:
        return f"{share.k} of {share.n}", "–"
    return f"{share.k:,} of {share.n:,} ({share.value:.3f})", f"{share.low:.3f} to {share.high:.3f}"


def _mean(value: Mean) -> tuple[str, str]:
    if value.low is None or value.high is None:
        return three(value.value), "–"
    return three(value.value), f"{value.low:.3f} to {value.high:.3f}"


def _print_planted(out: Console, task: Task, planted: PlantedFacts) -> None:
    print_line(out, "pairs made to state two different facts:")
    table = _table(("what", False), ("", True), ("95 % interval", True))
    if planted.alike is not None and planted.value is not None:
        of = "score" if planted.paper_answer.probabilities is None else f"p({task.labels[1]})"
        table.add_row(plain("look alike to the model"), *_share(planted.alike))
        table.add_row(plain(f"mean {of}"), *_mean(planted.value))
    for name, count in (planted.classes or {}).items():
        table.add_row(plain(f"predicted {name}"), f"{count:,}", "")
    print_table(out, table)
    first, second = planted.paper
    print_line(out, f'the paper\'s pair, "{first}" and "{second}": {answer_text(task, planted.paper_answer)}')


def _top(found: SwapReport) -> Table:
    task = found.task
    table = _table(
        ("id", False),
        ("texts before and after", False),
        ("prediction", False),
        ("change", True),
    )
    for row in found.top:
        lines = []
        for before, after in zip(row.before, row.after, strict=True):
            lines += [shown(before)] if before == after else [f"− {shown(before)}", f"+ {shown(after)}"]
        answers = f"{answer_text(task, row.answer)}\n{answer_text(task, row.answer_after)}"
        table.add_row(
            plain(row.id),
            plain("\n".join(line.replace("\n", " ") for line in lines)),
            plain(answers),
            signed(row.change),
        )
    return table
