"""Keyed draws and exact arithmetic: every random number is a pure function of what it is for.

A draw is named by (root seed, stream name, entity id, ordinal) and computed by the counter-based
generator Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), so
nothing depends on the order in which draws are made. There is no stateful generator anywhere in the model.

Logarithm, exponential and normal quantile are built from + - * / and the square root of IEEE doubles
alone: the same inputs give the same bits in Python and compiled code, on every machine. Each function
below is compiled by numba; its plain Python twin is `function.py_func`.
"""

from __future__ import annotations

import functools
from hashlib import blake2b

import numpy as np

from interceptsim.compiled import Column, Record, Scalar, allocating_kernel, kernel

__all__ = [
    "DELAY_CONSTANT",
    "DELAY_EXPONENTIAL",
    "DELAY_LOGNORMAL",
    "LAW",
    "LONGEST_US",
    "choose",
    "delay_of",
    "delay_us",
    "draw",
    "draw_all",
    "exp_of",
    "exponentials",
    "index_below",
    "log_of",
    "lognormals",
    "mix64",
    "normal_quantile",
    "normal_quantiles",
    "philox",
    "poisson",
    "replication_seed",
    "root_key",
    "spread",
    "stream_id",
    "threshold",
    "unit",
]

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)

_FRACTION = (1 << 52) - 1
_ONE = 1023 << 52
_SQRT2 = 1.4142135623730951
_LN2_HIGH = 6.93147180369123816490e-01  # the leading bits of ln 2: k * high is exact for every exponent k
_LN2_LOW = 1.90821492927058770002e-10  # ln 2 less the part above
_LN2 = 0.6931471805599453

DELAY_CONSTANT, DELAY_EXPONENTIAL, DELAY_LOGNORMAL = 0, 1, 2

LAW = np.dtype([("kind", "i8"), ("minimum", "i8"), ("scale", "f8"), ("sigma", "f8")])
"""The law of a delay: what `delay_us` takes."""

LONGEST_US = 200 * 365 * 86_400_000_000
"""The longest duration, 200 years of 365 days in microseconds: sums of several still fit into 64 bits."""


@kernel
def philox(c0: Scalar, c1: Scalar, c2: Scalar, c3: Scalar, k0: Scalar, k1: Scalar) -> Scalar:
    """Return the Philox4x32-10 block of a counter and a key.

    All six arguments and the four results are uint64 holding 32-bit words.
    """
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0 = (p1 >> _32) ^ c1 ^ k0
        c1 = p1 & _LOW
        c2 = (p0 >> _32) ^ c3 ^ k1
        c3 = p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@kernel
def draw(key0: Scalar, key1: Scalar, stream: Scalar, entity: Scalar, ordinal: Scalar) -> Scalar:
    """Return the four 32-bit words (uint64) of one named draw.

    `key0, key1` are the words (uint64) of `root_key(seed)`; `stream` a `stream_id`; `entity` an id below 2**32;
    `ordinal` the number of the draw within the stream and entity, 0 or more.
    """
    n = np.uint64(ordinal)
    return philox(n & _LOW, n >> _32, np.uint64(entity), np.uint64(stream), key0, key1)


@kernel
def spread(word0: Scalar, word1: Scalar, nth: Scalar) -> tuple[Scalar, Scalar]:
    """Return the `nth` of a sequence of pairs of 32-bit words (uint64), shifted by a draw of such a pair.

    Each pair is a draw like any other, but they fill the square evenly however many are taken: of n words about n / 10
    lie in each tenth, where of n draws it would be so many only in the mean. The steps are 1 / p and 1 / p**2 of a
    whole turn, p being the plastic number, which solves p**3 = p + 1: additive recurrence, as in Weyl's and Kronecker's
    theorem.
    """
    n = np.uint64(nth)
    return (
        ((np.uint64(word0) << _32) + n * np.uint64(0xC13FA9A902A6328F)) >> _32,
        ((np.uint64(word1) << _32) + n * np.uint64(0x91E10DA5C79E7B1D)) >> _32,
    )


@kernel
def draw_all(
    key0: Scalar,
    key1: Scalar,
    stream: np.ndarray,
    entity: np.ndarray,
    ordinal: np.ndarray,
    n: Scalar,
    w0: np.ndarray,
    w1: np.ndarray,
    w2: np.ndarray,
    w3: np.ndarray,
) -> None:
    """Fill the first `n` of `w0` to `w3` (uint32) with draws: `draw` of each stream, entity (uint32), ordinal (int64).

    The rounds of `philox` stand here once more, because a processor takes many draws at a time only in a loop that
    is written out.
    """
    for k in range(n):
        c0 = np.uint64(ordinal[k]) & _LOW
        c1 = np.uint64(ordinal[k]) >> _32
        c2 = np.uint64(entity[k])
        c3 = np.uint64(stream[k])
        k0 = np.uint64(key0) & _LOW
        k1 = np.uint64(key1) & _LOW
        for _ in range(10):
            p0 = _M0 * c0
            p1 = _M1 * c2
            c0 = (p1 >> _32) ^ c1 ^ k0
            c1 = p1 & _LOW
            c2 = (p0 >> _32) ^ c3 ^ k1
            c3 = p0 & _LOW
            k0 = (k0 + _W0) & _LOW
            k1 = (k1 + _W1) & _LOW
        w0[k] = c0
        w1[k] = c1
        w2[k] = c2
        w3[k] = c3


