"""The engine's writing calls: whole, in pieces, many at once, stopped half-way."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from ruvllm_mcp import GenerationConfig, RuvLLM
from ruvllm_mcp.errors import InvalidInputError, ModelError, RuvLLMError
from ruvllm_mcp.llm.backends.echo import Echo
from tests.llm.talker import write_talker

pytestmark = pytest.mark.anyio
SHORT = GenerationConfig(max_tokens=12, temperature=0)
LONG = GenerationConfig(max_tokens=400, temperature=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_talker(tmp_path_factory.mktemp("model") / "talker.gguf"))


@pytest.fixture
async def llm(tmp_path: Path, model: str) -> AsyncIterator[RuvLLM]:
    async with RuvLLM(home=tmp_path / "home", namespace="shop", embedder="hashing", model=model) as llm:
        yield llm


async def test_generate_stream_and_chat_write_the_same(llm: RuvLLM) -> None:
    pieces: list[str] = []
    whole = await llm.generate("Once upon", SHORT, written=pieces.append)
    assert "".join(pieces) == whole.text
    assert (whole.model, whole.backend, whole.finish_reason) == ("talker", "native", "length")
    assert whole.usage.completion_tokens == 12
    assert whole.first_token_ms is not None
    assert 0 < whole.first_token_ms <= whole.latency_ms
    streamed = [chunk async for chunk in llm.stream("Once upon", SHORT)]
    assert "".join(chunk.text for chunk in streamed) == whole.text
    assert [chunk.response is None for chunk in streamed] == [True] * (len(streamed) - 1) + [False]
    assert streamed[-1].response is not None
    assert streamed[-1].response.text == whole.text
    chat = [{"role": "user", "content": "Once upon"}]
    assert (await llm.chat(chat, SHORT)).text == whole.text
    assert "".join([chunk.text async for chunk in llm.stream(chat, SHORT)]) == whole.text
    assert (await llm.generate("Once upon", SHORT, raw=True)).text != whole.text


async def test_query_gives_a_model_the_memories_and_names_them(llm: RuvLLM) -> None:
    known = await llm.add_memory("Releases go out on Tuesdays.")
    pieces: list[str] = []
    answer = await llm.query("when do releases go out?", config=SHORT, written=pieces.append)
    assert "".join(pieces) == answer.text
    assert [source.id for source in answer.sources] == [known]
    assert (answer.backend, answer.finish_reason, answer.usage.completion_tokens) == ("native", "length", 12)
    quoted = await llm.query("when do releases go out?", model="extractive")
    assert (quoted.backend, "Tuesdays" in quoted.text) == ("extractive", True)


async def test_many_queries_are_answered_in_order_and_one_failure_is_its_own(llm: RuvLLM) -> None:
    answers = await llm.batch_query(["one", "", "three"], SHORT)
    one_by_one = await llm.batch_query(["one", "", "three"], SHORT, parallel=False)
    for found in (answers, one_by_one):
        assert isinstance(found[1], InvalidInputError)
    assert [getattr(a, "text", None) for a in answers] == [getattr(a, "text", None) for a in one_by_one]
    with pytest.raises(InvalidInputError, match="list"):
        await llm.batch_query("one")


async def test_leaving_a_stream_stops_the_model(llm: RuvLLM) -> None:
    stream = llm.stream("Once upon", LONG)
    async for chunk in stream:
        assert chunk.response is None
        break
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator
    assert "ruvllm-writer" not in {thread.name for thread in threading.enumerate()}
    assert (await llm.generate("Once upon", SHORT)).usage.completion_tokens == 12


@pytest.mark.parametrize("call", ["generate", "query", "chat", "stream"])
async def test_a_cancelled_call_stops_its_model(llm: RuvLLM, call: str) -> None:
    pieces: list[str] = []

    async def run(scope: anyio.CancelScope) -> None:
        def note(piece: str) -> None:
            pieces.append(piece)
            scope.cancel()

        with scope:
            if call == "stream":
                async for chunk in llm.stream("Once upon", LONG):
                    note(chunk.text)
            elif call == "chat":
                await llm.chat([{"role": "user", "content": "Hi"}], LONG, written=note)
            else:
                await getattr(llm, call)("Once upon", config=LONG, written=note)

    scope = anyio.CancelScope()
    await run(scope)
    assert scope.cancelled_caught
    assert 1 <= len(pieces) < 20
    assert "ruvllm-writer" not in {thread.name for thread in threading.enumerate()}


async def test_what_the_reader_raises_ends_the_call(llm: RuvLLM) -> None:
    with pytest.raises(ZeroDivisionError):
        await llm.generate("Once upon", LONG, written=lambda _: 1 // 0)  # type: ignore[arg-type, return-value]  # raises


async def test_without_a_language_model_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    async with RuvLLM(home=tmp_path / "home", namespace="shop", embedder="hashing") as llm:
        for call in (llm.generate("Hi"), llm.chat([{"role": "user", "content": "Hi"}])):
            with pytest.raises(ModelError, match="RUVLLM_MODEL"):
                await call
        with pytest.raises(ModelError, match="RUVLLM_MODEL"):
            async for _ in llm.stream("Hi"):
                pass


@pytest.mark.parametrize("prompt", ["", None, 3, [], [{"role": "user"}], [{"role": "nobody", "content": "x"}]])
async def test_what_is_no_prompt_is_refused(llm: RuvLLM, prompt: object) -> None:
    with pytest.raises(InvalidInputError):
        async for _ in llm.stream(prompt):  # type: ignore[arg-type]  # that is the point
            pass


async def test_closing_the_engine_ends_what_it_is_writing(tmp_path: Path, model: str) -> None:
    llm = RuvLLM(home=tmp_path / "home", namespace="shop", embedder="hashing", model=model)
    stream = llm.stream("Once upon", LONG)
    assert (await anext(stream)).response is None
    await llm.close()
    last = [chunk async for chunk in stream][-1]
    assert last.response is not None
    assert last.response.finish_reason == "cancelled"
    with pytest.raises(RuvLLMError, match="closed"):
        await llm.generate("Hi")


async def test_an_unexpected_failure_reaches_the_caller(llm: RuvLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Echo, "answer", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await llm.generate("Hi", model="echo")
