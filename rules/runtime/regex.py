"""Which engine may run a regular expression: Python's, or one of our own that looks at each sign once.

Python's engine tries one way after another: `(a+)+$` takes it 2^n steps. Ours follows all ways together
(R. Cox, https://swtch.com/~rsc/regexp/regexp2.html), so that its time is text times pattern, always.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final, Protocol

from rules.runtime.errors import EvaluationError

_MOST_STEPS: Final = 10**7
_LONGEST_PROGRAM: Final = 4_000
_OWN_STEP: Final = 200  # steps of Python's engine that take as long as one of ours
_LONG: Final = 8  # repeats of no more times count as choices
_MOST_WAYS: Final = 1_000
_FLAGS: Final = re.UNICODE | re.DOTALL
_CATEGORIES: Final[dict[Any, Callable[[str], bool]]] = {
    op.CATEGORY_DIGIT: str.isdecimal,
    op.CATEGORY_NOT_DIGIT: lambda sign: not sign.isdecimal(),
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_NOT_SPACE: lambda sign: not sign.isspace(),
    op.CATEGORY_WORD: lambda sign: sign.isalnum() or sign == "_",
    op.CATEGORY_NOT_WORD: lambda sign: not (sign.isalnum() or sign == "_"),
}


class Found(Protocol):
    """A match, as re has it."""

    def start(self) -> int: ...
    def end(self) -> int: ...
    def __getitem__(self, group: int | str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Expression:
    """A regular expression. `degree`: Python's engine takes at most len(text) ** degree steps; None: 2^n."""

    python: re.Pattern[str]
    degree: int | None
    own: Program | None

    def steps(self, length: int) -> int:
        """How many steps a text of this length may take; one of our own engine counts as many of Python's."""
        if self.degree is not None and (self.degree < 2 or length**self.degree <= _MOST_STEPS):
            return int(length**self.degree)
        return length * len(self.own.code) * _OWN_STEP if self.own else 0

    def search(self, text: str) -> Found | None:
        return next(self.finditer(text), None)

    def finditer(self, text: str) -> Iterator[Found]:
        """Raises EvaluationError where no engine could do it in bounded time."""
        if self.degree is not None and (self.degree < 2 or len(text) ** self.degree <= _MOST_STEPS):
            return self.python.finditer(text)
        if self.own is None or len(text) * len(self.own.code) > _MOST_STEPS:
            raise EvaluationError("the regular expression could take too long on a text of this length")
        return self.own.finditer(text)


def expression(pattern: str) -> Expression:
    """Raises re.error where the text is no regular expression."""
    python = re.compile(pattern, re.DOTALL)
    tree = parser.parse(pattern, re.DOTALL)
    degree = _degree(tree)
    own = None
    if (degree is None or degree > 1) and python.flags == _FLAGS:
        own = _program(tree, python)
    return Expression(python, degree, own)


def _degree(tree: Any) -> int | None:
    """1 and one more for each long repeat; None where a repeat holds another, or a choice."""
    repeats = list(_repeats(tree))
    if any(_varies(body) for _, body in repeats) or _ways(tree) > _MOST_WAYS:
        return None
    return 1 + sum(most > _LONG for most, _ in repeats)


def _ways(tree: Any) -> int:
    """In how many ways the choices and the short repeats of a tree can go together, at most."""
    ways = 1
    for code, argument in tree:
        if code is op.BRANCH:
            ways *= len(argument[1])
        elif code in (op.MAX_REPEAT, op.MIN_REPEAT) and argument[1] <= _LONG:
            ways *= 1 + argument[1] - argument[0]
        for part in _parts(code, argument):
            ways *= _ways(part)
    return min(ways, _MOST_WAYS + 1)


def _repeats(tree: Any) -> Iterator[tuple[int, Any]]:
    """(most times, body) of everything in a tree that may come more than once."""
    for code, argument in tree:
        if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            if argument[1] > 1:
                yield int(argument[1]), argument[2]
            yield from _repeats(argument[2])
        else:
            for part in _parts(code, argument):
                yield from _repeats(part)