@kernel
def unit(word: Scalar) -> Scalar:
    """Turn a 32-bit word into a float strictly between 0 and 1 (the middle of its 2**-32 cell)."""
    return (np.float64(word) + 0.5) * 2.3283064365386963e-10


@kernel
def index_below(high: Scalar, low: Scalar, n: Scalar) -> Scalar:
    """Turn two 32-bit words into an index in [0, n), n below 2**32, by all 64 bits.

    With 32 bits some of 1.8 billion subscribers would be called a third more often than others.
    """
    m = np.uint64(n)
    return (np.uint64(high) * m + (np.uint64(low) * m >> _32)) >> _32


@kernel
def choose(word: Scalar, cumulative: np.ndarray, first: Scalar, last: Scalar) -> Scalar:
    """Return the first i in [first, last) with `word < cumulative[i]` (thresholds as of `threshold`).

    The last index is returned where none is greater, so that rounding cannot lose a draw.
    """
    for i in range(first, last - 1):
        if word < cumulative[i]:
            return i
    return last - 1


@kernel
def mix64(value: Scalar) -> Scalar:
    """Scramble 64 bits (the finaliser of SplitMix64): a fixed pseudo-random property of a number."""
    z = np.uint64(value)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def log_of(x: Scalar) -> Scalar:
    """Return the natural logarithm of a positive normal double, the same bits on every machine.

    x = 2**k * f with f within a factor sqrt 2 of 1; log f = 2 atanh((f - 1) / (f + 1)) by its series, whose
    12 terms suffice for |s| <= 0.1716, summed in pairs so that a processor can work on several at
    once. The error is below 2 units in the last place.
    """
    bits = np.float64(x).view(np.int64)
    k = (bits >> 52) - 1023
    f = np.int64((bits & _FRACTION) | _ONE).view(np.float64)
    if f > _SQRT2:
        f *= 0.5
        k += 1
    s = (f - 1.0) / (f + 1.0)
    z = s * s
    z2 = z * z
    z4 = z2 * z2
    low = (1 / 3.0 + z * (1 / 5.0)) + z2 * (1 / 7.0 + z * (1 / 9.0))
    high = (1 / 11.0 + z * (1 / 13.0)) + z2 * (1 / 15.0 + z * (1 / 17.0))
    tail = z * ((low + z4 * high) + z4 * z4 * ((1 / 19.0 + z * (1 / 21.0)) + z2 * (1 / 23.0)))
    return k * _LN2_HIGH + (k * _LN2_LOW + (2.0 * s + 2.0 * s * tail))


@kernel
def exp_of(x: Scalar) -> Scalar:
    """Return e**x for |x| <= 700, the same bits on every machine.

    x = k ln 2 + r with |r| <= 0.35; e**r by the 14 first terms of its series.
    """
    k = np.int64(np.floor(x / _LN2 + 0.5))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    total = 1.0
    for n in range(14, 0, -1):
        total = 1.0 + r / n * total
    return total * np.int64((k + 1023) << 52).view(np.float64)


@kernel
def _middle_quantile(q: Scalar) -> Scalar:
    """Return the standard normal quantile of 0.5 + q for |q| <= 0.425."""
    r = 0.180625 - q * q
    top = 2.50908_09287_30122_6727e3 * r + 3.34305_75583_58812_8105e4
    top = (top * r + 6.72657_70927_00870_0853e4) * r + 4.59219_53931_54987_1457e4
    top = (top * r + 1.37316_93765_50946_1125e4) * r + 1.97159_09503_06551_4427e3
    top = (top * r + 1.33141_66789_17843_7745e2) * r + 3.38713_28727_96366_6080e0
    low = 5.22649_52788_52854_5610e3 * r + 2.87290_85735_72194_2674e4
    low = (low * r + 3.93078_95800_09271_0610e4) * r + 2.12137_94301_58659_5867e4
    low = (low * r + 5.39419_60214_24751_1077e3) * r + 6.87187_00749_20579_0830e2
    low = (low * r + 4.23133_30701_60091_1252e1) * r + 1.0
    return q * top / low


