"""Whatever is passed in: a result or an error of ours; and after any sequence of calls, what a dict would hold."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ruvllm_mcp.errors import InvalidInputError, NamespaceFullError, RuvLLMError
from ruvllm_mcp.memory.filters import OPERATORS, compile_filter
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import TRUST_LEVELS, MemoryId, NewMemory
from tests.memory.conftest import WordEmbedder

ANY_TEXT = st.text(st.characters(), max_size=40)  # lone surrogates, NUL and all
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.binary(max_size=4))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(ANY_TEXT, st.sampled_from(OPERATORS), st.integers()), inner, max_size=3),
    ),
    max_leaves=8,
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def hint_of(call: Callable[[], object]) -> str | None:
    """The hint of the error that the call raised, None when it raised none; nothing but our own errors may come."""
    try:
        call()
    except RuvLLMError as error:
        return error.hint
    return None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    embedder = WordEmbedder()
    memory = Memory(tmp_path_factory.mktemp("fuzz"), lambda: embedder, namespace="here")
    memory.add([NewMemory(f"one of {n} memories", {"n": n, "tags": ["a", n]}) for n in range(20)])
    return memory


@QUICK
@given(
    given_fields=st.fixed_dictionaries(
        {"content": st.one_of(ANY_TEXT, ANYTHING)},
        optional=dict.fromkeys((field.name for field in fields(NewMemory) if field.name != "content"), ANYTHING),
    )
)
def test_adding_stores_exactly_what_it_accepts(shared: Memory, given_fields: dict[str, Any]) -> None:
    added: list[MemoryId] = []
    hint = hint_of(lambda: added.extend(shared.add([NewMemory(**given_fields)])))
    assert hint != ""
    if not added:
        return
    number = added[0]
    if number.redacted or number.merged:
        return
    record = shared.get(number)
    assert record.content == given_fields["content"]
    if "metadata" in given_fields:
        assert json.loads(json.dumps(record.metadata)) == json.loads(json.dumps(given_fields["metadata"]))
    assert number in {hit.id for hit in shared.search(record.content, 10_000).hits}


@QUICK
@given(
    query=st.one_of(ANY_TEXT, ANYTHING), k=st.one_of(st.integers(-2, 10**20), ANYTHING), mode=ANYTHING, where=ANYTHING
)
def test_searching_answers_or_explains(shared: Memory, query: Any, k: Any, mode: Any, where: Any) -> None:
    for arguments in ({"k": k}, {"mode": mode}, {"where": where}, {"namespaces": where}, {"min_trust": mode}):
        assert hint_of(lambda arguments=arguments: shared.search(query, **arguments)) != ""


@QUICK
@given(where=ANYTHING, metadata=st.dictionaries(st.text(max_size=3), ANYTHING, max_size=3))
def test_a_filter_judges_any_metadata(where: Any, metadata: dict[str, Any]) -> None:
    try:
        keep = compile_filter(where)
    except RuvLLMError:
        return
    assert keep(metadata) in (True, False)


@QUICK
@given(value=ANYTHING)
def test_ids_cursors_and_limits_of_any_kind(shared: Memory, value: Any) -> None:
    for call in (
        lambda: shared.get(value),
        lambda: shared.delete(value) if not isinstance(value, int) else None,
        lambda: shared.list(value),
        lambda: shared.list(limit=value),
        lambda: shared.update(1, content=value),
        lambda: shared.update(1, metadata=value),
        lambda: shared.link(1, value),
        lambda: shared.link(1, 2, value),
        lambda: shared.link(1, 2, weight=value),
        lambda: shared.neighbours(value),
        lambda: shared.update(1, trust=value),
        lambda: shared.update(1, by=value),
        lambda: shared.configure(value),
        lambda: shared.configure("elsewhere", max_memories=value),
        lambda: shared.configure("elsewhere", max_bytes=value),
        lambda: shared.configure("elsewhere", token_bits=value),
        lambda: shared.context("memories", value),
    ):
        assert hint_of(call) != ""


WORD = st.sampled_from(["apple", "boat", "cloud", "drum", "engine", "forest"])
SENTENCE = st.lists(WORD, min_size=1, max_size=4).map(" ".join)
WHICH, LEVEL, SPACE = st.integers(0, 1), st.integers(0, len(TRUST_LEVELS) - 1), st.sampled_from(["here", "there"])


class Kept(NamedTuple):
    content: str
    namespace: str
    trust: int


class AgreesWithADict(RuleBasedStateMachine):
    """Two memories on one folder, one of each kind of index, used in turn, against a dict by id."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.memories = [self.opened(which) for which in (0, 1)]
        self.expected: dict[int, Kept] = {}
        self.most: dict[str, int] = {}

    def opened(self, which: int) -> Memory:
        embedder = WordEmbedder()
        return Memory(Path(self.folder.name), lambda: embedder, namespace="here", index=("fast", "small")[which])

    def held(self, namespace: str) -> int:
        return sum(kept.namespace == namespace for kept in self.expected.values())

    @rule(which=WHICH, content=SENTENCE, namespace=SPACE, trust=LEVEL)
    def add(self, which: int, content: str, namespace: str, trust: int) -> None:
        before = {kept[:2]: (number, kept.trust) for number, kept in self.expected.items()}.get((content, namespace))
        item = NewMemory(content, namespace=namespace, trust=TRUST_LEVELS[trust])
        try:
            number = self.memories[which].add([item])[0]
        except NamespaceFullError:
            assert before is None
            assert self.held(namespace) >= self.most[namespace]
            return
        assert number.merged is (before is not None)
        assert before is None or before[0] == number
        assert before or self.held(namespace) < self.most.get(namespace, 10**9)
        self.expected[int(number)] = Kept(content, namespace, max(trust, before[1] if before else 0))

    @precondition(lambda self: self.expected)
    @rule(which=WHICH, data=st.data(), content=SENTENCE, by=LEVEL)
    def update(self, which: int, data: st.DataObject, content: str, by: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.expected)))
        old = self.expected[number]
        taken = any(kept[:2] == (content, old.namespace) for other, kept in self.expected.items() if other != number)
        try:
            self.memories[which].update(number, content=content, by=TRUST_LEVELS[by])
        except InvalidInputError:
            assert taken
        else:
            assert not taken
            self.expected[number] = old._replace(content=content, trust=min(old.trust, by))

    @precondition(lambda self: self.expected)
    @rule(which=WHICH, data=st.data())
    def delete(self, which: int, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.expected)))
        self.memories[which].delete(number)
        del self.expected[number]

    @rule(which=WHICH, namespace=SPACE, most=st.integers(0, 4) | st.none())
    def limit(self, which: int, namespace: str, most: int | None) -> None:
        self.memories[which].configure(namespace, max_memories=most)
        self.most[namespace] = 10**9 if most is None else most

    @rule(which=WHICH)
    def reopen(self, which: int) -> None:
        self.memories[which].close()
        self.memories[which] = self.opened(which)

    @rule(which=WHICH, word=WORD, namespace=SPACE | st.none(), least=LEVEL)
    def search(self, which: int, word: str, namespace: str | None, least: int) -> None:
        wanted: dict[str, Any] = {
            "namespaces": None if namespace is None else [namespace],
            "min_trust": TRUST_LEVELS[least],
        }
        inside = {
            number: kept.content
            for number, kept in self.expected.items()
            if namespace in (None, kept.namespace) and kept.trust >= least
        }
        having = {number for number, content in inside.items() if word in content.split()}
        search = self.memories[which].search
        assert {hit.id for hit in search(word, 1_000, mode="lexical", **wanted).hits} == having
        assert {hit.id for hit in search(word, 1_000, mode="vector", **wanted).hits} == set(inside)
        assert {hit.id: hit.content for hit in search(word, 1_000, **wanted).hits} == inside

    @invariant()
    def lists_agree(self) -> None:
        for memory in self.memories:
            listed = memory.list(limit=1_000).items
            found = {r.id: Kept(r.content, r.namespace, TRUST_LEVELS.index(r.trust)) for r in listed}
            assert found == self.expected

    def teardown(self) -> None:
        for memory in self.memories:
            memory.close()
        self.folder.cleanup()


AgreesWithADict.TestCase.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAgreesWithADict = AgreesWithADict.TestCase
