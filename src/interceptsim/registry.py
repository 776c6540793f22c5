"""The registry of policies: which kinds there are, and how an entry of a scenario is read by its kind.

The built-in kinds come first and in order, then those that installed packages make known by entry points of the
group "interceptsim.policies".
"""

from __future__ import annotations

import functools
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.filtering.outside import MatchExpression, PythonPolicy, is_policy
from interceptsim.filtering.policies import (
    AllowListedNumbers,
    FilterPolicy,
    LabelSuspected,
    LimitAttempts,
    LimitFanOut,
    RejectListedLinks,
    RejectListedNumbers,
    RejectNumberRanges,
    RejectSpoofedOrigin,
    ScoreReputation,
    ScoreText,
    kind_of,
)
from interceptsim.response.policies import (
    AlertInApp,
    Call96110,
    DispatchByTier,
    FreezeTransfers,
    HoldSuspiciousTransfers,
    RaiseAwareness,
    RemindOverseasCall,
    SuspendSubscriber,
    TakeDownSites,
    VisitInPerson,
    Warn12381,
)
from interceptsim.response.supply import RaidHubs, RestrictSimSupply
from interceptsim.tables import validated

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

__all__ = ["AnyPolicy", "policies_of", "policy_kinds"]

_BUILT_IN: tuple[type[BaseModel], ...] = (
    AllowListedNumbers,
    RejectListedNumbers,
    RejectSpoofedOrigin,
    RejectNumberRanges,
    LimitAttempts,
    LimitFanOut,
    ScoreText,
    RejectListedLinks,
    ScoreReputation,
    LabelSuspected,
    MatchExpression,
    PythonPolicy,
    Warn12381,
    DispatchByTier,
    Call96110,
    VisitInPerson,
    SuspendSubscriber,
    FreezeTransfers,
    HoldSuspiciousTransfers,
    AlertInApp,
    TakeDownSites,
    RemindOverseasCall,
    RaiseAwareness,
    RaidHubs,
    RestrictSimSupply,
)


@functools.cache
def policy_kinds() -> dict[str, type[BaseModel]]:
    """Return kind to class: the built-in ones in order, then those of installed packages by name.

    Raise ConfigurationError where two share a kind or an installed one is not a policy.
    """
    kinds: dict[str, type[BaseModel]] = {kind_of(policy): policy for policy in _BUILT_IN}
    for entry in sorted(entry_points(group="interceptsim.policies"), key=lambda e: e.name):
        policy = entry.load()
        where = f"entry point {entry.name} = {entry.value}"
        verbs = (getattr(policy, name, None) for name in ("compile", "respond"))
        if not (isinstance(policy, type) and issubclass(policy, BaseModel) and any(map(callable, verbs))):
            wanted = "wanted a pydantic model with kind, id, enabled and compile(builder) or respond(contacts)"
            raise ConfigurationError(where, wanted)
        if entry.name in kinds:
            raise ConfigurationError(where, f"the kind {entry.name!r} is registered twice")
        kinds[entry.name] = policy
    return kinds


class _ByKind:
    """Reads an entry by its `kind`; its JSON Schema offers every registered kind."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.plain_serializer_function_ser_schema(cls._write)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        offered = (handler(policy.__pydantic_core_schema__) for policy in policy_kinds().values())
        return {"oneOf": [handler.resolve_ref_schema(schema) for schema in offered]}

    @staticmethod
    def _read(given: Any) -> Any:
        kinds = policy_kinds()
        if is_policy(given):
            return given
        kind = given.get("kind") if isinstance(given, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            near = nearest_name(str(kind), kinds)
            wanted = "wanted a table with the 'kind' of a policy" if kind is None else "no such policy"
            hint = f"; did you mean {near!r}?" if near else ""
            raise PydanticCustomError("policy_kind", "{text}", {"text": f"{wanted}: {kind!r}{hint}"})
        return kinds[kind].model_validate(given)

    @staticmethod
    def _write(policy: FilterPolicy) -> Any:
        if isinstance(policy, BaseModel):
            return policy.model_dump(mode="json", exclude_none=True)
        return {"kind": policy.kind, "id": policy.id, "enabled": policy.enabled}


AnyPolicy = Annotated[Any, _ByKind]
"""One entry of a chain, read by its `kind`."""


class _Chain(BaseModel):
    """A list of policies as a file holds it."""

    policies: tuple[AnyPolicy, ...]


def policies_of(entries: list[Any], source: str) -> tuple[Any, ...]:
    """Return the policies that plain tables declare; raise ConfigurationError, told of `source`, where one is none."""
    return validated(_Chain, {"policies": entries}, source).policies
