"""Eight numbers at once, as a type that compiled kernels reckon with.

For kernels whose loops the compiler does not find the processor's vectors in by itself: what is written in place of
what was read, and sums. Numbers are float32; a product and what it is added to may be rounded once, where the processor
can. Processors whose vectors are shorter take two for one of these.
"""

from __future__ import annotations

import operator
from typing import Any, Callable, ClassVar, List

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
"""Numbers of a vector."""

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FUSED = ("contract",)

_known: Any = infer_global
_lowering: Any = lower_builtin
_signature: Any = signature
_declared: Any = get_or_insert_function


class Vector(types.Type):
    """Of :data:`LANES` float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name="Vector")


vector = Vector()

_TUPLE: Any = types.UniTuple
_TWO, _FOUR = _TUPLE(vector, 2), _TUPLE(types.float32, 4)


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _operator(symbol: Any, name: str) -> None:
    """Vectors take an operator, number by number."""

    @_known(symbol)
    class _Typed(ConcreteTemplate):
        cases: ClassVar[List[Any]] = [_signature(vector, vector, vector)]

    @_lowering(symbol, Vector, Vector)  # type: ignore[untyped-decorator]
    def _lowered(context: Any, builder: Any, kind: Any, arguments: Any) -> Any:
        return getattr(builder, name)(*arguments, flags=_FUSED)


for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_symbol, _name)


def _place(context: Any, builder: Any, kind: Any, line: Any, at: Any) -> Any:
    data = context.make_array(kind)(context, builder, line).data
    return builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())


def _load(typing: Any, line: Any, at: Any) -> Any:
    """The numbers of a line from ``at`` on."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        return builder.load(_place(context, builder, kinds.args[0], *arguments), align=4)

    return vector(line, types.uintp), written


def _store(typing: Any, line: Any, at: Any, numbers: Any) -> Any:
    """To a line from ``at`` on."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(context, builder, kinds.args[0], *arguments[:2]), align=4)
        return context.get_dummy_value()

    return types.void(line, types.uintp, vector), written


def _spread(typing: Any, number: Any) -> Any:
    """One number, eight times."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], _INDEX(0))
        return builder.shuffle_vector(single, single, _lanes(*[0] * LANES))

    return vector(types.float32), written


def _lanes(*numbers: int) -> Any:
    return ir.Constant(ir.VectorType(_INDEX, len(numbers)), list(numbers))


def _unary(name: str) -> Callable[..., Any]:
    def typed(typing: Any, numbers: Any) -> Any:
        def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(_VECTOR, [_VECTOR])
            return builder.call(_declared(builder.module, kind, f"{name}.v{LANES}f32"), arguments)

        return vector(vector), written

    return typed


def _greater(typing: Any, first: Any, second: Any) -> Any:
    """The greater of two, number by number; the second where either is none."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return vector(vector, vector), written


def _sums(typing: Any, first: Any, second: Any, third: Any, fourth: Any) -> Any:
    """Of each of four vectors the sum of its numbers, always in the same order."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        def folded(one: Any, two: Any, here: Any, there: Any) -> Any:
            picked = (builder.shuffle_vector(one, two, _lanes(*lanes)) for lanes in (here, there))
            return builder.fadd(*picked)

        low, high = (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)
        pairs = [folded(one, two, low, high) for one, two in (arguments[:2], arguments[2:])]
        quads = folded(pairs[0], pairs[1], (0, 1, 4, 5, 8, 9, 12, 13), (2, 3, 6, 7, 10, 11, 14, 15))
        whole = folded(quads, quads, (0, 2, 4, 6), (1, 3, 5, 7))
        each = [builder.extract_element(whole, _INDEX(lane)) for lane in range(4)]
        return context.make_tuple(builder, kinds.return_type, each)

    return _FOUR(vector, vector, vector, vector), written


def _halves(typing: Any, line: Any, at: Any) -> Any:
    """Of twice as many numbers of a line those at even places, and those at odd ones."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        kind, (place, at) = kinds.args[0], arguments
        after = builder.add(at, ir.Constant(at.type, LANES))
        two = [builder.load(_place(context, builder, kind, place, each), align=4) for each in (at, after)]
        lanes = (_lanes(*range(0, 2 * LANES, 2)), _lanes(*range(1, 2 * LANES, 2)))
        return context.make_tuple(builder, kinds.return_type, [builder.shuffle_vector(*two, each) for each in lanes])

    return _TWO(line, types.uintp), written


def _pair(typing: Any, first: Any, second: Any) -> Any:
    """One number in the first half of a vector, and another in its second half."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        both = ir.Constant(_VECTOR, ir.Undefined)
        for number, place in zip(arguments, (0, LANES // 2)):
            both = builder.insert_element(both, number, _INDEX(place))
        half = LANES // 2
        return builder.shuffle_vector(both, both, _lanes(*[0] * half, *[half] * half))

    return vector(types.float32, types.float32), written


def _filled(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
    numbers = ir.Constant(_VECTOR, [0.0] * LANES)
    for place, number in enumerate(arguments):
        numbers = builder.insert_element(numbers, number, _INDEX(place))
    return numbers


def _five(typing: Any, first: Any, second: Any, third: Any, fourth: Any, fifth: Any) -> Any:
    """Five numbers, and behind them zeros."""
    return vector(*[types.float32] * 5), _filled


def _seven(typing: Any, first: Any, second: Any, third: Any, fourth: Any, fifth: Any, sixth: Any, seventh: Any) -> Any:
    """Seven numbers, and behind them 0."""
    return vector(*[types.float32] * 7), _filled


def _quads(typing: Any, numbers: Any) -> Any:
    """The first half of a vector and its second half added, as four numbers."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        halves = [builder.shuffle_vector(*arguments * 2, _lanes(*range(at, at + 4))) for at in (0, 4)]
        whole = builder.fadd(*halves)
        each = [builder.extract_element(whole, _INDEX(lane)) for lane in range(4)]
        return context.make_tuple(builder, kinds.return_type, each)

    return _FOUR(vector), written


def _fold(typing: Any, line: Any, at: Any, numbers: Any) -> Any:
    """The first half of a vector and its second half added: to four numbers of a line from ``at`` on."""

    def written(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        line, at, numbers = arguments
        halves = [builder.shuffle_vector(numbers, numbers, _lanes(*range(first, first + 4))) for first in (0, 4)]
        data = builder.gep(context.make_array(kinds.args[0])(context, builder, line).data, [at])
        builder.store(builder.fadd(*halves), builder.bitcast(data, ir.VectorType(_FLOAT, 4).as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(line, types.uintp, vector), written


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
fold: Any = intrinsic(_fold)
spread: Any = intrinsic(_spread)
root: Any = intrinsic(_unary("llvm.sqrt"))
size: Any = intrinsic(_unary("llvm.fabs"))
greater: Any = intrinsic(_greater)
sums: Any = intrinsic(_sums)
halves: Any = intrinsic(_halves)
five: Any = intrinsic(_five)
seven: Any = intrinsic(_seven)
pair: Any = intrinsic(_pair)
quads: Any = intrinsic(_quads)