def _varies(tree: Any) -> bool:
    """Whether a tree can match a text in more than one way."""
    for code, argument in tree:
        if code in (op.BRANCH, op.GROUPREF, op.GROUPREF_EXISTS):
            return True
        if code in (op.MAX_REPEAT, op.MIN_REPEAT) and argument[0] != argument[1]:
            return True
        if any(_varies(part) for part in _parts(code, argument)):
            return True
    return False


def _parts(code: Any, argument: Any) -> list[Any]:
    """The trees directly inside a node."""
    if code is op.BRANCH:
        return list(argument[1])
    if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return [argument[2]]
    if code is op.SUBPATTERN:
        return [argument[3]]
    if code in (op.ASSERT, op.ASSERT_NOT):
        return [argument[1]]
    if code is op.ATOMIC_GROUP:
        return [argument]
    if code is op.GROUPREF_EXISTS:
        return [part for part in argument[1:] if part is not None]
    return []


def _program(tree: Any, python: re.Pattern[str]) -> Program | None:
    """The program of a tree, or None where it holds what only Python's engine knows (or is too long)."""
    code: list[_Step] = []
    try:
        _emit(tree, code)
    except _UnknownError:
        return None
    code.append(_Step("match"))
    return Program(code, python.groups, dict(python.groupindex))


class _UnknownError(Exception):
    """A node that our engine does not know."""


@dataclass(slots=True)
class _Step:
    """sign: one that `test` accepts; split: go on at `targets`, the first first; save: note the place."""

    kind: str
    test: Callable[[str], bool] | None = None
    targets: list[int] = field(default_factory=list)
    slot: int = 0


def _emit(tree: Any, code: list[_Step]) -> None:
    for kind, argument in tree:
        if len(code) > _LONGEST_PROGRAM:
            raise _UnknownError
        if kind is op.BRANCH:
            _emit_branch(argument[1], code)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, body = argument
            _emit_repeat(least, most, body, kind is op.MAX_REPEAT, code)
        elif kind is op.SUBPATTERN:
            _emit_group(argument, code)
        elif kind is op.AT:
            if argument not in _PLACES:
                raise _UnknownError
            code.append(_Step("at", slot=_PLACES.index(argument)))
        else:
            code.append(_Step("sign", _test(kind, argument)))


_PLACES: Final = (
    op.AT_BEGINNING,
    op.AT_BEGINNING_STRING,
    op.AT_END,
    op.AT_END_STRING,
    op.AT_BOUNDARY,
    op.AT_NON_BOUNDARY,
)


def _emit_branch(choices: list[Any], code: list[_Step]) -> None:
    split = _Step("split")
    code.append(split)
    ends = []
    for choice in choices:
        split.targets.append(len(code))
        _emit(choice, code)
        end = _Step("split")
        ends.append(end)
        code.append(end)
    for end in ends:
        end.targets.append(len(code))


def _emit_repeat(least: int, most: Any, body: Any, greedy: bool, code: list[_Step]) -> None:
    if least > _LONGEST_PROGRAM or (most != op.MAXREPEAT and most > _LONGEST_PROGRAM):
        raise _UnknownError
    for _ in range(least):
        _emit(body, code)
    endless = most == op.MAXREPEAT
    skips = []
    for _ in range(1 if endless else most - least):
        split = _Step("split", targets=[len(code) + 1])
        skips.append(split)
        code.append(split)
        _emit(body, code)
    if endless:
        code.append(_Step("split", targets=[code.index(skips[0])]))
    for split in skips:
        split.targets.append(len(code))
        if not greedy:
            split.targets.reverse()


def _emit_group(argument: Any, code: list[_Step]) -> None:
    group, added, removed, body = argument
    if added or removed:
        raise _UnknownError
    if group is None:
        _emit(body, code)
        return
    code.append(_Step("save", slot=2 * group))
    _emit(body, code)
    code.append(_Step("save", slot=2 * group + 1))


