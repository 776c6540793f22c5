"""Rules outside the kernels: SQL expressions that Polars evaluates, and Python functions of a batch.

They are asked for a whole batch before the kernels run, and enter the plan as a verdict code a row.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr, field_validator

from interceptsim.attempts import COLUMNS, INTERCEPT, AttemptBatch
from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.filtering.policies import ActingPolicy, FilterPolicy

if TYPE_CHECKING:
    import polars as pl

    from interceptsim.filtering.plan import PlanBuilder

__all__ = ["MatchExpression", "PythonPolicy", "as_policies", "blocking", "is_policy"]


@functools.cache
def _probe() -> pl.DataFrame:
    """Return rows that differ in every column, many times over, to try expressions on."""
    import polars as pl  # noqa: PLC0415  a scenario without expressions does not need it

    k = np.arange(48)
    values = {"time_us": 20_000 * 86_400_000_000 + k % 7 * 3_600_000_000, "a_number": 8615000000000 + k % 5}
    return pl.DataFrame(
        {n: values.get(n, (k * (3 + i) + i) % (2 + i)).astype(t) for i, (n, t) in enumerate(COLUMNS.items())}
    )


@functools.cache
def _sql(expression: str) -> pl.Expr:
    """Return a Polars expression; raise ValueError where it is not one truth value of each row by itself.

    Its tree must hold no aggregate or window, and on rows to try it gives each row the same alone, among all and in
    reverse.
    """
    import polars as pl  # noqa: PLC0415  a scenario without expressions does not need it

    try:
        parsed = pl.sql_expr(expression)
        for name in parsed.meta.root_names():
            if name not in COLUMNS:
                near = nearest_name(name, COLUMNS)
                raise ValueError(f"no column {name!r}" + (f"; did you mean {near!r}?" if near else ""))
        probe = _probe()
        whole = probe.select(parsed.alias("said"))["said"]
        if whole.dtype != pl.Boolean:
            raise ValueError(f"wanted an expression that is true or false, this one is {whole.dtype}")
        tree = str(parsed.meta.serialize(format="json"))
        alone = pl.concat([probe[k : k + 1].select(parsed.alias("said"))["said"] for k in range(len(probe))])
        backward = probe.reverse().select(parsed.alias("said"))["said"].reverse()
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"not an SQL expression of the columns: {str(error).splitlines()[0]}") from None
    by_itself = len(whole) == len(probe) and whole.equals(alone) and whole.equals(backward)
    if not by_itself or any(f'"{word}"' in tree for word in ("Agg", "Over", "Window", "Len")):
        raise ValueError("wanted an expression of each row by itself: no aggregate, window or sub-query")
    return parsed


class MatchExpression(ActingPolicy):
    """Intercept (or label) what an SQL expression over the visible columns holds true of.

    For example "entry = 0 AND a_kind = 1 AND NOT roaming". The expression is Polars' SQL, of each row by itself. Unlike
    compiled rules it is evaluated by Polars, which costs more than all of them together.
    """

    kind: Literal["match-expression"]
    sql: str

    @field_validator("sql")
    @classmethod
    def _row_wise(cls, sql: str) -> str:
        _sql(sql)
        return sql

    def says(self, batch: AttemptBatch) -> NDArray[np.uint8]:
        """Return INTERCEPT (uint8) for rows of which the expression is true."""
        true = batch.to_frame().select(_sql(self.sql).alias("said"))["said"].fill_null(value=False).to_numpy()
        return true.astype(np.uint8) * np.uint8(INTERCEPT)

    def compile(self, builder: PlanBuilder) -> None:
        """Add one operation whose verdicts come from Polars."""
        builder.read(*_sql(self.sql).meta.root_names())
        builder.outside(self.says, *self._place())


class PythonPolicy(ActingPolicy):
    """A rule written as a Python function of a batch: `AttemptBatch` in, one truth value or verdict code a row out.

    It must be a pure function of each row: `interceptsim.testing.check_policy` cuts and permutes batches to catch one
    that is not. In TOML, `call = "module:function"` is refused unless Python is allowed. It costs what it costs.
    """

    kind: Literal["python"] = "python"
    call: str = ""
    _function: Callable[[AttemptBatch], Any] | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, function: Callable[[AttemptBatch], Any], **values: Any) -> Self:
        """Return a policy that asks `function`; its id is the function's name unless given."""
        name = getattr(function, "__name__", "python").strip("_<>").lower()
        policy = cls.model_validate({"kind": "python", "id": name or "python", **values})
        policy._function = function  # noqa: SLF001  its own class
        return policy

    def imported(self) -> Self:
        """Return the policy with the function that `call` names; raise ConfigurationError where there is none."""
        module, _, name = self.call.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            where = f"policies.{self.id}.call"
            raise ConfigurationError(where, f"wanted 'module:function': {error}", given=self.call) from None
        return self.of(function, **self.model_dump())

    def says(self, batch: AttemptBatch) -> NDArray[np.uint8]:
        """Return a verdict code (uint8) for each row: what the function gives, true meaning INTERCEPT."""
        assert self._function is not None
        said = np.asarray(self._function(batch))
        if said.shape != (len(batch),):
            raise ConfigurationError(f"policies.{self.id}", f"wanted one value a row ({len(batch)})", given=said.shape)
        if said.dtype == np.bool_:
            return said.astype(np.uint8) * np.uint8(INTERCEPT)
        if not np.issubdtype(said.dtype, np.integer) or (len(said) and not 0 <= said.min() <= said.max() <= INTERCEPT):
            raise ConfigurationError(
                f"policies.{self.id}",
                "wanted truth values, or codes 0 deliver, 1 label, 2 intercept",
                given=str(said.dtype),
            )
        return said.astype(np.uint8)

    def compile(self, builder: PlanBuilder) -> None:
        """Add one operation whose verdicts come from the function."""
        if self._function is None:
            raise ConfigurationError(
                f"policies.{self.id}",
                "code named in TOML is not run; pass the function itself, or allow Python",
                given=self.call,
            )
        builder.outside(self.says, *self._place())


def is_policy(given: Any) -> bool:
    """Whether something blocks attempts, or answers those whom attempts reach: it has `compile`, or `respond`."""
    named = all(hasattr(given, name) for name in ("kind", "id", "enabled"))
    return isinstance(given, FilterPolicy) or (named and callable(getattr(given, "respond", None)))


def as_policies(policies: Iterable[Any]) -> list[Any]:
    """Return policies ready for use: functions of a batch become `PythonPolicy`, all else stands as it is.

    Raise ConfigurationError for what is neither.
    """
    found: list[Any] = []
    for policy in policies:
        if is_policy(policy):
            found.append(policy)
        elif callable(policy) and not isinstance(policy, type):
            found.append(PythonPolicy.of(policy))
        else:
            raise ConfigurationError(
                "policies",
                "wanted policies (kind, id, enabled, and compile or respond) or functions of a batch",
                given=repr(policy)[:60],
            )
    return found


def blocking(policies: Iterable[Any]) -> list[FilterPolicy]:
    """Return the policies that block attempts, in their order, ready to compile. Raise as `as_policies` does."""
    return [policy for policy in as_policies(policies) if isinstance(policy, FilterPolicy)]
