"""How fast the kernels are on this machine, beside NumPy, the scalar set, and the limit where there is one.

The calls of a case take turns and the fastest time of each counts, so that a busy machine slows all of them alike and
the ratios stay. Peers beyond NumPy come in from outside (`benchmarks/simd.py`). NumPy may use all cores; ours uses one.
The limit of a one-to-many product is memory's: the time NumPy's `max` takes to read the rows once. That of a
many-to-many product is arithmetic's: the time NumPy takes for as many multiply-adds in a product of two small squares,
the shape that suits it best.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ruvllm_mcp import simd
from ruvllm_mcp.native import lib

Call = Callable[[], object]
FloatArray = npt.NDArray[np.float32]

DIMENSIONS = 768
ROUNDS = 9
SECONDS_A_TURN = 0.004


@dataclass(frozen=True)
class Inputs:
    """What every call of a run works on; `vector` and `other` are (768,), `rows` (1000, 768), `queries` (100, 768).
    `large` (40,000, 768) is beyond any usual cache. `bytes` and `bits` are the int8 and sign-bit forms of `rows`."""

    vector: FloatArray
    other: FloatArray
    rows: FloatArray
    queries: FloatArray
    large: FloatArray
    bytes: npt.NDArray[np.int8]
    bits: npt.NDArray[np.uint8]

    @classmethod
    def make(cls) -> Inputs:
        """The same random numbers on every run."""
        random = np.random.default_rng(20260104)
        large = random.standard_normal((40_000, DIMENSIONS), np.float32)
        rows = large[:1000].copy()
        return cls(
            vector=rows[0].copy(),
            other=rows[1].copy(),
            rows=rows,
            queries=large[1000:1100].copy(),
            large=large,
            bytes=np.clip(40 * rows, -127, 127).astype(np.int8),
            bits=np.packbits(rows > 0, axis=1, bitorder="little"),
        )


@dataclass(frozen=True)
class Case:
    """One operation: our call, what others do for the same result, and whether the scalar set is worth waiting for."""

    name: str
    ours: Call
    others: Mapping[str, Call] = field(default_factory=dict)
    limit: Call | None = None
    limits: float = 1.0  # how many times what `limit` does the case does
    has_scalar: bool = True


@dataclass(frozen=True)
class Measured:
    """Seconds a call: ours, the scalar set's, the limit's (None where there is none) and each peer's by name."""

    name: str
    ours: float
    scalar: float | None
    limit: float | None
    others: Mapping[str, float]

    @property
    def best_peer(self) -> str | None:
        """The name of the fastest peer."""
        return min(self.others, key=lambda name: self.others[name], default=None)

    @property
    def ratio(self) -> float | None:
        """The fastest peer's time over ours: above 1, ours is faster."""
        return self.others[self.best_peer] / self.ours if self.best_peer is not None else None


