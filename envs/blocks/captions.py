"""Describing a scene in words: a cheap fixed phrase, or one of many phrasings, short or long, English or Chinese.

A scene is a dict of attributes. Every phrase comes from `words`, so `prompts.parse_prompt` reads all that is written
here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from worldsim.envs.blocks import words
from worldsim.envs.blocks.prompts import parse_prompt

__all__ = ["caption", "parse_prompt", "short_caption"]

_SHORT_BIOME = {
    "meadow": "meadow", "forest": "forest", "desert": "desert", "snow": "snowy plain", "islands": "islands",
}  # fmt: skip
_SHORT_TERRAIN = {"flat": "flat ", "hills": "hilly ", "cliffs": "rugged "}
_SHORT_TIME = {"dawn": " at dawn", "day": " by day", "dusk": " at dusk", "night": " at night"}
_SHORT_WEATHER = {"rain": ", rain", "snowfall": ", snowfall", "fog": ", fog"}
_NUMBERS = words.ENGLISH_NUMBERS


def short_caption(attributes: dict[str, Any]) -> str:
    """The same short English phrase for the same attributes: "a snowy plain at dusk, rain, two sheep".

    It names what is there, clear weather and the activity aside, and costs a few microseconds. Attributes as `caption`.
    """
    biome = attributes["biome"]
    text = "" if biome == "islands" else "a "
    text += _SHORT_TERRAIN.get(attributes.get("terrain", ""), "") + _SHORT_BIOME[biome]
    text += _SHORT_TIME.get(attributes.get("time", ""), "") + _SHORT_WEATHER.get(attributes.get("weather", ""), "")
    if attributes.get("trees") and biome != "forest":
        text += ", trees"
    if attributes.get("water"):
        text += ", water"
    if attributes.get("structure"):
        text += ", a " + attributes["structure"]
    for kind, count in (attributes.get("animals") or {}).items():
        if count:
            text += f", {_english_number(count)} {_plural(kind, count)}"
    return text


def caption(attributes: dict[str, Any], rng: np.random.Generator, style: str = "short", language: str = "en") -> str:
    """One of many descriptions of a scene.

    attributes: "biome" and any of "time", "weather", "structure" (a kind or None), "animals" (dict kind -> count),
    "water" and "trees" (bool: in view), "terrain", "activity" (the last two may also be None); their values are those
    of `blocks` and `words`. style "short" names the biome and some of the rest, "long" all of it, absences included.
    language "en" or "zh". `rng` picks words and sentences.

    Raises ValueError for an unknown style, language, attribute or value.
    """
    if style not in ("short", "long"):
        raise ValueError(f"style must be 'short' or 'long', got {style!r}")
    if language not in words.LANGUAGES:
        raise ValueError(f"language must be one of {sorted(words.LANGUAGES)}, got {language!r}")
    scene = _Scene(_checked(attributes), rng, words.LANGUAGES[language])
    if style == "short":
        scene.leave_out()
    writer: Callable[[_Scene], str] = {
        ("short", "en"): _english_short,
        ("long", "en"): _english_long,
        ("short", "zh"): _chinese_short,
        ("long", "zh"): _chinese_long,
    }[style, language]
    return writer(scene)


def _checked(attributes: dict[str, Any]) -> dict[str, Any]:
    """A copy without the attributes that say nothing (None terrain, zero counts); ValueError names what is unknown."""
    if "biome" not in attributes:
        raise ValueError(f"a caption needs at least the attribute 'biome', got {sorted(attributes)}")
    checked: dict[str, Any] = {}
    for name, value in attributes.items():
        known = words.ENGLISH.get(name)
        if known is None:
            raise ValueError(f"unknown attribute {name!r}; there are {', '.join(words.ENGLISH)}")
        if name == "animals":
            value = {kind: int(count) for kind, count in value.items() if count}
        elif name in ("water", "trees"):
            value = bool(value)
        elif value is None and name != "structure":
            continue
        for one in value if name == "animals" else [value]:
            if (one is not None and one not in known) or one == words.ANY:
                choices = ", ".join(str(each) for each in known if each != words.ANY)
                raise ValueError(f"unknown {name} {one!r}; there are {choices}")
        checked[name] = value
    return checked


class _Scene:
    """The attributes still to be told, and the dice that choose among phrases."""

    def __init__(self, left: dict[str, Any], rng: np.random.Generator, table: words.Table) -> None:
        self.left, self.rng, self.table = left, rng, table

    def chance(self, probability: float = 0.5) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, choices: Sequence[str]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def leave_out(self) -> None:
        """Keep the biome and a random part of the rest; what is absent is named now and then only."""
        keep = self.rng.uniform(0.4, 1.0)
        for name, value in list(self.left.items()):
            absent = value in (None, False, {})
            if name != "biome" and not self.chance(0.15 if absent else keep):
                del self.left[name]

    def tell(self, name: str, role: str, probability: float = 1.0) -> str:
        """A phrase for an attribute, which is thereby told; "" if there is none to tell in this role (or by chance)."""
        if name not in self.left or not self.left[name] or not self.chance(probability):
            return ""
        phrases = self.table[name][self.left[name]].get(role)
        if not phrases:
            return ""
        del self.left[name]
        return self.pick(phrases)

    def things(self, name: Callable[[_Scene, str, int], str]) -> tuple[list[str], list[str], list[int]]:
        """Noun phrases for what stands here and for each kind of animal, and the animals' numbers; all thereby told."""
        things = [phrase for phrase in (self.tell("structure", "noun"), self.tell("trees", "noun")) if phrase]
        if water := self.tell("water", "noun"):
            things.append(water)
        animals: dict[str, int] = self.left.pop("animals") if self.left.get("animals") else {}
        return things, [name(self, kind, count) for kind, count in animals.items()], list(animals.values())

    def absences(self) -> list[str]:
        """What is not there, as bare nouns; all of it is thereby told."""
        nouns = []
        for name, kind in (("trees", True), ("water", True), ("structure", words.ANY), ("animals", words.ANY)):
            if name in self.left and not self.left[name]:
                del self.left[name]
                nouns.append(self.pick(self.table[name][kind]["none"]))
        return self.shuffled(nouns)

    def shuffled(self, phrases: Sequence[str]) -> list[str]:
        return [phrases[index] for index in self.rng.permutation(len(phrases))]


