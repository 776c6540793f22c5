"""Telephone numbers: E.164 and short codes as integers, read, written, and handed out without clashes.

A number is a uint64 of its digits with its kind beside it: international (foreign E.164), national
(E.164 under +86) or short code (12381, 95588, 106... A2P senders), which is no E.164 number. No short code
in use has the digits of an E.164 number, so the digits alone are the identity.

The simulator hands out numbers by formula: subscribers, the lines' own numbers, random landlines and
foreign numbers come from ranges that do not overlap, and a serial never gives two numbers.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interceptsim.compiled import Column, Scalar, allocating_kernel, kernel
from interceptsim.errors import ConfigurationError

__all__ = [
    "INTERNATIONAL",
    "KIND_NAMES",
    "NATIONAL",
    "OWN_SERIALS",
    "RANDOM_SERIALS",
    "SHORT_CODE",
    "format_number",
    "kinds_of_digits",
    "neighbour_number",
    "own_number",
    "parse_number",
    "parse_prefix",
    "random_number",
    "read_numbers",
    "subscriber_number",
]

INTERNATIONAL, NATIONAL, SHORT_CODE = 0, 1, 2
KIND_NAMES = ("international", "national", "short-code")

_SUBSCRIBERS = np.uint64(86_130_0000_0000)  # subscribers fill 130 0000 0000 upwards, below 150
_OWN = np.uint64(86_150_0000_0000)  # fraud lines' SIMs: 150 to 199
_OWN_SPAN = np.uint64(5_000_000_000)
_LANDLINES = np.uint64(86_300_0000_0000)  # three-digit area codes from 300 to 999 with eight digits
_LANDLINE_SPAN = np.uint64(70_000_000_000)
_SENDERS = np.uint64(1069_000_000_000)  # A2P sender codes 1069 with nine digits
_SENDER_SPAN = np.uint64(1_000_000_000)
_FOREIGN_SPAN = np.uint64(10_000_000_000)  # ten digits behind a country code
_STEP = np.uint64(1_640_531_527)  # shares no factor with the spans, so serial * step mod span has no clash
_LANDLINE_STEP = np.uint64(179_424_673)
_BLOCK = np.uint64(10_000)

RANDOM_SERIALS = int(_LANDLINE_SPAN)
"""How many different random landlines there are to present."""

OWN_SERIALS = (int(_FOREIGN_SPAN), int(_OWN_SPAN), int(_SENDER_SPAN))
"""How many different numbers lines can own, by kind; abroad, for each country code."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PLAIN = re.compile(r"[ \-().]")
MAX_E164_DIGITS = 15


@kernel
def subscriber_number(index: Scalar, stride: Scalar) -> Scalar:
    """Return the MSISDN (uint64) of subscriber `index` where every `stride`-th subscriber is kept."""
    return _SUBSCRIBERS + np.uint64(index) * np.uint64(stride)


@kernel
def own_number(serial: Scalar, kind: Scalar, country_code: Scalar) -> Scalar:
    """Return the number (uint64) that a line owns; different serials give different numbers.

    `serial` lies below 5e9 for national numbers, 1e9 for short codes, 1e10 abroad, and wraps beyond.
    """
    n = np.uint64(serial)
    if kind == NATIONAL:
        return _OWN + n % _OWN_SPAN * _STEP % _OWN_SPAN
    if kind == SHORT_CODE:
        return _SENDERS + n % _SENDER_SPAN * _STEP % _SENDER_SPAN
    return np.uint64(country_code) * _FOREIGN_SPAN + n % _FOREIGN_SPAN * _STEP % _FOREIGN_SPAN


@kernel
def random_number(serial: Scalar) -> Scalar:
    """Return a landline number (uint64); two serials below RANDOM_SERIALS never give the same."""
    return _LANDLINES + np.uint64(serial) % _LANDLINE_SPAN * _LANDLINE_STEP % _LANDLINE_SPAN


