"""Runs the C tests of the kernels (`tests/c/`) on every instruction set of this CPU."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ruvllm_mcp.native import lib

ROOT = Path(__file__).parent.parent
BUILT = ROOT / ".build" / "native"
REGISTERS = {"rv_scalar": "xmm", "rv_sse41": "xmm", "rv_avx2": "ymm", "rv_avx512": "zmm"}


@pytest.fixture(scope="module")
def program() -> Path:
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    command = ["make", "-s", "-j2", str((BUILT / "check").relative_to(ROOT))]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return BUILT / "check"


@pytest.mark.parametrize("instruction_set", lib.available())
def test_every_kernel_agrees_with_float64(program: Path, instruction_set: str) -> None:
    run = subprocess.run([program, instruction_set], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    reported = {line.split()[1] for line in run.stdout.splitlines()}
    assert reported >= set(lib.kernels())


@pytest.mark.parametrize("instruction_set", lib.available())
def test_long_calls_end_within_a_millisecond_of_their_cancel_flag(program: Path, instruction_set: str) -> None:
    run = subprocess.run([program, "cancel", instruction_set], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_an_instruction_set_this_cpu_lacks_is_refused(program: Path) -> None:
    lacking = ({"sse41", "avx2", "avx512", "neon"} - set(lib.available())).pop()
    run = subprocess.run([program, lacking], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, f"no instruction set {lacking} here\n")


@pytest.mark.skipif(platform.machine() != "x86_64" or not shutil.which("objdump"), reason="reads x86 machine code")
@pytest.mark.parametrize(("name", "instruction"), [("vnni", "vpdpbusd"), ("popcnt", "vpopcntq"), ("bf16", "vdpbf16ps")])
def test_a_layer_uses_the_instruction_it_is_there_for(program: Path, name: str, instruction: str) -> None:
    listed = subprocess.run(
        ["objdump", "-d", program.parent / "csrc" / f"rv_avx512_{name}.o"], capture_output=True, text=True, check=True
    )
    assert instruction in listed.stdout


@pytest.mark.skipif(platform.machine() != "x86_64" or not shutil.which("objdump"), reason="reads x86 machine code")
@pytest.mark.parametrize(("name", "widest"), REGISTERS.items())
def test_a_set_uses_the_registers_it_is_named_for_and_none_wider(program: Path, name: str, widest: str) -> None:
    listed = subprocess.run(
        ["objdump", "-d", program.parent / "csrc" / f"{name}.o"], capture_output=True, text=True, check=True
    )
    assert sorted(set(re.findall(r"%([xyz]mm)\d", listed.stdout)))[-1] == widest