# -- English -----------------------------------------------------------------------------------------------------------


def _english_number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 or kind == "sheep" else kind + "s"


def _english_animals(scene: _Scene, kind: str, count: int) -> str:
    noun = scene.pick(scene.table["animals"][kind]["one" if count == 1 else "noun"])
    if count == 1:
        return f"{scene.pick(('a', 'one', 'a single'))} {noun}"
    vague = [word for word, number in words.ENGLISH_VAGUE.items() if number == count]
    return f"{scene.pick(vague) if vague and scene.chance(0.4) else _english_number(count)} {noun}"


def _with_article(phrase: str) -> str:
    if phrase.endswith("islands") and "group of" not in phrase:
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _english_place(scene: _Scene, adjectives: float) -> str:
    """The biome with an article, and with adjectives for weather and terrain with that probability each."""
    told = [scene.tell("weather", "adjective", adjectives), scene.tell("terrain", "adjective", adjectives)]
    told = scene.shuffled([word for word in told if word])
    noun = scene.tell("biome", "noun")
    return _with_article(" ".join([", ".join(told), noun]) if told else noun)


def _english_list(nouns: list[str], last: str = "and") -> str:
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} {last} {nouns[-1]}"


def _english_things(scene: _Scene) -> tuple[list[str], list[str], list[int]]:
    things, animals, counts = scene.things(_english_animals)
    return [thing if thing.endswith(("water", "trees")) else _with_article(thing) for thing in things], animals, counts


def _english_absence(scene: _Scene) -> str:
    """ "no trees and no water", "without water or animals"; "" if nothing is absent."""
    nouns = scene.absences()
    if not nouns:
        return ""
    if len(nouns) <= 2 and scene.chance():
        return f"without {' or '.join(nouns)}"
    return _english_list([f"no {noun}" for noun in nouns])


