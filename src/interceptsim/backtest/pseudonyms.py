"""Pseudonyms: numbers leave as keyed hashes, the same number as the same pseudonym under the same key.

A pseudonym is 128 bits of BLAKE2b, keyed, as 32 hexadecimal digits. Without the key nobody can try numbers out.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import polars as pl

from interceptsim.errors import ConfigurationError

__all__ = ["Pseudonyms"]

_LEAST_BYTES, _MOST_BYTES = 16, 64


class Pseudonyms:
    """Makes pseudonyms with the key that a file holds: 16 bytes or more, an end of line not counted.

    Raise ConfigurationError where the file cannot be read or holds less.
    """

    def __init__(self, keyfile: str | Path) -> None:
        try:
            key = Path(keyfile).read_bytes().rstrip(b"\r\n")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"key file {keyfile}", f"cannot be read: {error}") from None
        if len(key) < _LEAST_BYTES:
            wanted = f"wanted a key of {_LEAST_BYTES} bytes or more, such as 'openssl rand -hex 32' makes"
            raise ConfigurationError(f"key file {keyfile}", wanted)
        self._key = key if len(key) <= _MOST_BYTES else blake2b(key).digest()

    def of(self, number: int) -> str:
        """Return the pseudonym of a number's digits."""
        return blake2b(str(number).encode(), digest_size=16, key=self._key, person=b"number").hexdigest()

    def of_column(self, numbers: pl.Series) -> pl.Series:
        """Return the pseudonyms of a column of digits (uint64)."""
        if numbers.is_empty():
            return pl.Series(numbers.name, [], pl.String)
        different = numbers.unique()
        made = pl.Series([self.of(number) for number in different], dtype=pl.String)
        return numbers.replace_strict(different, made, return_dtype=pl.String)
