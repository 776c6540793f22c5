"""How kernels are compiled, in one place, and the words in which their arguments are typed.

Three habits keep kernels fast: a helper that runs once a row takes scalars, never a tuple of arrays (handing one
over counts references on every array); a loop takes the columns it reads out of the tuple beforehand; and an index
that comes from a table, or is counted up by hand, is `np.uint64`, since one with a sign costs three instructions at
each use, to see whether it counts from the end. Beware of adding signed numbers to it: that gives a float.

What numba keeps on disk it uses while the file of a kernel is the same. But a kernel has the helpers and constants of
other modules in it too, so here it is used while all that its module imports from the package is the same.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["Column", "Record", "Scalar", "Table", "allocating_kernel", "cores", "fetch", "joined", "kernel", "ready"]

Function = TypeVar("Function", bound=Callable[..., Any])

Scalar = Any
"""A NumPy or Python number; kernels are explicit about its width where that matters."""

Column = np.ndarray[Any, Any]
"""A NumPy array, its type and shape told in the docstring."""

Table = Any
"""A NumPy array of records, whose fields are seen as attributes in compiled code."""

Record = Any
"""One record of a table, seen through."""


_CACHE_LINE = 64  # bytes


def _write_fetch(_: Any, table: Any, row: Any) -> Any:
    def write(context: Any, builder: Any, _: Any, args: Any) -> Any:
        tools: Any = cgutils
        made = context.make_array(table)(context, builder, args[0])
        record = tools.get_item_pointer(context, builder, table, made, [args[1]])
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        call = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        prefetch = tools.get_or_insert_function(builder.module, call, "llvm.prefetch.p0i8")
        first = builder.bitcast(record, byte)
        for at in range(0, table.dtype.size, _CACHE_LINE):
            address = builder.gep(first, [ir.IntType(64)(at)])
            builder.call(prefetch, [address, flag(0), flag(3), flag(1)])  # to be read, into all caches, data
        return context.get_dummy_value()

    return types.void(table, row), write


fetch: Any = intrinsic(_write_fetch)
"""`fetch(table, row)` in a kernel asks for a record that will be read a while from now to be brought into the cache."""


def joined(tables: list[np.ndarray]) -> np.ndarray:
    """Return tables of one type of records, one after another, or the only one itself.

    Their bytes are copied as they are: NumPy would copy each field by itself.
    """
    if len(tables) == 1:
        return tables[0]
    width = tables[0].itemsize
    rows = np.concatenate([np.ascontiguousarray(table).view(np.uint8).reshape(-1, width) for table in tables])
    return rows.reshape(-1).view(tables[0].dtype)


def cores() -> int:
    """Return how many cores this process may use, where the system tells, else how many there are."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def kernel(function: Function) -> Function:
    """Compile a function when it is first called; keep the result on disk; run without the interpreter's lock.

    It must make no array and return none: then no references to arrays are counted, which would cost more than the
    work wherever a helper is handed a tuple of them, and would make threads wait for each other.

    Arithmetic is IEEE's: no reordering, no fused multiply and add; a division by zero gives what NumPy gives, since
    a loop that may raise is not vectorised. The plain function is `.py_func`.
    """
    return _compiled(function, counts=False)


def allocating_kernel(function: Function) -> Function:
    """Compile a function that makes arrays, else as `kernel` does. It may call any kernel, and one may call it."""
    return _compiled(function, counts=True)


def ready(compiled: Function) -> Function:
    """Return a kernel to be called from Python over and over with arguments of the same types.

    numba looks at what each argument is at every call, at each array of a tuple too, which takes longer than what is
    to be done in a short slice. Here it looks in the first call alone; arrays of other types later would be misread.
    """
    entry: Callable[..., Any] | None = None

    def call(*given: Any) -> Any:
        nonlocal entry
        if entry is None:
            numba: Any = compiled
            entry = numba.compile(tuple(numba.typeof_pyval(one) for one in given))
        return entry(*given)

    return cast("Function", call)


def _compiled(function: Function, *, counts: bool) -> Function:
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": counts}
    options["no_cfunc_wrapper"] = True  # nobody calls kernels by address; it would be compiled for each
    compiled: Any = njit(**options)(function)
    kept = compiled._cache._cache_file  # noqa: SLF001  numba has no other way to say what a kernel depends on
    kept._source_stamp = (kept._source_stamp, _stamp(function.__module__))  # noqa: SLF001
    return compiled


_PACKAGE = __name__.partition(".")[0]
_IMPORTS = re.compile(
    rf"^(?:from ({_PACKAGE}[\w.]*) import (\([^)]*\)|[^\n]*)|import ({_PACKAGE}[\w.]*))", re.MULTILINE
)


@functools.cache
def _stamp(module: str) -> str:
    """Return a digest of the text of a module and of all that it imports from the package."""
    texts: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if name in texts or file is None:
            continue
        texts[name] = file.read_bytes()
        for source, names, whole in _IMPORTS.findall(texts[name].decode("utf-8")):
            waiting += [whole] if whole else [source, *(f"{source}.{part}" for part in re.findall(r"\w+", names))]
    return blake2b(repr(sorted(texts.items())).encode(), digest_size=16).hexdigest()


def _file(module: str) -> Path | None:
    """Return the file of a module of the package, or of one that is loaded; None where there is no such file."""
    if module.partition(".")[0] != _PACKAGE:
        file = getattr(sys.modules.get(module), "__file__", None)
        return Path(file) if file else None
    path = Path(__file__).parent.joinpath(*module.split(".")[1:])
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.is_file()), None)