def _at(place: str) -> str:
    return ("on " if any(word in place for word in ("plain", "island", "field", "expanse")) else "in ") + place


def _this_is(place: str) -> str:
    return f"{'this is' if place.startswith(('a ', 'an ')) else 'these are'} {place}"


def _english_short(scene: _Scene) -> str:
    form = int(scene.rng.integers(4))
    place = _english_place(scene, 0.4)
    if form == 0:  # keywords in any order
        things, animals, _ = _english_things(scene)
        keywords = [scene.tell("time", "noun"), scene.tell("weather", "noun"), scene.tell("activity", "verb")]
        keywords += [place, scene.tell("terrain", "adjective"), _english_absence(scene), *things, *animals]
        return ", ".join(scene.shuffled([word for word in keywords if word]))
    if verb := scene.tell("activity", "verb"):
        opening = f"{scene.pick(('', 'someone ', 'a player ', 'the player is '))}{verb} {_at(place)}"
    else:
        opening = scene.pick((place, place, f"a view of {place}", _this_is(place)))
    before, after = "", ""
    if form == 1:
        before, opening = scene.tell("weather", "noun"), f"{opening} {scene.tell('time', 'when')}"
    elif form == 2:
        before, after = scene.tell("time", "when"), scene.tell("weather", "noun")
    else:
        opening += " " + " ".join(scene.shuffled([scene.tell("time", "when"), scene.tell("weather", "how")]))
    things, animals, _ = _english_things(scene)
    seen = scene.shuffled(things + animals)
    if seen and scene.chance():
        opening += f" with {_english_list(seen)}"
        seen = []
    parts = [before, opening, after, scene.tell("weather", "noun"), scene.tell("terrain", "clause")]
    parts += [*seen, _english_absence(scene)]
    return ", ".join(" ".join(part.split()) for part in parts if part)


def _english_long(scene: _Scene) -> str:
    place = _english_place(scene, 0.35)
    time = scene.tell("time", "when")
    things, animals, counts = _english_things(scene)
    if "activity" in scene.left and scene.chance():
        someone = scene.pick(("the player is", "someone is", "we are"))
        opening = f"{someone} {scene.tell('activity', 'verb')} {_at(place)}"
    else:
        opening = scene.pick((place, f"a view of {place}", _this_is(place), f"we see {place}"))
    if time and scene.chance(0.3):
        opening = f"{time}, {opening}"
    else:
        opening = f"{opening} {time} {scene.tell('weather', 'how', 0.4)}"
    sentences = [scene.tell("weather", "clause"), scene.tell("terrain", "clause")]
    if things:
        listed = _english_list(things)
        are = "are" if things[0].endswith("trees") else "is"
        sentences.append(scene.pick((f"there {are} {listed}", f"{listed} can be seen")))
    if animals:
        listed = _english_list(animals)
        are = "is" if counts == [1] else "are"
        there = "is" if counts[0] == 1 else "are"
        sentences.append(
            scene.pick((f"{listed} {are} in sight", f"{listed} {are} grazing nearby", f"there {there} {listed}"))
        )
    if absence := _english_absence(scene):
        if absence.startswith("without"):
            sentences.append(f"the place is {absence}")
        else:
            sentences.append(f"there {'is' if absence.startswith('no water') else 'are'} {absence}")
    if verb := scene.tell("activity", "verb"):
        sentences.append(f"{scene.pick(('the player is', 'someone is', 'we are'))} {verb}")
    return " ".join(_sentence(sentence) for sentence in [opening, *scene.shuffled(sentences)] if sentence)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[0].upper()}{text[1:]}."


# -- Chinese -----------------------------------------------------------------------------------------------------------

_MEASURES = {"sheep": "只", "pig": "头", "cow": "头", "chicken": "只"}