@kernel
def neighbour_number(b_number: Scalar, word: Scalar) -> Scalar:
    """Return a number (uint64) of the called party's own block of 10,000, picked by a 32-bit draw."""
    b = np.uint64(b_number)
    return b - b % _BLOCK + (np.uint64(word) * _BLOCK >> np.uint64(32))


@allocating_kernel
def kinds_of_digits(numbers: Column) -> Column:
    """Return the kinds (uint8) of numbers (uint64) that are written without a "+": E.164, or short codes.

    Up to 8 digits, or 106 in front, are a short code, as no country has either; 86 in front is national.
    """
    kinds = np.empty(numbers.shape[0], np.uint8)
    for k in range(numbers.shape[0]):
        leading = np.uint64(numbers[k])
        short = leading < np.uint64(100_000_000)
        while leading >= np.uint64(1000):
            leading //= np.uint64(10)
        national = leading // np.uint64(10) == np.uint64(86)
        if short or leading == np.uint64(106):
            kinds[k] = SHORT_CODE
        else:
            kinds[k] = NATIONAL if national else INTERNATIONAL
    return kinds


def parse_number(text: str) -> tuple[int, int]:
    """Read a number as people write it; return its digits as an integer and its kind.

    "+8613800138000", "008613800138000", "13800138000" and "075512345678" are national, other numbers
    with "+" or "00" international, and 3 to 8 digits (12381, 95588) or a 106 sender are short codes.
    Raise ValueError for anything else.
    """
    plain = _PLAIN.sub("", text.strip())
    body = plain.removeprefix("+")
    if not (body.isascii() and body.isdecimal()):
        raise ValueError("wanted a telephone number: digits, with '+' before a country code")
    international = plain.startswith("+")
    if body.startswith("00") and not international:
        international, body = True, body[2:]
    if international:
        if not 7 <= len(body) <= MAX_E164_DIGITS or body.startswith("0"):
            raise ValueError("an E.164 number has 7 to 15 digits and does not begin with 0")
        return int(body), NATIONAL if body.startswith("86") else INTERNATIONAL
    if len(body) == 11 and body[0] == "1" and body[1] in "3456789":
        return int("86" + body), NATIONAL
    if body.startswith("0") and 10 <= len(body) <= 12:
        return int("86" + body[1:]), NATIONAL
    if body.startswith("106") and len(body) <= MAX_E164_DIGITS:
        return int(body), SHORT_CODE
    if 3 <= len(body) <= 8 and not body.startswith("0"):
        return int(body), SHORT_CODE
    raise ValueError("neither an E.164 number ('+86...'), nor a mobile or landline number, nor a short code")


def parse_prefix(text: str) -> str:
    """Read the leading digits of numbers: "+95", "+86170" in E.164, "1069" of short codes; return the digits.

    Raise ValueError for anything else.
    """
    digits = _PLAIN.sub("", text.strip()).removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()) or digits.startswith("0") or len(digits) > MAX_E164_DIGITS:
        raise ValueError(f"{text!r} is no prefix: wanted 1 to 15 digits, '+' before a country code, no leading 0")
    return digits


def read_numbers(path: str | Path) -> NDArray[np.uint64]:
    """Read a file of numbers, one a line as `parse_number` reads them, "#" beginning a comment (uint64).

    Raise ConfigurationError naming the first line that is no number, or where the file cannot be read.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().decode("utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    found = []
    for at, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                found.append(int(text[1:]) if _E164.fullmatch(text) else parse_number(text)[0])
            except ValueError as error:
                raise ConfigurationError(f"{path}, line {at}", str(error), given=text[:40]) from None
    return np.array(found, np.uint64)


def format_number(number: int, kind: int) -> str:
    """Write a number: E.164 with its "+", a short code as it is dialled."""
    return str(number) if kind == SHORT_CODE else f"+{number}"
