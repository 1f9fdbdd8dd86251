"""Exceptions taken apart and put together again, without running their ``__init__``.

What an exception holds is spread over three places: ``args``, the instance dictionary, and members of builtin classes
and ``__slots__`` (an `OSError`'s ``errno``). `state_of` gathers them, `remake` puts them back. A class's own
``__init__`` and ``__new__`` are passed by: they may need arguments nobody recorded, or do things that must not happen
twice.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from flowkit.codec.names import find_class
from flowkit.errors import Suspended

__all__ = ["CARRIED", "exception_class", "remake", "state_of", "type_name"]

CARRIED = "__flowkit_error__"
"""The attribute in which a rebuilt exception carries what it was rebuilt from."""

_HEAP_TYPE = 1 << 9
_MEMBERS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_CONTROL_FLOW = (Suspended, KeyboardInterrupt, GeneratorExit)


def type_name(cls: type[BaseException]) -> str:
    """The qualified name, bare for builtins."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def exception_class(name: str) -> type[BaseException] | None:
    """The exception class of that name, or None: gone, no exception, or one that would steer a pass or a process."""
    module, _, qualname = name.rpartition(".")
    while True:
        cls = find_class(module or "builtins", qualname)
        if cls is not None or "." not in module:
            break
        module, _, outer = module.rpartition(".")
        qualname = f"{outer}.{qualname}"
    if cls is None or not issubclass(cls, BaseException) or issubclass(cls, _CONTROL_FLOW):
        return None
    return cls


def state_of(exc: BaseException) -> dict[str, Any]:
    """All attributes by name but `args`: members that are set, then the instance dictionary."""
    state = {}
    for name in _members(type(exc)):
        try:
            value = getattr(exc, name)
        except Exception:  # an unset slot, or a property of the user's over it
            continue
        if value is not None:
            state[name] = value
    state.update((name, value) for name, value in exc.__dict__.items() if name != CARRIED)
    return state


def _members(cls: type[BaseException]) -> list[str]:
    """Names of the slots and C members; those of a group are its args, and the base's are the traceback's business."""
    names = []
    for one in cls.__mro__:
        if one in (BaseException, BaseExceptionGroup, object):
            continue
        names += [name for name, member in vars(one).items() if isinstance(member, _MEMBERS)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def remake(cls: type[BaseException], args: tuple[Any, ...], state: Mapping[str, Any]) -> BaseException:
    """An exception of `cls` with these args and attributes."""
    native = next(one for one in cls.__mro__ if not one.__flags__ & _HEAP_TYPE)
    exc: BaseException = native.__new__(cls, *args)  # the builtin's, not the user's
    BaseException.__setattr__(exc, "args", args)
    members = set(_members(cls))
    for name, value in state.items():
        if name in members:
            try:
                BaseException.__setattr__(exc, name, value)
                continue
            except (AttributeError, TypeError):  # read-only, or shadowed by the class
                pass
        exc.__dict__[name] = value
    return exc