def _test(kind: Any, argument: Any) -> Callable[[str], bool]:
    if kind is op.ANY:
        return lambda sign: True
    if kind in (op.LITERAL, op.NOT_LITERAL):
        text, wanted = chr(argument), kind is op.LITERAL
        return lambda sign: (sign == text) is wanted
    if kind is not op.IN:
        raise _UnknownError
    wanted = argument[0][0] is not op.NEGATE
    tests = [_member(*item) for item in argument if item[0] is not op.NEGATE]
    return lambda sign: any(test(sign) for test in tests) is wanted


def _member(kind: Any, argument: Any) -> Callable[[str], bool]:
    if kind is op.CATEGORY:
        return _CATEGORIES[argument]
    if kind is op.RANGE:
        low, high = argument
        return lambda sign: low <= ord(sign) <= high
    return _test(kind, argument)


Saved = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """Steps that many threads walk through side by side, the preferred first."""

    code: list[_Step]
    groups: int
    names: dict[str, int]

    def finditer(self, text: str) -> Iterator[Found]:
        at = 0
        while at <= len(text):
            found = self._run(text, at)
            if found is None:
                return
            yield found
            at = found.end() if found.end() > found.start() else found.end() + 1

    def _run(self, text: str, at: int) -> OwnMatch | None:
        """The first match that starts at `at` or later."""
        empty: Saved = (-1,) * (2 * self.groups + 2)
        threads: list[tuple[int, Saved]] = []
        best: Saved | None = None
        for place in range(at, len(text) + 1):
            seen = {pc for pc, _ in threads}
            if best is None:
                self._follow(0, (place, *empty[1:]), text, place, seen, threads)
            if best is not None and not threads:
                break
            following: list[tuple[int, Saved]] = []
            seen = set()
            for pc, saved in threads:
                step = self.code[pc]
                if step.kind == "match":
                    best = (saved[0], place, *saved[2:])
                    break
                if place < len(text) and step.test is not None and step.test(text[place]):
                    self._follow(pc + 1, saved, text, place + 1, seen, following)
            threads = following
        return None if best is None else OwnMatch(text, best, self.names)

    def _follow(
        self, pc: int, saved: Saved, text: str, place: int, seen: set[int], threads: list[tuple[int, Saved]]
    ) -> None:
        """Adds the threads that `pc` leads to without reading a sign."""
        waiting = [(pc, saved)]
        while waiting:
            pc, saved = waiting.pop()
            if pc in seen:
                continue
            seen.add(pc)
            step = self.code[pc]
            if step.kind == "split":
                waiting.extend((target, saved) for target in reversed(step.targets))
            elif step.kind == "save":
                waiting.append((pc + 1, (*saved[: step.slot], place, *saved[step.slot + 1 :])))
            elif step.kind != "at":
                threads.append((pc, saved))
            elif _stands(step.slot, text, place):
                waiting.append((pc + 1, saved))


def _stands(where: int, text: str, place: int) -> bool:
    """Whether an anchor (an index of _PLACES) holds at a place of the text."""
    if where < 2:
        return place == 0
    if where < 4:
        return place == len(text) or (where == 2 and place == len(text) - 1 and text[place] == "\n")
    before = place > 0 and _CATEGORIES[op.CATEGORY_WORD](text[place - 1])
    after = place < len(text) and _CATEGORIES[op.CATEGORY_WORD](text[place])
    return (before is not after) is (where == 4)


@dataclass(frozen=True, slots=True)
class OwnMatch:
    """A match of our own engine."""

    text: str
    saved: Saved
    names: dict[str, int]

    def start(self) -> int:
        return self.saved[0]

    def end(self) -> int:
        return self.saved[1]

    def __getitem__(self, group: int | str) -> str | None:
        slot = 2 * (self.names[group] if isinstance(group, str) else group)
        first, last = self.saved[slot], self.saved[slot + 1]
        return None if first < 0 or last < 0 else self.text[first:last]
