"""Whatever is passed in: a result or an error of ours; and after any sequence of calls, what a dict would hold."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ruvllm_mcp.errors import RuvLLMError
from ruvllm_mcp.memory.filters import OPERATORS, compile_filter
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import MemoryId, NewMemory
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
    fields=st.fixed_dictionaries(
        {"content": st.one_of(ANY_TEXT, ANYTHING)},
        optional=dict.fromkeys(("metadata", "namespace", "kind", "importance", "ttl", "source", "client"), ANYTHING),
    )
)
def test_adding_stores_exactly_what_it_accepts(shared: Memory, fields: dict[str, Any]) -> None:
    added: list[MemoryId] = []
    hint = hint_of(lambda: added.extend(shared.add([NewMemory(**fields)])))
    assert hint != ""
    if not added:
        return
    number = added[0]
    if number.redacted or number.merged:
        return
    record = shared.get(number)
    assert record.content == fields["content"]
    if "metadata" in fields:
        assert json.loads(json.dumps(record.metadata)) == json.loads(json.dumps(fields["metadata"]))
    assert number in {hit.id for hit in shared.search(record.content, 10_000).hits}


@QUICK
@given(
    query=st.one_of(ANY_TEXT, ANYTHING), k=st.one_of(st.integers(-2, 10**20), ANYTHING), mode=ANYTHING, where=ANYTHING
)
def test_searching_answers_or_explains(shared: Memory, query: Any, k: Any, mode: Any, where: Any) -> None:
    for arguments in ({"k": k}, {"mode": mode}, {"where": where}, {"namespaces": where}):
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
        lambda: shared.context("memories", value),
    ):
        assert hint_of(call) != ""


WORD = st.sampled_from(["apple", "boat", "cloud", "drum", "engine", "forest"])
SENTENCE = st.lists(WORD, min_size=1, max_size=4).map(" ".join)


class AgreesWithADict(RuleBasedStateMachine):
    """Two memories on one folder, used in turn, against {id: (content, namespace)}."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.memories = [self.opened(), self.opened()]
        self.expected: dict[int, tuple[str, str]] = {}

    def opened(self) -> Memory:
        embedder = WordEmbedder()
        return Memory(Path(self.folder.name), lambda: embedder, namespace="here")

    @rule(which=st.integers(0, 1), content=SENTENCE, namespace=st.sampled_from(["here", "there"]))
    def add(self, which: int, content: str, namespace: str) -> None:
        number = self.memories[which].add([NewMemory(content, namespace=namespace)])[0]
        assert number.merged is ((content, namespace) in self.expected.values())
        assert not number.merged or self.expected[number] == (content, namespace)
        self.expected[int(number)] = (content, namespace)

    @precondition(lambda self: self.expected)
    @rule(which=st.integers(0, 1), data=st.data(), content=SENTENCE)
    def update(self, which: int, data: st.DataObject, content: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.expected)))
        wanted = (content, self.expected[number][1])
        taken = any(kept == wanted for other, kept in self.expected.items() if other != number)
        try:
            self.memories[which].update(number, content=content)
        except RuvLLMError:
            assert taken
        else:
            assert not taken
            self.expected[number] = wanted

    @precondition(lambda self: self.expected)
    @rule(which=st.integers(0, 1), data=st.data())
    def delete(self, which: int, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.expected)))
        self.memories[which].delete(number)
        del self.expected[number]

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.memories[which].close()
        self.memories[which] = self.opened()

    @rule(which=st.integers(0, 1), word=WORD, namespace=st.sampled_from([None, "here", "there"]))
    def search(self, which: int, word: str, namespace: str | None) -> None:
        spaces = None if namespace is None else [namespace]
        inside = {number for number, (_, space) in self.expected.items() if namespace in (None, space)}
        having = {number for number in inside if word in self.expected[number][0].split()}
        search = self.memories[which].search
        assert {hit.id for hit in search(word, 1_000, namespaces=spaces, mode="lexical").hits} == having
        assert {hit.id for hit in search(word, 1_000, namespaces=spaces, mode="vector").hits} == inside
        hits = search(word, 1_000, namespaces=spaces).hits
        assert {hit.id: hit.content for hit in hits} == {number: self.expected[number][0] for number in inside}

    @invariant()
    def lists_agree(self) -> None:
        for memory in self.memories:
            assert {r.id: (r.content, r.namespace) for r in memory.list(limit=1_000).items} == self.expected

    def teardown(self) -> None:
        for memory in self.memories:
            memory.close()
        self.folder.cleanup()


AgreesWithADict.TestCase.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAgreesWithADict = AgreesWithADict.TestCase
