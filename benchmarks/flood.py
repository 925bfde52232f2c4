"""What hostile feedback can do: quality on questions never rated, before and after floods of it.

    python benchmarks/flood.py DIR[,DIR...] [--feedbacks 10000] [--honest 100] [--cache DIR] [--one-name] [--replay]

DIRs are BEIR-style folders as in `learning.py`, whose simulated honest user rates some questions first. Then one kind
of attacker at a time rates questions of the feedback half over and over: `random` names a shown memory at random,
`worst` the last shown, `same` the same few memories whatever was asked, `blame` rates every result 1, `honest blamed`
calls what is right irrelevant; each under one name and under a new name each time. The background loop runs at the end.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from learning import Question, Replay, System

from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.trajectory import Trajectory

Attack = Callable[[Question, Trajectory, np.random.Generator], dict[str, object]]
ATTACKS: dict[str, Attack] = {
    "random": lambda _question, asked, random: {"relevant": (int(random.choice(asked.shown)),)},
    "worst": lambda _question, asked, _random: {"relevant": (asked.shown[-1],)},
    "same": lambda _question, asked, random: {"relevant": (int(random.integers(1, 6)),), "irrelevant": asked.shown[:3]},
    "blame": lambda _question, _asked, _random: {"rating": 1},
    "honest blamed": lambda question, _asked, _random: {"irrelevant": tuple(question.right)},
}


def flooded(system: System, attack: Attack, feedbacks: int, honest: int, *, many_names: bool) -> list[float]:
    """Mean test nDCG@10 after the honest feedback, after the flood, and after training on both."""
    system.forget()
    random = np.random.default_rng(0)
    asked = system.questions["feedback"]
    for index in random.permutation(len(asked))[:honest]:
        system.rate(asked[index], None, system.sona)
    scores = [float(np.mean(system.scores("test", system.sona)))]
    for number in range(feedbacks):
        question = asked[int(random.integers(len(asked)))]
        trajectory = system.ask(question, system.sona)
        system.sona.record(trajectory)
        said = attack(question, trajectory, random)
        said["irrelevant"] = tuple(set(said.get("irrelevant", ())) - set(said.get("relevant", ())))  # type: ignore[call-overload]  # tuples of ids
        client = f"mallory {number}" if many_names else "mallory"
        system.sona.feedback(trajectory.request_id, Feedback(**said, client=client))  # type: ignore[arg-type]  # fields by name
    scores.append(float(np.mean(system.scores("test", system.sona))))
    system.sona.learn()
    scores.append(float(np.mean(system.scores("test", system.sona))))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", help="join folders of one store with commas")
    parser.add_argument("--feedbacks", type=int, default=10_000)
    parser.add_argument("--honest", type=int, default=100)
    parser.add_argument("--attacks", nargs="*", default=list(ATTACKS), choices=list(ATTACKS))
    parser.add_argument("--one-name", action="store_true", help="leave out the floods under a new name each time")
    parser.add_argument("--replay", action="store_true", help="as in learning.py")
    parser.add_argument("--cache", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folders = [Path(folder) for folder in options.folders.split(",")]
        system = (Replay if options.replay else System)(folders, options.cache, Path(home))
        base = float(np.mean(system.scores("test", None)))
        print(f"{options.feedbacks} hostile after {options.honest} honest feedbacks; untrained nDCG@10 {base:.4f}")
        print(f"{'attack':16s}{'names':>8s}{'honest':>10s}{'flooded':>10s}{'trained':>10s}  against untrained")
        for name in options.attacks:
            for many_names in (False, True)[: 1 if options.one_name else 2]:
                scores = flooded(system, ATTACKS[name], options.feedbacks, options.honest, many_names=many_names)
                cells = "".join(f"{score:10.4f}" for score in scores)
                change = scores[-1] / base - 1
                print(f"{name:16s}{'many' if many_names else 'one':>8s}{cells}  {change:+.1%}", flush=True)
        system.sona.close()
        system.memory.close()


if __name__ == "__main__":
    main()