def cases(inputs: Inputs) -> list[Case]:
    """What `run` measures, each with NumPy's way to the same result."""
    x, y, rows, queries, large = inputs.vector, inputs.other, inputs.rows, inputs.queries, inputs.large
    a, b = simd.Vector(x), simd.Vector(y)
    byte_rows, bit_rows = inputs.bytes, inputs.bits
    matrix, many, half = simd.Matrix(rows), simd.Matrix(large), simd.Matrix(rows[:100])
    halves, brains = rows.astype(np.float16), (rows.view(np.uint32) >> 16).astype(np.uint16)
    f16, bf16 = simd.Matrix(halves, "f16"), simd.Matrix(brains, "bf16")
    bytes_, bits = simd.Matrix(byte_rows, "i8"), simd.Matrix(bit_rows, "b1")
    byte, bit = byte_rows[0].copy(), bit_rows[0].copy()
    square = large[: DIMENSIONS // 2, : DIMENSIONS // 2].copy()
    squares = len(queries) * len(rows) * DIMENSIONS / len(square) ** 3
    tokens, weights = queries[:10, :384].copy(), np.ones(10, np.float32)
    signs = np.packbits(large[:12_000, :384] > 0, axis=1, bitorder="little")
    starts, counts = np.arange(0, 12_000, 40), np.full(300, 40)
    gain, bias = np.ones_like(x), np.zeros_like(x)
    return [
        Case("dot, prepared", lambda: a.dot(b), {"numpy": lambda: np.dot(x, y)}),
        Case("dot, plain arrays", lambda: simd.dot_product(x, y), {"numpy": lambda: np.dot(x, y)}),
        Case("cosine, prepared", lambda: a.cosine(b), {"numpy": lambda: _cosine(x, y)}),
        Case("cosine, plain arrays", lambda: simd.cosine_similarity(x, y), {"numpy": lambda: _cosine(x, y)}),
        Case("softmax", lambda: simd.softmax(x), {"numpy": lambda: _softmax(x)}),
        Case("layer_norm", lambda: simd.layer_norm(x, gain, bias), {"numpy": lambda: _layer_norm(x, gain, bias)}),
        Case("gelu", lambda: simd.gelu(x), {"numpy (tanh form)": lambda: _gelu(x)}),
        Case("1 x 100 dot, prepared", lambda: half.dot(a), {"numpy": lambda: rows[:100] @ x}),
        Case("1 x 1000 dot, prepared", lambda: matrix.dot(a), {"numpy": lambda: rows @ x}, rows.max),
        Case("1 x 1000 dot, plain arrays", lambda: simd.matvec(rows, x), {"numpy": lambda: rows @ x}, rows.max),
        Case("1 x 1000 cosine, prepared", lambda: matrix.cosine(a)),
        Case("1 x 1000 dot float16", lambda: f16.dot(halves[0])),
        Case("1 x 1000 dot bfloat16", lambda: bf16.dot(brains[0])),
        Case("1 x 1000 dot int8", lambda: bytes_.dot(byte), {"float32, ours": lambda: matrix.dot(a)}),
        Case("1 x 1000 hamming", lambda: bits.hamming(bit), {"float32, ours": lambda: matrix.dot(a)}),
        Case("1 x 1000 top-10", lambda: matrix.topk(a, 10), {"numpy": lambda: _top(rows @ x)}, rows.max),
        Case("1 x 40000 dot, prepared", lambda: many.dot(a), {"numpy": lambda: large @ x}, large.max),
        Case(
            "100 x 1000 dot",
            lambda: simd.cross_dot(queries, rows),
            {"numpy": lambda: queries @ rows.T},
            lambda: square @ square,
            squares,
        ),
        Case(
            "100 x 1000 top-10",
            lambda: simd.cross_topk(queries, rows, 10),
            {"numpy": lambda: _top(queries @ rows.T), "numpy, product alone": lambda: queries @ rows.T},
            lambda: square @ square,
            squares,
        ),
        Case(
            "100 x 10000 top-10",
            lambda: simd.cross_topk(queries, large[:10_000], 10),
            {"numpy, product alone": lambda: queries @ large[:10_000].T},
            lambda: square @ square,
            10 * squares,
            has_scalar=False,
        ),
        Case(
            "MaxSim 10 x 300 x 40", lambda: simd.maxsim_bits(tokens, weights, signs, starts, counts), has_scalar=False
        ),
    ]


def run(
    peers: Callable[[Inputs], Mapping[str, Mapping[str, Call]]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Measured]:
    """Measures every case in well under 30 seconds.

    `peers` gives further calls by case and peer. `progress` is told how many cases are done, of how many.
    """
    inputs = Inputs.make()
    extra = peers(inputs) if peers is not None else {}
    chosen = cases(inputs)
    measured = []
    for done, case in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen))
        measured.append(_measure(case, {**case.others, **extra.get(case.name, {})}))
    if progress is not None:
        progress(len(chosen), len(chosen))
    return measured


def table(measured: Sequence[Measured]) -> str:
    """The figures as text: times, speed-up over the scalar set, share of the limit, each peer's time over ours."""
    lines = [
        f"{'operation (768 dimensions)':27} {'ours':>10} {'x scalar':>9} {'of limit':>9}  peers: their time / ours"
    ]
    for row in measured:
        scalar = f"{row.scalar / row.ours:.1f}" if row.scalar else ""
        limit = f"{100 * row.limit / row.ours:.0f} %" if row.limit else ""
        others = ", ".join(f"{name} {seconds / row.ours:.2f}" for name, seconds in row.others.items())
        lines.append(f"{row.name:27} {_readable(row.ours):>10} {scalar:>9} {limit:>9}  {others}")
    return "\n".join(lines)


def _measure(case: Case, others: Mapping[str, Call]) -> Measured:
    in_use = lib.in_use()
    calls = {"ours": case.ours, **{f"peer {name}": call for name, call in others.items()}}
    if case.limit is not None:
        calls["limit"] = case.limit
    best = dict.fromkeys(calls, float("inf"))
    scalar = float("inf")
    for _ in range(ROUNDS):
        for name, call in calls.items():
            best[name] = min(best[name], _seconds(call))
    if case.limit is not None:
        best["limit"] *= case.limits
    if case.has_scalar:
        lib.use("scalar")
        try:
            scalar = min(_seconds(case.ours) for _ in range(2))
        finally:
            lib.use(in_use)
    return Measured(
        case.name,
        best["ours"],
        scalar if case.has_scalar else None,
        best.get("limit"),
        {name: best[f"peer {name}"] for name in others},
    )


def _seconds(call: Call) -> float:
    """The time of one call, from as many as fit in a turn."""
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    repeats = max(1, int(SECONDS_A_TURN / max(once, 1e-7)))
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _readable(seconds: float) -> str:
    for unit, size in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _cosine(x: FloatArray, y: FloatArray) -> float:
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def _softmax(x: FloatArray) -> FloatArray:
    e: FloatArray = np.exp(x - x.max())
    shares: FloatArray = e / e.sum()
    return shares


def _layer_norm(x: FloatArray, gain: FloatArray, bias: FloatArray) -> FloatArray:
    normed: FloatArray = (x - x.mean()) / np.sqrt(x.var() + np.float32(1e-5)) * gain + bias
    return normed


def _gelu(x: FloatArray) -> FloatArray:
    inner: FloatArray = np.tanh(np.float32(0.7978846) * (x + np.float32(0.044715) * x * x * x))
    gelu: FloatArray = np.float32(0.5) * x * (1 + inner)
    return gelu


def _top(scores: FloatArray) -> npt.NDArray[np.int64]:
    return np.argpartition(scores, -10, axis=-1)[..., -10:]
