"""Contact sheets: truth beside prediction as one picture, steps from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_LABEL = 66  # width of the labels at the left, pixels
_HEAD = 14  # height of the column heads
_GAP = 2
_INK, _PAPER = (225, 225, 225), (24, 24, 28)

Row = tuple[str, np.ndarray]  # what it shows; frames uint8 (columns, H, W, 3)


def write_sheet(path: Path, heads: Sequence[str], groups: Sequence[Sequence[Row]]) -> None:
    """Write rows of pictures as a PNG; rows of one group stand close together. heads: one a column."""
    height, width = groups[0][0][1].shape[1:3]
    total = _HEAD + sum(len(group) * (height + _GAP) + 4 * _GAP for group in groups)
    sheet = Image.new("RGB", (_LABEL + len(heads) * (width + _GAP), total), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        pen.text((_LABEL + column * (width + _GAP) + 2, 1), head, _INK)
    top = _HEAD
    for group in groups:
        for label, frames in group:
            pen.text((2, top + 2), label, _INK)
            for column, frame in enumerate(frames):
                sheet.paste(Image.fromarray(frame), (_LABEL + column * (width + _GAP), top))
            top += height + _GAP
        top += 4 * _GAP
    sheet.save(path)