def _chinese_number(count: int) -> str:
    """Numerals up to 99, with 两 for two as before a measure word; digits beyond."""
    digits = words.CHINESE_DIGITS
    if count > 99:
        return str(count)
    if count < 10:
        return "两" if count == 2 else digits[count]
    tens, ones = divmod(count, 10)
    return ("" if tens == 1 else digits[tens]) + "十" + (digits[ones] if ones else "")


def _chinese_animals(scene: _Scene, kind: str, count: int) -> str:
    noun = scene.pick(scene.table["animals"][kind]["noun"])
    vague = [word for word, number in words.CHINESE_VAGUE.items() if number == count]
    if vague and scene.chance(0.4):
        amount = scene.pick(vague)
        return amount + (_MEASURES[kind] if amount.endswith("几") else "") + noun
    return _chinese_number(count) + _MEASURES[kind] + noun


def _chinese_list(nouns: list[str]) -> str:
    return nouns[0] if len(nouns) == 1 else f"{'、'.join(nouns[:-1])}和{nouns[-1]}"


def _chinese_absence(scene: _Scene) -> str:
    nouns = scene.absences()
    if not nouns:
        return ""
    if len(nouns) > 1 and scene.chance():
        return f"{scene.pick(('没有', '看不到'))}{_chinese_list(nouns)}"
    return "，也".join(f"没有{noun}" for noun in nouns)


def _chinese_place(scene: _Scene, adjectives: float) -> str:
    """The biome, with what can stand before it told with that probability each: 平坦的黄昏的雪原."""
    told = [
        scene.tell("terrain", "adjective", adjectives),
        scene.tell("weather", "adjective", adjectives),
        scene.tell("time", "noun", adjectives),
    ]
    return "".join(f"{word}的" for word in told if word) + scene.tell("biome", "noun")


def _chinese_short(scene: _Scene) -> str:
    form = int(scene.rng.integers(3))
    place = _chinese_place(scene, 0.0 if form == 0 else 0.5)
    things, animals, _ = scene.things(_chinese_animals)
    if form == 0:  # keywords in any order
        keywords = [scene.tell("time", "noun"), scene.tell("weather", "noun"), scene.tell("terrain", "adjective")]
        keywords += [place, scene.tell("activity", "verb"), _chinese_absence(scene), *things, *animals]
        return "，".join(scene.shuffled([word for word in keywords if word]))
    parts = [scene.tell("time", "noun")]
    if form == 1 and (verb := scene.tell("activity", "verb")):
        parts.append(f"{scene.pick(('', '玩家', '有人'))}在{place}{scene.pick(('上', '里'))}{verb}")
    else:
        parts.append(place)
    parts += [scene.tell("weather", "clause"), scene.tell("terrain", "clause")]
    if seen := scene.shuffled(things + animals):
        parts.append(scene.pick(("有", "可以看到", "")) + _chinese_list(seen))
    parts += [_chinese_absence(scene), scene.tell("activity", "verb")]
    return "，".join(part for part in parts if part)


def _chinese_long(scene: _Scene) -> str:
    place = _chinese_place(scene, 0.4)
    time = scene.tell("time", "noun")
    things, animals, _ = scene.things(_chinese_animals)
    if "activity" in scene.left and scene.chance():
        opening = f"{scene.pick(('玩家', '有人', '我们'))}正在{place}上{scene.tell('activity', 'verb')}"
    else:
        opening = scene.pick(("这里是", "画面中是", "")) + place
    opening = f"{time}，{opening}" if time else opening
    sentences = [scene.tell("weather", "clause"), scene.tell("terrain", "clause")]
    if things:
        sentences.append(scene.pick(("这里有", "可以看到", "远处有")) + _chinese_list(things))
    if animals:
        sentences.append(scene.pick(("附近有", "能看到", "旁边有")) + _chinese_list(animals))
    sentences.append(_chinese_absence(scene))
    if verb := scene.tell("activity", "verb"):
        sentences.append(f"{scene.pick(('玩家正在', '有人在', '我们在'))}{verb}")
    return "".join(f"{sentence}。" for sentence in [opening, *scene.shuffled(sentences)] if sentence)
