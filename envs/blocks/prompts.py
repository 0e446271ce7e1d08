"""Reading a prompt: from free English or Chinese text to the attributes of a scene, and the words not understood.

It understands every phrase that `captions` writes, in any order, and reports what it cannot use instead of guessing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worldsim.envs.blocks import words
from worldsim.envs.blocks.words import ANY

# What a phrase means: ("attribute", (name, value)), ("count", (number, exact)), or one of the bare kinds below.
Meaning = tuple[str, Any]
_NOT, _OR, _AND, _FILLER, _UNKNOWN = "not", "or", "and", "filler", "unknown"
_PLURAL = 2  # how many "cows" are when the prompt does not say
_SINGULAR = frozenset(("pig", "cow", "chicken", "hen", "lamb", "piglet", "animal"))
# What is wanted where one of these is denied, unless the prompt says something else.
_OPPOSITE = {"rain": "clear", "snowfall": "clear", "fog": "clear", "hills": "flat", "cliffs": "flat"}

_CHINESE = "一-鿿"
_PIECES = re.compile(rf"[{_CHINESE}]+|[^\W_{_CHINESE}]+(?:['’][^\W_{_CHINESE}]+)*|[^\w\s'’-]")
_CHINESE_NUMBER = re.compile(rf"[两十{words.CHINESE_DIGITS}]+")


def _lexicon() -> dict[str, Meaning]:
    lexicon: dict[str, Meaning] = {}
    for kind, members in (
        (_FILLER, words.FILLERS),
        (_NOT, words.NEGATIONS),
        (_OR, words.ALTERNATIVES),
        (_AND, words.JOINERS),
    ):
        lexicon.update((_key(word), (kind, None)) for word in members)
    for vague in (words.ENGLISH_VAGUE, words.CHINESE_VAGUE, words.VAGUE_ALSO):
        lexicon.update((word, ("count", (number, False))) for word, number in vague.items())
    lexicon.update((word, ("count", (number, True))) for number, word in enumerate(words.ENGLISH_NUMBERS))
    lexicon.update((word, ("count", (1, True))) for word in ("a", "an", "single", "lone"))
    without_meaning = {word for word, (kind, _) in lexicon.items() if kind != _NOT}
    phrases = {
        _key(phrase): ("attribute", (name, value))
        for table in words.LANGUAGES.values()
        for name, values in table.items()
        for value, roles in values.items()
        for role in roles.values()
        for phrase in role
    }
    lexicon.update(phrases)
    for key, meaning in phrases.items():  # "at first light" is also understood as "first light"
        parts = key.split()
        while len(parts) > 1 and parts[0] in without_meaning:
            del parts[0]
        if " ".join(parts) not in phrases:  # "a building" is a house, but "building" is what one does
            lexicon[" ".join(parts)] = meaning
    lexicon.update((word, ("attribute", weak)) for word, weak in words.WEAK.items())
    return lexicon


def _key(phrase: str) -> str:
    return phrase.lower().replace("-", " ").replace("’", "'")


def _number(text: str) -> int | None:
    """The value of a number of up to four digits, or in Chinese numerals up to 99; None for anything else."""
    if text.isdecimal() and len(text) <= 4:
        return int(text)
    if len(text) == 1 and text in words.CHINESE_DIGITS:
        return words.CHINESE_DIGITS.index(text)
    if text == "两":
        return 2
    tens, ten, ones = text.partition("十")
    if ten and len(tens) <= 1 and len(ones) <= 1 and "两" not in text:
        return (words.CHINESE_DIGITS.index(tens) if tens else 1) * 10 + (
            words.CHINESE_DIGITS.index(ones) if ones else 0
        )
    return None


_LEXICON = _lexicon()
_LONGEST_ENGLISH = max(key.count(" ") + 1 for key in _LEXICON)
_LONGEST_CHINESE = max(len(key) for key in _LEXICON if _CHINESE[0] <= key[0] <= _CHINESE[2])


def _chinese_phrases(run: str) -> Iterator[tuple[str, Meaning]]:
    """Cut a run of Chinese characters into the longest phrases that the lexicon knows."""
    start, unknown = 0, ""
    while start < len(run):
        longest = next(
            (n for n in range(_LONGEST_CHINESE, 0, -1) if start + n <= len(run) and run[start : start + n] in _LEXICON),
            0,
        )
        number = _CHINESE_NUMBER.match(run, start)
        meaning: Meaning | None = _LEXICON.get(run[start : start + longest])
        if number and number.end() - start > longest and _number(number[0]) is not None:
            longest, meaning = number.end() - start, ("count", (_number(number[0]), True))
        if meaning is None:
            unknown += run[start]
            start += 1
            continue
        if unknown:
            yield unknown, (_UNKNOWN, None)
            unknown = ""
        yield run[start : start + longest], meaning
        start += longest
    if unknown:
        yield unknown, (_UNKNOWN, None)


def _english_phrases(pieces: list[str]) -> Iterator[tuple[str, Meaning]]:
    """Join words into the longest phrases that the lexicon knows."""
    keys = [_key(piece) for piece in pieces]
    start = 0
    while start < len(pieces):
        for stop in range(min(start + _LONGEST_ENGLISH, len(pieces)), start, -1):
            meaning = _LEXICON.get(" ".join(keys[start:stop]))
            if meaning:
                break
        else:
            stop, number = start + 1, _number(keys[start])
            meaning = (_UNKNOWN, None) if number is None else ("count", (number, True))
        yield " ".join(pieces[start:stop]), meaning
        start = stop


def _phrases(text: str) -> Iterator[tuple[str, Meaning] | None]:
    """The phrases of a text as written, with their meaning; None where punctuation separates them."""
    english: list[str] = []
    for piece in _PIECES.findall(text):
        if piece[0].isalnum() and not re.match(rf"[{_CHINESE}]", piece):
            english.append(piece)
            continue
        yield from _english_phrases(english)
        english = []
        if not piece[0].isalnum():
            yield None if piece != "、" else (piece, (_OR, None))
        else:
            yield from _chinese_phrases(piece)
    yield from _english_phrases(english)


def parse_prompt(text: str) -> tuple[dict[str, Any], list[str]]:
    """Read a prompt: (the attributes it asks for, the words that were not understood, in order and as written).

    The attributes are those that `captions.caption` is given; what the prompt leaves open is absent. "no trees" gives
    trees False, "no buildings" structure None, "no animals" animals {}, "no sheep" animals {"sheep": 0}. Vague amounts
    become numbers ("some cows" 3, "cows" 2). An empty prompt gives ({}, []).

    Raises ValueError, naming both words, if the prompt contradicts itself.

    >>> parse_prompt("two sheep on a snowy plain at dusk, no trees, 有雾")
    ({'biome': 'snow', 'time': 'dusk', 'weather': 'fog', 'trees': False, 'animals': {'sheep': 2}}, [])
    >>> parse_prompt("a purple forest with dragons")
    ({'biome': 'forest'}, ['purple', 'dragons'])
    """
    reading = _Reading()
    for position, phrase in enumerate(_phrases(text)):
        reading.position = position
        reading.take(*(phrase or ("", (_AND, None))))
    reading.take("", (_AND, None))
    return reading.wanted(), [word for _, word in sorted(reading.unknown)]


@dataclass
class _Reading:
    """What has been read so far: for each attribute its value and the words that said so."""

    firm: dict[str, tuple[Any, str]] = field(default_factory=dict)
    weak: dict[str, tuple[Any, str]] = field(default_factory=dict)  # holds only where `firm` says nothing
    unknown: list[tuple[int, str]] = field(default_factory=list)  # (position, word)
    position: int = 0
    # Words that wait for the phrase they belong to.
    number: tuple[int, int, bool, str] | None = None  # (position, number, exact, word)
    negation: str = ""
    last_negation: str = ""  # the one that was just used: "or" takes it up again

    def take(self, written: str, meaning: Meaning) -> None:
        """Take in the next phrase of the prompt."""
        kind, content = meaning
        if kind == "attribute":
            name, value = content
            self._attribute(name, value, written)
            self.negation, self.last_negation = "", self.negation
            self.number = None
        elif kind == "count":
            self._drop_number()
            self.number = (self.position, *content, written)
        elif kind == _NOT:
            self.negation = written
        elif kind == _OR:
            self.negation = self.negation or self.last_negation
        elif kind == _AND:
            self._drop_number()
            self.negation = self.last_negation = ""
        elif kind == _UNKNOWN:
            self.unknown.append((self.position, written))

    def wanted(self) -> dict[str, Any]:
        """The attributes asked for, in the order of the vocabulary."""
        found = {**self.weak, **self.firm}
        result = {name: found[name][0] for name in words.ENGLISH if name in found}
        prefix = "animals."
        kinds = {name.removeprefix(prefix): said for name, said in found.items() if name.startswith(prefix)}
        for number, written in kinds.values():
            if number and "animals" in result:
                raise _contradiction("animals", found["animals"][1], written)
        if kinds and "animals" not in result:
            some = kinds.pop(ANY, None)
            result["animals"] = {kind: number for kind, (number, _) in kinds.items()} or {"sheep": some and some[0]}
        return result

    def _attribute(self, name: str, value: Any, written: str) -> None:
        if self.negation:
            written = f"{self.negation} {written}" if self.negation.isascii() else self.negation + written
        if name == "animals":
            self._animals(value, written)
            return
        self._drop_number()
        if name in ("water", "trees"):
            self._want(name, value != bool(self.negation), written)
        elif name == "structure" and self.negation:
            self._want(name, None, written, firm=value == ANY)
        elif name == "structure" and value == ANY:
            self._want(name, "hut", written, firm=False)
        elif not self.negation:
            self._want(name, value, written, firm=written.lower() not in words.WEAK)
        elif value in _OPPOSITE:
            self._want(name, _OPPOSITE[value], written, firm=False)
        else:  # "not at night" leaves open what is wanted instead
            self.unknown.append((self.position, written))

    def _animals(self, kind: str, written: str) -> None:
        if self.negation or (self.number and self.number[1] == 0):
            if kind == ANY:
                self._want("animals", {}, written)
            else:
                self._want(f"animals.{kind}", 0, written)
        elif self.number:
            number, word = self.number[1], self.number[3]
            written = f"{word} {written}" if word.isascii() else word + written
            self._want(f"animals.{kind}", number, written, firm=kind != ANY)
        else:
            self._want(f"animals.{kind}", 1 if written.lower() in _SINGULAR else _PLURAL, written, firm=False)

    def _want(self, name: str, value: Any, written: str, *, firm: bool = True) -> None:
        earlier, words_before = (self.firm if firm else self.weak).setdefault(name, (value, written))
        if firm and earlier != value:
            raise _contradiction(name, words_before, written)

    def _drop_number(self) -> None:
        # "a hut" and "some trees" are what one says; the number in "two huts" is something that no scene can promise.
        if self.number and self.number[2] and self.number[1] != 1:
            self.unknown.append((self.number[0], self.number[3]))
        self.number = None


def _contradiction(name: str, first: str, second: str) -> ValueError:
    what = "number of animals" if name.startswith("animals") else f"value for {name}"
    return ValueError(
        f"{first!r} and {second!r} contradict each other: a scene has one {what}, so leave one of them out"
    )
