"""The journey of a question: add, search, answer, feedback, and what a wrong call says."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp import GenerationConfig, NewMemory, RuvLLM, RuvLLMError, Settings
from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.memory.journal import open_journal
from ruvllm_mcp.memory.opening import journal_place

pytestmark = pytest.mark.anyio

FACTS = [
    "Releases go out blue-green from the deploy pipeline every Tuesday.",
    "A flaky test is retried twice and then put into quarantine.",
    {"content": "Database tests use the postgres fixture.", "metadata": {"framework": "pytest", "priority": 2}},
    NewMemory("Invoices are rounded half to even.", namespace="global"),
    NewMemory("The mobile team uses Kotlin.", namespace="mobile"),
]


async def test_a_question_finds_its_memory_and_quotes_it(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        ids = await llm.add_memories(FACTS)
        hits = await llm.search_memory("what happens to a flaky test?", k=2)
        assert [hits[0].id, len(hits)] == [ids[1], 2]
        assert hits[0].score == pytest.approx(sum(hits[0].explain.values()), abs=1e-5)
        answer = await llm.query("what happens to a flaky test?")
        assert f'[{ids[1]}] "A flaky test is retried twice and then put into quarantine."' in answer.text
        assert answer.sources[0].id == ids[1]
        assert answer.text.startswith("Quoted from memory")
        assert answer.context_size > 0


async def test_search_covers_the_project_and_what_is_global(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        await llm.add_memories(FACTS)
        seen = {hit.namespace for hit in await llm.search_memory("team invoices tests", k=10)}
        assert seen == {"shop", "global"}
        assert {hit.namespace for hit in await llm.search_memory("team", namespace="mobile")} == {"mobile"}
        assert {hit.namespace for hit in await llm.search_memory("team", namespace="*")} == {"shop", "global", "mobile"}


async def test_feedback_moves_a_similar_question_and_leaves_others_alone(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        ids = await llm.add_memories(FACTS)
        unrelated = [hit.id for hit in await llm.search_memory("are invoices rounded half to even?")]
        hits = await llm.search_memory("how do releases reach the deploy pipeline?")
        assert hits[0].id == ids[0]
        receipt = await llm.feedback(hits.request_id, relevant=[ids[2]], irrelevant=[ids[0]])
        assert (receipt.strengthened, receipt.weakened) == (1, len(hits) - 1)
        again = await llm.search_memory("how do the releases reach the deploy pipeline?")
        assert again[0].id == ids[2]
        assert again[0].explain["taught"] > 0
        assert [hit.id for hit in await llm.search_memory("are invoices rounded half to even?")] == unrelated


async def test_learning_can_be_switched_off(settings: Settings) -> None:
    async with RuvLLM(
        Settings(home=settings.home, namespace="shop", embedder="hashing", learning_enabled=False)
    ) as llm:
        ids = await llm.add_memories(FACTS)
        hits = await llm.search_memory("how do releases reach the deploy pipeline?")
        await llm.feedback(hits.request_id, relevant=[ids[2]])
        assert (await llm.search_memory("how do releases reach the deploy pipeline?"))[0].id == ids[0]


async def test_a_correction_is_remembered_and_found(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        await llm.add_memories(FACTS)
        hits = await llm.search_memory("when do releases go out?")
        await llm.feedback(hits.request_id, correction="Since May they go out on Thursdays.")
        best = (await llm.search_memory("when do the releases go out?"))[0]
        assert (best.content, best.kind, best.source) == (
            "Since May they go out on Thursdays.",
            "correction",
            "feedback",
        )


async def test_refused_feedback_leaves_no_correction_behind(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        await llm.add_memories(FACTS)
        hits = await llm.search_memory("when do releases go out?")
        with pytest.raises(NotFoundError, match="999"):
            await llm.feedback(hits.request_id, relevant=[999], correction="On Thursdays.")
        assert (await llm.stats()).memories == len(FACTS)


async def test_vectors_are_unit_length_and_similarity_is_their_cosine(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        a, b = "flaky tests", "flaky test quarantine"
        vectors = (await llm.embed_many([a, b])).astype(np.float64)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
        assert await llm.similarity(a, b) == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
        np.testing.assert_array_equal(await llm.embed(a), vectors[0].astype(np.float32))


def _search_elsewhere(settings: Settings, question: str, answers: Any) -> None:
    import asyncio

    async def search() -> list[int]:
        async with RuvLLM(settings) as llm:
            return [hit.id for hit in await llm.search_memory(question)]

    answers.put(asyncio.run(search()))


async def test_another_process_sees_what_was_added_and_what_was_taught(settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    question = "how do the releases reach the deploy pipeline?"
    async with RuvLLM(settings) as llm:
        ids = await llm.add_memories(FACTS)
        hits = await llm.search_memory("how do releases reach the deploy pipeline?")
        await llm.feedback(hits.request_id, relevant=[ids[2]])
        other = context.Process(target=_search_elsewhere, args=(settings, question, answers))
        other.start()
        other.join()
        assert answers.get() == [hit.id for hit in await llm.search_memory(question)]


async def test_one_damaged_feedback_is_passed_over(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async with RuvLLM(settings) as llm:
        ids = await llm.add_memories(FACTS)
        for question, right in (("how do releases reach the deploy pipeline?", ids[2]), ("what of invoices?", ids[1])):
            hits = await llm.search_memory(question)
            await llm.feedback(hits.request_id, relevant=[right])
    journal = open_journal(journal_place(settings.home, settings.store))
    with journal.use() as rows:
        rows.execute("UPDATE feedback SET voted = ? WHERE seq = (SELECT max(seq) FROM feedback)", (b"12",))
    journal.close()
    async with RuvLLM(settings) as llm:
        again = await llm.search_memory("how do the releases reach the deploy pipeline?")
        assert again[0].id == ids[2]
    assert "damaged and passed over" in caplog.text


async def test_a_closed_engine_says_so(settings: Settings) -> None:
    llm = RuvLLM(settings)
    await llm.close()
    await llm.close()
    with pytest.raises(RuvLLMError, match="closed"):
        await llm.stats()


@pytest.mark.parametrize("text", ["", "  \n", None, 7, b"bytes", "lone \ud800 surrogate"])
async def test_what_is_no_text_is_refused_everywhere(settings: Settings, text: Any) -> None:
    async with RuvLLM(settings) as llm:
        await llm.add_memory("Something to find.")
        for call in (llm.add_memory, llm.search_memory, llm.query, llm.context, llm.embed):
            with pytest.raises(InvalidInputError):
                await call(text)
        assert (await llm.stats()).memories == 1


@pytest.mark.parametrize("item", [{"text": "wrong field"}, {"content": "x", "colour": "red"}, {}, None])
async def test_an_item_that_is_no_memory_is_refused_and_nothing_is_written(settings: Settings, item: Any) -> None:
    async with RuvLLM(settings) as llm:
        with pytest.raises(InvalidInputError):
            await llm.add_memories(["good", item])
        assert (await llm.stats()).memories == 0


async def test_one_text_where_a_list_belongs_is_refused(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        for call in (llm.add_memories, llm.embed_many):
            with pytest.raises(InvalidInputError, match="list"):
                await call("not a list")
        hits = await llm.search_memory("anything")
        with pytest.raises(InvalidInputError, match="list"):
            await llm.feedback(hits.request_id, relevant="12")


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None])
async def test_k_is_a_positive_whole_number(settings: Settings, k: Any) -> None:
    async with RuvLLM(settings) as llm:
        with pytest.raises(InvalidInputError, match="k"):
            await llm.search_memory("anything", k)


async def test_a_huge_k_gives_all_there_is(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        await llm.add_memories(FACTS)
        assert len(await llm.search_memory("tests", 10**9, namespace="*")) == len(FACTS)


@pytest.mark.parametrize("tokens", [0, -3, 5000, True, 2.5])
def test_max_tokens_out_of_range_is_refused(tokens: Any) -> None:
    with pytest.raises(InvalidInputError, match="max_tokens"):
        GenerationConfig(max_tokens=tokens)
