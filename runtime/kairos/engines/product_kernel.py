"""The innermost of compiled convolutions: numbers of some tiles times kernels, summed over the inputs.

Told to the compiler in its own terms: what is summed has to stay in the processor's registers from the first input to
the last, which it does not find out by itself (a third slower).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, List

import llvmlite.binding as llvm  # type: ignore[import-untyped]
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BLOCK, BROAD = 32, 48
"""Outputs that are worked out together, and as many as are where that leaves fewer of them unused."""

TOGETHER = 4 if llvm.get_host_cpu_features().get("avx512f") else 2
"""Tiles that are: as many as the processor has registers for."""

_LANES = 16
_FLOAT, _PLACE, _INDEX = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, _LANES)
_FUSED = ("contract",)

_Sum = List[ir.Value]
"""Of each tile, of each vector of its block."""


def _multiply(
    typing: Any, planes: Any, kernels: Any, out: Any, at: Any, apart: Any, kernel: Any, row: Any, to: Any, inputs: Any
) -> Any:
    """Of :data:`TOGETHER` tiles all inputs to a block of outputs.

    Args:
        planes: float32 numbers; those of the first tile begin at ``at``, those of each further one ``apart`` from it.
        kernels: those of a block, (inputs, BLOCK), begin at ``kernel``, their rows ``row`` numbers apart.
        out: gets (TOGETHER, BLOCK) from ``to`` on.
        inputs: how many.
    """
    return types.void(planes, kernels, out, *[types.uintp] * 6), partial(_written, False, BLOCK)


def _multiply_broad(
    typing: Any, planes: Any, kernels: Any, out: Any, at: Any, apart: Any, kernel: Any, row: Any, to: Any, inputs: Any
) -> Any:
    """The same to a block of :data:`BROAD` outputs."""
    return types.void(planes, kernels, out, *[types.uintp] * 6), partial(_written, False, BROAD)


def _add(
    typing: Any, planes: Any, kernels: Any, out: Any, at: Any, apart: Any, kernel: Any, row: Any, to: Any, inputs: Any
) -> Any:
    """As :func:`_multiply`, added to what is in ``out``."""
    return types.void(planes, kernels, out, *[types.uintp] * 6), partial(_written, True, BLOCK)


def _add_broad(
    typing: Any, planes: Any, kernels: Any, out: Any, at: Any, apart: Any, kernel: Any, row: Any, to: Any, inputs: Any
) -> Any:
    """As :func:`_multiply_broad`, added to what is in ``out``."""
    return types.void(planes, kernels, out, *[types.uintp] * 6), partial(_written, True, BROAD)


def _add_across(
    typing: Any, planes: Any, kernels: Any, out: Any, at: Any, along: Any, kernel: Any, row: Any, to: Any, inputs: Any
) -> Any:
    """As :func:`_add_broad`, where tiles are one number apart, and their inputs ``along``."""
    return types.void(planes, kernels, out, *[types.uintp] * 6), partial(_written, True, BROAD, across=True)


multiply_tiles: Any = intrinsic(_multiply)
multiply_broad: Any = intrinsic(_multiply_broad)
add_tiles: Any = intrinsic(_add)
add_broad: Any = intrinsic(_add_broad)
add_across: Any = intrinsic(_add_across)


def _written(
    adding: bool, block: int, context: Any, builder: Any, signature: Any, arguments: Any, across: bool = False
) -> Any:
    source, weights, target = (
        context.make_array(kind)(context, builder, each).data for kind, each in zip(signature.args, arguments[:3])
    )
    at, apart, kernel, step, to, inputs = arguments[3:]
    between = _PLACE(1) if across else apart
    tiles = [builder.add(at, builder.mul(between, _PLACE(tile))) for tile in range(TOGETHER)]

    def vector(line: ir.Value, place: ir.Value) -> ir.Value:
        return builder.bitcast(builder.gep(line, [place]), _VECTOR.as_pointer())

    def added(sums: _Sum, number: ir.Value) -> _Sum:
        row = builder.add(kernel, builder.mul(number, step))
        places = [builder.add(row, _PLACE(lane)) for lane in range(0, block, _LANES)]
        weighed = [builder.load(vector(weights, place), align=4) for place in places]
        further = builder.mul(number, apart) if across else number
        out = []
        for tile, first in enumerate(tiles):
            one = builder.load(builder.gep(source, [builder.add(first, further)]))
            single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), one, _INDEX(0))
            all_lanes = ir.Constant(ir.VectorType(_INDEX, _LANES), [0] * _LANES)
            each = builder.shuffle_vector(single, single, all_lanes)
            for place, weight in enumerate(weighed):
                product = builder.fmul(each, weight, flags=_FUSED)
                out.append(builder.fadd(sums[tile * len(weighed) + place], product, flags=_FUSED))
        return out

    places = [vector(target, builder.add(to, _PLACE(lane))) for lane in range(0, TOGETHER * block, _LANES)]
    sums = [builder.load(place, align=4) if adding else ir.Constant(_VECTOR, None) for place in places]
    for place, each in zip(places, _summed(builder, sums, inputs, added)):
        builder.store(each, place, align=4)
    return context.get_dummy_value()


def _summed(builder: Any, sums: _Sum, inputs: ir.Value, added: Callable[[_Sum, ir.Value], _Sum]) -> _Sum:
    """A loop over the inputs, whose sums are passed from turn to turn."""
    before = builder.block
    head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    number = builder.phi(_PLACE)
    number.add_incoming(_PLACE(0), before)
    held = [builder.phi(_VECTOR) for _ in sums]
    for each, first in zip(held, sums):
        each.add_incoming(first, before)
    builder.cbranch(builder.icmp_unsigned("<", number, inputs), body, done)
    builder.position_at_end(body)
    after = added(held, number)
    number.add_incoming(builder.add(number, _PLACE(1)), body)
    for each, last in zip(held, after):
        each.add_incoming(last, body)
    builder.branch(head)
    builder.position_at_end(done)
    return held
