"""Messages' texts: what keyword lists score them, and the first link in each.

Lists are searched by Polars' Aho-Corasick, all words of a list in one pass, in either case of ASCII letters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.attempts import SCORE_ONE, link_id
from interceptsim.backtest.mapping import TextList

__all__ = ["first_links", "link_ids", "scores_of"]

_ENDINGS = "com|cn|net|org|info|top|xyz|vip|cc|me|io"
_LINK = rf"(?i)(?:https?://|\bwww\.)([a-z0-9.-]+\.[a-z]{{2,24}})|\b((?:[a-z0-9-]+\.)+(?:{_ENDINGS}))\b"
_MOST = 2**31 - 1


def scores_of(text: pl.Series, lists: Sequence[TextList]) -> NDArray[np.int32]:
    """Return each text's score (int32, SCORE_ONE is 1.0): the sum over the lists of which it holds a word."""
    total = np.zeros(len(text), np.int64)
    for one in lists:
        held = text.str.contains_any(list(one.words), ascii_case_insensitive=True).fill_null(value=False)
        total += held.to_numpy() * np.int64(round(one.score * SCORE_ONE))
    return np.clip(total, -_MOST, _MOST).astype(np.int32)


def first_links(text: pl.Series) -> pl.Series:
    """Return the host of the first link in each text, null where there is none."""
    found = pl.DataFrame({"text": text}).select(
        pl.when(pl.col("text").str.contains(".", literal=True)).then(
            pl.coalesce(pl.col("text").str.extract(_LINK, 1), pl.col("text").str.extract(_LINK, 2))
        )
    )
    return found.to_series()


def link_ids(links: pl.Series) -> NDArray[np.uint32]:
    """Return the id (uint32) of each link's host, 0 where there is none; digits alone are an id already."""
    given = links.str.to_integer(dtype=pl.UInt32, strict=False)
    hosts = links.filter(given.is_null()).unique()
    ids = {link: link_id(link) for link in hosts if link}
    return given.fill_null(links.replace_strict(ids, default=0, return_dtype=pl.UInt32)).to_numpy()
