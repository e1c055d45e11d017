"""Products with A as functions that Numba compiles, for CPUs: each entry is read from memory once.

XLA for the CPU writes a piece of small entries, or a tile that is used twice, to memory as numbers before it multiplies
it. Here an entry is made a number in a register, and one of a tile is used for A_ij and for A_ji there. Programs of XLA
call these functions by its foreign function interface (`xla/ffi/api/c_api.h`, version 0.3), so that nothing leaves the
compiled loop. The work is in parts that XLA gives to its threads. Their number depends on n alone, and they are added
in one order: any number of threads gives the same bits. Imported only where Numba is installed.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import llvmlite.ir
import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from nashgames.errors import NashGamesError

_MOST = 8
"""Policies that are multiplied here together, at most: XLA's matrix products are as fast from there on."""

_STRIP = 32
"""Rows of a tile that all policies meet before the next ones are read: 256 KB in float64, held by the second cache."""

_GROUP = 4
"""Rows that meet a policy together where a tile has no second use: it is read from the cache once for all of them."""

_PARTS = 16
"""Parts of a product, at most, as many as cores can help. More than 8 are needed for XLA to share them out at all."""

_LEAST = 2**18
"""Entries that a part has at least: tens of microseconds, several times what calling it takes."""

_FRAME, _BUFFER, _METADATA, _ARRAY = 22, 6, 6, 3
"""Words of 64 bits of the structures `XLA_FFI_CallFrame`, `_Buffer`, `_Metadata` and `_Array`."""

_EXTENSION, _ARGUMENTS, _RESULTS, _ATTRIBUTES = 1, 9, 14, 20
"""Words of a call frame with the addresses of an extension, and of what is given and taken."""

_DATA, _RANK, _SHAPE = 3, 4, 5
"""Words of a buffer; the fourth of an extension has the address of the metadata, the third of an array its numbers."""

_VERSION = 3 << 32
"""Version 0.3, as the fourth word of the metadata holds it: XLA refuses to register what it cannot call."""

Function = Callable[..., Any]

# Sums may be taken in any order, which they must for registers of several numbers. NaN and infinity stay what they are.
_compile: Callable[[Function], Function] = numba.njit(fastmath={"reassoc", "contract"})

_lock = threading.Lock()
_kept: dict[str, Any] = {}