@kernel
def normal_quantile(p: Scalar) -> Scalar:
    """Return the standard normal quantile of p in (0, 1), to about 1e-15.

    The rational approximations of Wichura, "Algorithm AS 241", Applied Statistics 37 (1988).
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        return _middle_quantile(q)
    r = np.sqrt(-log_of(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        top = 7.74545_01427_83414_07640e-4 * r + 2.27238_44989_26918_45833e-2
        top = (top * r + 2.41780_72517_74506_11770e-1) * r + 1.27045_82524_52368_38258e0
        top = (top * r + 3.64784_83247_63204_60504e0) * r + 5.76949_72214_60691_40550e0
        top = (top * r + 4.63033_78461_56545_29590e0) * r + 1.42343_71107_49683_57734e0
        low = 1.05075_00716_44416_84324e-9 * r + 5.47593_80849_95344_94600e-4
        low = (low * r + 1.51986_66563_61645_71966e-2) * r + 1.48103_97642_74800_74590e-1
        low = (low * r + 6.89767_33498_51000_04550e-1) * r + 1.67638_48301_83803_84940e0
        low = (low * r + 2.05319_16266_37758_82187e0) * r + 1.0
    else:
        r -= 5.0
        top = 2.01033_43992_92288_13265e-7 * r + 2.71155_55687_43487_57815e-5
        top = (top * r + 1.24266_09473_88078_43860e-3) * r + 2.65321_89526_57612_30930e-2
        top = (top * r + 2.96560_57182_85048_91230e-1) * r + 1.78482_65399_17291_33580e0
        top = (top * r + 5.46378_49111_64114_36990e0) * r + 6.65790_46435_01103_77720e0
        low = 2.04426_31033_89939_78564e-15 * r + 1.42151_17583_16445_88870e-7
        low = (low * r + 1.84631_83175_10054_68180e-5) * r + 7.86869_13114_56132_59100e-4
        low = (low * r + 1.48753_61290_85061_48525e-2) * r + 1.36929_88092_27358_05310e-1
        low = (low * r + 5.99832_20655_58879_37690e-1) * r + 1.0
    z = top / low
    return -z if q < 0.0 else z


@kernel
def delay_us(word: Scalar, kind: Scalar, minimum_us: Scalar, scale_us: Scalar, sigma: Scalar) -> Scalar:
    """Return a delay in microseconds: `minimum_us` and, by `kind`, a random part.

    DELAY_CONSTANT adds nothing, DELAY_EXPONENTIAL an exponential of mean `scale_us`, DELAY_LOGNORMAL a
    lognormal of median `scale_us` and shape `sigma`; the random part is LONGEST_US at the most. `word` is a
    32-bit draw.
    """
    if kind == DELAY_CONSTANT:
        return minimum_us
    factor = -log_of(unit(word)) if kind == DELAY_EXPONENTIAL else exp_of(sigma * normal_quantile(unit(word)))
    return minimum_us + np.int64(min(factor * scale_us, np.float64(LONGEST_US)))


@kernel
def delay_of(law: Record, word: Scalar) -> Scalar:
    """Return a delay in microseconds by a law (LAW), drawn by a 32-bit word."""
    return delay_us(word, law.kind, law.minimum, law.scale, law.sigma)


@kernel
def exponentials(word: Column, scale_us: Column, n: Scalar, out: Column) -> None:
    """Fill the first `n` of `out` (int64) with the random parts of exponential delays, as `delay_us` does."""
    for k in range(n):
        out[k] = np.int64(min(-log_of(unit(word[k])) * scale_us[k], np.float64(LONGEST_US)))


@kernel
def normal_quantiles(word: Column, n: Scalar, out: Column) -> None:
    """Fill the first `n` of `out` (float64) with `normal_quantile` of 32-bit draws.

    That of the few draws that are not in the middle is found again afterwards, so that loops have no branch.
    """
    for k in range(n):
        out[k] = _middle_quantile(unit(word[k]) - 0.5)
    for k in range(n):
        if abs(unit(word[k]) - 0.5) > 0.425:
            out[k] = normal_quantile(unit(word[k]))


@allocating_kernel
def lognormals(word: Column, scale_us: Column, sigma: Column, n: Scalar, out: Column) -> None:
    """Fill the first `n` of `out` (int64) with the random parts of lognormal delays, as `delay_us` does."""
    z = np.empty(n)
    normal_quantiles(word, n, z)
    for k in range(n):
        out[k] = np.int64(min(exp_of(sigma[k] * z[k]) * scale_us[k], np.float64(LONGEST_US)))


@kernel
def poisson(word: Scalar, mean: Scalar) -> Scalar:
    """Return a Poisson count by inversion of a 32-bit draw; a mean of more than 500 counts as 500."""
    mean = min(mean, 500.0)
    left = unit(word)
    part = exp_of(-mean)
    count = 0
    while left > part and count < 2000:
        left -= part
        count += 1
        part *= mean / count
    return count


def root_key(seed: int) -> np.ndarray:
    """Return the key of a root seed (0 <= seed < 2**64): uint64 of length 2, each a 32-bit word."""
    words = blake2b(seed.to_bytes(8, "little"), digest_size=8, person=b"root seed").digest()
    return np.frombuffer(words, "<u4").astype(np.uint64)


def replication_seed(seed: int, replication: int) -> int:
    """Return the root seed of a replication, a hash of both, so that no two runs share draws by chance."""
    text = f"{seed}/{replication}".encode()
    return int.from_bytes(blake2b(text, digest_size=8, person=b"replication").digest(), "little")


@functools.cache
def stream_id(name: str) -> int:
    """Return the 32-bit id of a stream of draws, a hash of its name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4, person=b"stream").digest(), "little")


def threshold(ratio: float) -> int:
    """Turn a probability in [0, 1] into a bound on 32-bit words: the event is `word < threshold`."""
    return round(ratio * 2**32)
