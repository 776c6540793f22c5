"""What a thing is, as one digest: the same in every process, another where the thing is another.

Pickles do not serve: they hold the order of sets, the names of temporary files and line numbers of notebook cells, and
functions of imported modules by no more than their names. Here a function is its byte code, its defaults, what it
closes over and the globals it reads, all the way down; what libraries hold is named, not walked.
"""

from __future__ import annotations

import builtins
import copyreg
import dis
import functools
import pickle
import struct
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from interceptsim.errors import ConfigurationError
from interceptsim.ledger import shipped

__all__ = ["fingerprint", "is_own", "package_fingerprint"]

_BYTES = 16
_LIBRARIES = ("simpy", "numpy", "polars", "numba", "pydantic")
_OF_THE_MACHINERY = frozenset(
    ("__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__", "__static_attributes__", "_abc_impl")
)
_GLOBALS = frozenset(("LOAD_GLOBAL", "LOAD_NAME"))


@functools.cache
def package_fingerprint() -> str:
    """Return the digest of the package's own files and of the versions of the libraries that results rest on."""
    package = Path(__file__).parents[1]
    files = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    files |= {f"seeds/{path.name}": path for path in shipped("seeds", "").glob("*.toml")}
    named = [(name, path.read_bytes()) for name, path in sorted(files.items())]
    return fingerprint([named, [(name, version(name)) for name in _LIBRARIES]])


def fingerprint(thing: Any) -> str:
    """Return the digest, 32 letters, of plain values, containers, arrays, functions, classes and their instances.

    Raise ConfigurationError for what has no content that can be told, such as an open file or a lock.
    """
    walk = _Walk()
    try:
        walk.add(thing)
    except RecursionError:
        raise ConfigurationError("content", "is nested too deep to be told", given=type(thing).__name__) from None
    return walk.hash.hexdigest()


def is_own(module: str) -> bool:
    """Tell whether a module is the user's own: a notebook, a script or a file of theirs, and no installed library."""
    top = module.partition(".")[0]
    if top in {"__main__", "__mp_main__"}:
        return True
    if top == "interceptsim" or top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or not any(place in Path(file).parents for place in _libraries())


@functools.cache
def _libraries() -> frozenset[Path]:
    places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return frozenset(Path(place) for place in places if place)


class _Walk:
    """Feeds a thing, piece by piece, to a hash; what is being walked already is told by its depth."""

    def __init__(self) -> None:
        self.hash = blake2b(digest_size=_BYTES, person=b"fingerprint")
        self._above: dict[int, int] = {}

    def _say(self, tag: str, content: bytes = b"") -> None:
        self.hash.update(f"{tag} {len(content)} ".encode())
        self.hash.update(content)

    def add(self, thing: Any) -> None:
        """Take in one thing."""
        if thing is None or (isinstance(thing, bool | int | float | complex | str | bytes) and _is_builtin(thing)):
            self._plain(thing)
            return
        if id(thing) in self._above:
            self._say("above", str(len(self._above) - self._above[id(thing)]).encode())
            return
        self._above[id(thing)] = len(self._above)
        self._whole(thing)
        del self._above[id(thing)]

    def _all(self, tag: str, *things: Any) -> None:
        self._say(tag, str(len(things)).encode())
        for thing in things:
            self.add(thing)

    def _plain(self, thing: Any) -> None:
        name = type(thing).__name__
        if isinstance(thing, float):
            self._say(name, struct.pack("<d", thing))
        elif isinstance(thing, bytes):
            self._say(name, thing)
        else:
            self._say(name, str(thing).encode("utf-8", "surrogatepass"))

    def _whole(self, thing: Any) -> None:
        for kind, told in _TOLD:
            if isinstance(thing, kind):
                told(self, thing)
                return
        if (function := getattr(thing, "py_func", None)) is not None:  # compiled by numba
            self._all("compiled", function)
        elif isinstance(thing, BaseModel):
            private = thing.__pydantic_private__ or {}
            self._all("model", type(thing), dict(vars(thing)), {k: v for k, v in private.items() if v is not None})
        else:
            self._reduced(thing)

    def _unordered(self, thing: Any) -> None:
        self._all("set", *sorted(fingerprint(entry) for entry in thing))

    def _mapping(self, thing: Any) -> None:
        self._all("mapping", *(part for pair in thing.items() for part in pair))

    def _sequence(self, thing: Any) -> None:
        self._all(type(thing).__name__, *thing)

    def _array(self, thing: np.ndarray[Any, Any]) -> None:
        if thing.dtype.hasobject:
            self._all("objects", thing.shape, thing.ravel().tolist())
        else:
            self._all("array", str(thing.dtype), thing.shape)
            self.hash.update(np.ascontiguousarray(thing).data)

    def _function(self, thing: types.FunctionType) -> None:
        if not is_own(thing.__module__ or "__main__"):
            self._named(thing)
            return
        read = {name: thing.__globals__[name] for name in _globals_read(thing.__code__) if name in thing.__globals__}
        cells = [cell.cell_contents for cell in thing.__closure__ or () if _is_filled(cell)]
        self._all("function", thing.__code__, thing.__defaults__, thing.__kwdefaults__, cells, read, vars(thing))

    def _code(self, thing: types.CodeType) -> None:
        self._all(
            "code",
            *(thing.co_code, thing.co_consts, thing.co_names, thing.co_varnames, thing.co_freevars, thing.co_cellvars),
            *(thing.co_argcount, thing.co_posonlyargcount, thing.co_kwonlyargcount, thing.co_flags),
            getattr(thing, "co_exceptiontable", b""),
        )

    def _class(self, thing: type) -> None:
        if not is_own(thing.__module__):
            self._named(thing)
            return
        fields = getattr(thing, "__pydantic_fields__", {})
        machinery = issubclass(thing, BaseModel)
        members = {
            name: value
            for name, value in sorted(vars(thing).items())
            if name not in _OF_THE_MACHINERY and not (machinery and name.startswith("__") and name != "__init__")
        }
        self._all("class", thing.__qualname__, thing.__bases__, members, dict(fields))

    def _module(self, thing: types.ModuleType) -> None:
        if not is_own(thing.__name__):
            self._say("library", thing.__name__.encode())
            return
        file = getattr(thing, "__file__", None)
        own = [
            value for value in vars(thing).values() if isinstance(value, types.ModuleType) and is_own(value.__name__)
        ]
        if file is not None:
            self._all("module", Path(file).read_bytes(), *own)
        else:
            self._all("module", {k: v for k, v in vars(thing).items() if not k.startswith("__")})

    def _named(self, thing: Any) -> None:
        """Take in what a library holds: by its name, and the text of the file where it stands."""
        module = str(thing.__module__)
        name = f"{module}:{getattr(thing, '__qualname__', getattr(thing, '__name__', ''))}"
        self._say("named", name.encode())
        if module.partition(".")[0] != "interceptsim":  # whose files are in every name already
            self._say("text", _text_of(module))

    def _reduced(self, thing: Any) -> None:
        """Take in an instance by the pieces that `pickle` would make it from."""
        try:
            reduced = copyreg.dispatch_table.get(type(thing))
            pieces = reduced(thing) if reduced else thing.__reduce_ex__(4)
        except (TypeError, pickle.PicklingError, AttributeError):
            wanted = "holds what has no content that can be told or sent: give it the values it is made from"
            raise ConfigurationError("policies", wanted, given=type(thing).__name__) from None
        if isinstance(pieces, str):
            self._say("global", f"{getattr(thing, '__module__', '')}:{pieces}".encode())
            self.add(getattr(thing, "__wrapped__", None))  # a function behind a cache
            return
        made, arguments, state, entries, pairs = (*pieces, None, None, None)[:5]
        entries = None if entries is None else list(entries)
        self._all("instance", type(thing), made, arguments, state, entries, None if pairs is None else list(pairs))