def product(entries: jax.Array, policies: jax.Array) -> jax.Array:
    """Kπ `[l, n]` from K `[n, n]`, or from the tiles `[t, b, b]` on and above its diagonal, summed as policies are.

    `jax.vmap` of it, over entries and policies, is one call with axes before these.
    """
    n = policies.shape[-1]
    parts = min(_PARTS, max(1, n**2 // _LEAST))
    shape = jax.ShapeDtypeStruct(policies.shape, policies.dtype)  # type: ignore[no-untyped-call]
    call = jax.ffi.ffi_call(_registered(entries.dtype, policies.dtype), shape, vmap_method="expand_dims")
    shares = [call(entries, policies, share=np.array([part, parts])) for part in range(parts)]
    return functools.reduce(jnp.add, shares)


def fits(entries: jax.Array, policies: jax.Array) -> bool:
    """Whether the policies `[l, …]` are so few that `product` is faster than XLA's."""
    return len(policies) <= _MOST


def _registered(entry: np.dtype, number: np.dtype) -> str:
    """The name by which XLA knows the function for these types, which is compiled when it is first asked for."""
    name = f"nashgames_skew_product_{entry}_{number}"
    with _lock:
        if name not in _kept:
            handler = _handler(entry.type, number.type)
            try:
                address = jax.ffi.pycapsule(handler.ctypes)  # type: ignore[no-untyped-call]
                jax.ffi.register_ffi_target(name, address, platform="cpu")
            except jax.errors.JaxRuntimeError as error:
                raise NashGamesError(
                    f"this jaxlib does not call products that numba compiles ({error}); uninstall numba, without which "
                    f"products are XLA's own, or install a jaxlib with version 0.3 of its foreign functions"
                ) from error
            # A function that is no longer referred to is freed.
            _kept[name] = handler
    return name


def _handler(entry: type, number: type) -> Any:
    def handler(frame: Any) -> Any:
        return _answer(frame, entry, number)

    signature = types.intp(types.intp)
    try:
        return numba.cfunc(signature, cache=True)(handler)
    except RuntimeError:
        # Neither beside this file nor in the user's folder for caches may anything be written.
        return numba.cfunc(signature)(handler)


_intrinsic: Callable[[Function], Function] = intrinsic


@_intrinsic
def _pointer(_: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.inttoptr(given[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


@_intrinsic
def _number(_: Any, entry: Any, like: Any) -> Any:
    """An entry as a number of the type of another one, as `elements.wide` has it."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value, kind = given[0], entry
        if entry == types.uint16:
            word = llvmlite.ir.IntType(32)
            bits = builder.shl(builder.zext(value, word), llvmlite.ir.Constant(word, 16))
            value, kind = builder.bitcast(bits, llvmlite.ir.FloatType()), types.float32
        return context.cast(builder, value, kind, like)

    return like(entry, like), generate


@_compile
def _words(address: Any, count: Any) -> Any:
    return numba.carray(_pointer(address), count, np.intp)


@_compile
def _answer(address: Any, entry: Any, number: Any) -> Any:
    """What XLA calls: its call frame is at the address; 0 says that all is well."""
    frame = _words(address, _FRAME)
    if frame[_EXTENSION] != 0:
        # Asked once, when the function is registered: the version, no traits, no type of a state.
        metadata = _words(_words(frame[_EXTENSION], _DATA + 1)[_DATA], _METADATA)
        metadata[3], metadata[4], metadata[5] = _VERSION, 0, 0
        return 0
    given = _words(frame[_ARGUMENTS], 2)
    stored, policies = _words(given[0], _BUFFER), _words(given[1], _BUFFER)
    found = _words(_words(frame[_RESULTS], 1)[0], _BUFFER)
    share = _words(_words(_words(frame[_ATTRIBUTES], 1)[0], _ARRAY)[2], 2)
    rank = policies[_RANK]
    sizes, shape = _words(stored[_SHAPE], stored[_RANK]), _words(policies[_SHAPE], rank)
    games, lanes, n = 1, shape[rank - 2], shape[rank - 1]
    for axis in range(rank - 2):
        games *= shape[axis]
    tiles = stored[_RANK] > rank
    side = sizes[rank] if tiles else n
    size = sizes[rank - 2] * side * side if tiles else n * n
    values = numba.carray(_pointer(stored[_DATA]), (games, size), entry)
    given_policies = numba.carray(_pointer(policies[_DATA]), (games, lanes, n), number)
    products = numba.carray(_pointer(found[_DATA]), (games, lanes, n), number)
    products[:] = 0
    for game in range(games):
        if tiles:
            _multiply_tiles(values[game], given_policies[game], products[game], side, share)
        else:
            _multiply_rows(values[game], given_policies[game], products[game], share)
    return 0


@_compile
def _multiply_rows(values: Any, policies: Any, products: Any, share: Any) -> None:
    """The rows of one part of the products `[l, n]` with `[n, n]`, group by group."""
    lanes, n = policies.shape
    groups = (n + _GROUP - 1) // _GROUP
    for group in range(groups * share[0] // share[1], groups * (share[0] + 1) // share[1]):
        first = group * _GROUP
        for lane in range(lanes):
            policy, found = policies[lane], products[lane]
            if first + _GROUP > n:
                for row in range(first, n):
                    entries = values[row * n : (row + 1) * n]
                    found[row] = _times(entries, entries, entries, entries, policy)[0]
            else:
                rows = values[first * n : (first + _GROUP) * n]
                given = _times(rows[:n], rows[n : 2 * n], rows[2 * n : 3 * n], rows[3 * n :], policy)
                found[first], found[first + 1], found[first + 2], found[first + 3] = given


@_compile
def _times(first: Any, second: Any, third: Any, fourth: Any, policy: Any) -> Any:
    """Four rows of entries times a policy."""
    zero = policy.dtype.type(0)
    one, two, three, four = zero, zero, zero, zero
    for k in range(len(policy)):
        mass = policy[k]
        one += _number(first[k], mass) * mass
        two += _number(second[k], mass) * mass
        three += _number(third[k], mass) * mass
        four += _number(fourth[k], mass) * mass
    return one, two, three, four


@_compile
def _multiply_tiles(values: Any, policies: Any, products: Any, side: Any, share: Any) -> None:
    """What the strips of one part, of all those of the tiles, add to the products `[l, n]`."""
    lanes, n = policies.shape
    count, strips = (n + side - 1) // side, (side + _STRIP - 1) // _STRIP
    total = count * (count + 1) // 2 * strips
    strip, begin, end = 0, total * share[0] // share[1], total * (share[0] + 1) // share[1]
    for i in range(count):
        for j in range(i, count):
            start, width = strip // strips * side * side, min(side, n - j * side)
            for first in range(0, side, _STRIP):
                if begin <= strip < end:
                    for lane in range(lanes):
                        policy, found = policies[lane], products[lane]
                        theirs, below = policy[j * side : j * side + width], found[j * side : j * side + width]
                        for row in range(first, min(first + _STRIP, side, n - i * side)):
                            entries = values[start + row * side : start + row * side + width]
                            given = _meet(entries, theirs, below, policy[i * side + row])
                            found[i * side + row] += given
                strip += 1


@_compile
def _meet(entries: Any, theirs: Any, below: Any, mine: Any) -> Any:
    """The sum of entries·theirs of a row; what its mirror image takes from the sums of others."""
    total = theirs.dtype.type(0)
    for k in range(len(entries)):
        value = _number(entries[k], mine)
        total += value * theirs[k]
        below[k] -= value * mine
    return total
