"""Varied text that every Python carries, to measure an encoder's statistics on: code, prose and talk.

Code is the standard library's sources, prose its docstrings and the language reference, talk the exchanges below.
"""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

TALK = """
Anna: Hey, how was the trip? You look rested!
Ben: It was great, we stayed near the lake and swam every morning.
Maria: I finally got the new job, I start on the first of May!
Tom: Congratulations, you worked so hard for that.
Li: Did you call your mother back? She asked about the birthday.
Sam: Not yet, I'll do it after dinner tonight.
Nora: My dog ate a whole loaf of bread yesterday, so we spent the evening at the vet.
Ivan: Oh no, is he all right now?
Kate: I've been painting again, mostly sunsets and old houses.
Omar: I'd love to see them. Do you sell any of your work?
Paul: The build broke again after we merged the login branch.
Dina: I think the token is refreshed twice, let me look.
Jo: Could you review my pull request today? It's only three files.
Max: Sure, send me the link and give me an hour.
Eva: We moved to Lisbon in 2019 because of my wife's work.
Carl: How long did it take until you felt at home there?
Ruth: I'm reading a book about whales, it's surprisingly funny.
Glen: Lend it to me when you're done, please.
User: Why does my test pass alone but fail with the others?
Assistant: It probably shares state. Run them in random order.
User: Remember that we deploy on Tuesdays only.
Assistant: Noted: deployments happen on Tuesdays.
User: Which database did we choose and why?
Assistant: PostgreSQL, since two services write to it at the same time.
Ines: The kids love their new school, and football starts next week.
Rob: That's wonderful! Which position does she play?
Hugo: I ran my first half marathon on Sunday, in two hours and ten minutes!
Mila: Wow, I'm so proud of you. What's next?
Yara: I can't sleep lately, work is too much.
Finn: I'm sorry. Maybe take a few days off? We could go hiking together.
Otto: What do you want for lunch, soup or pizza?
Lea: Pizza, but without olives this time, please.
Gus: The concert was loud and far too long, though the singer was amazing.
Amy: I saw her in June, best night ever!
Zoe: My grandmother taught me how to make these dumplings.
Ken: They're delicious. What is in the filling?
Ada: Thanks for listening yesterday. It really helped me.
Leo: Any time, that's what friends are for.
Vera: The interview went well, but they asked a lot about teamwork.
Noel: When will they let you know?
""".strip()


def talk() -> list[str]:
    """One turn each."""
    return TALK.splitlines()


def code(count: int, characters: int = 1200) -> list[str]:
    """The beginnings of `count` modules' first function or class, spread over the standard library."""
    found: list[str] = []
    for path in _modules():
        source = path.read_text(encoding="utf-8")
        bodies = [node for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        if bodies:
            lines = source.splitlines()[bodies[-1].lineno - 1 : bodies[-1].end_lineno]
            found.append("\n".join(lines)[:characters])
    return _spread(found, count)


def prose(count: int, characters: int = 1200) -> list[str]:
    """`count` passages: docstrings of modules and functions, and the language reference."""
    from pydoc_data.topics import topics

    found = [text[:characters] for text in topics.values()]
    for path in _modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [tree, *(node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)))]
        found += [text[:characters] for node in nodes if len(text := ast.get_docstring(node) or "") > 80]
    return _spread(found, count)


def _modules() -> list[Path]:
    return sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))


def _spread(items: list[str], count: int) -> list[str]:
    return items[:: max(1, len(items) // count)][:count]