_TOLD: tuple[tuple[Any, Callable[[_Walk, Any], None]], ...] = (
    ((list, tuple), _Walk._sequence),  # noqa: SLF001  its own class
    ((set, frozenset), _Walk._unordered),  # noqa: SLF001
    ((dict, types.MappingProxyType), _Walk._mapping),  # noqa: SLF001
    (np.ndarray, _Walk._array),  # noqa: SLF001
    (types.FunctionType, _Walk._function),  # noqa: SLF001
    (types.CodeType, _Walk._code),  # noqa: SLF001
    (types.ModuleType, _Walk._module),  # noqa: SLF001
    (type, _Walk._class),  # noqa: SLF001
    (types.BuiltinFunctionType, lambda walk, f: walk._all("builtin", f.__name__, _bound_to(f))),  # noqa: SLF001
    (types.MethodType, lambda walk, m: walk._all("method", m.__func__, m.__self__)),  # noqa: SLF001
    ((staticmethod, classmethod), lambda walk, m: walk._all(type(m).__name__, m.__func__)),  # noqa: SLF001
    (property, lambda walk, p: walk._all("property", p.fget, p.fset, p.fdel)),  # noqa: SLF001
    ((types.GetSetDescriptorType, types.MemberDescriptorType), lambda walk, d: walk._say("slot", d.__name__.encode())),  # noqa: SLF001
)


def _is_builtin(thing: Any) -> bool:
    """Tell whether a plain value is just that, and no member of an enumeration or other subclass."""
    return type(thing).__module__ == builtins.__name__


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  the look is the test
    except ValueError:
        return False
    return True


def _bound_to(function: Any) -> Any:
    """Return what a built-in method belongs to: the name of its module, or the object."""
    owner = function.__self__
    return owner.__name__ if isinstance(owner, types.ModuleType | types.NoneType) and owner else owner


def _globals_read(code: types.CodeType) -> list[str]:
    """Return the names of globals that a piece of code and what is defined in it read, in order."""

    def walk(code: types.CodeType) -> Iterator[str]:
        yield from (step.argval for step in dis.get_instructions(code) if step.opname in _GLOBALS)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from walk(constant)

    return sorted(set(walk(code)))


@functools.cache
def _text_of(module: str) -> bytes:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).read_bytes() if file and file.endswith(".py") else b""
