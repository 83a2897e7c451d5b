"""What the Android builds ask of a device: nothing that its API level or the bundled runtimes do not have."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from bitsr.validation.targets.builds import ANDROID_ABIS, ANDROID_LIBRARIES

PAGE = 16384
MACHINES = {"arm64-v8a": "EM_AARCH64", "x86_64": "EM_X86_64"}
# What every Android has. Their names are those of Android 6 (API 23): the app asks for API 26, which has them all.
SYSTEM = {"libc.so", "libm.so", "libdl.so", "liblog.so"}
# Ours, each with what its names begin with and the runtimes that it may be linked with.
OURS: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "bitsr-run": ((), set()),
    "libbitsr.so": (("bitsr_",), set()),
    "libbitsr_jni.so": (("Java_org_bitsr_engine_jni_Native_",), {"libbitsr.so"}),
    "libbitsr_tflite.so": (("bitsr_", "tflite_plugin_"), set()),
    "libbitsr_executorch.so": (("bitsr_",), {"libexecutorch_jni.so"}),
    "libbitsr_pte.so": (("bitsr_",), {"libexecutorch_jni.so", "libbitsr_executorch.so"}),
}
# Names that the runtimes of others take from versions behind Android 6, with the API level that has them.
LATER = {"__write_chk": 24}
MIN_API = 26


@dataclass(frozen=True)
class Binary:
    """Facts of a library or program; `undefined` has no weak names."""

    machine: str
    interpreter: str | None
    alignments: set[int]
    has_tls: bool
    soname: str | None
    needed: set[str]
    undefined: set[str]
    exported: set[str]


def read_binary(path: Path) -> Binary:
    with path.open("rb") as file:
        elf = ELFFile(file)
        segments = list(elf.iter_segments())
        tags = list(elf.get_section_by_name(".dynamic").iter_tags())
        symbols = [symbol for symbol in elf.get_section_by_name(".dynsym").iter_symbols() if symbol.name]
        missing = [symbol for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF"]
        return Binary(
            machine=elf["e_machine"],
            interpreter=next((s.get_interp_name() for s in segments if s["p_type"] == "PT_INTERP"), None),
            alignments={s["p_align"] for s in segments if s["p_type"] == "PT_LOAD"},
            has_tls=any(s["p_type"] == "PT_TLS" for s in segments),
            soname=next((tag.soname for tag in tags if tag["d_tag"] == "DT_SONAME"), None),
            needed={tag.needed for tag in tags if tag["d_tag"] == "DT_NEEDED"},
            undefined={symbol.name for symbol in missing if symbol["st_info"]["bind"] != "STB_WEAK"},
            exported={s.name for s in symbols if s not in missing and s["st_info"]["bind"] != "STB_LOCAL"},
        )


@pytest.fixture(scope="module")
def system(android: Path) -> set[str]:
    """Every name of Android 6's own libraries."""
    names = set[str]()
    for library in SYSTEM:
        names |= read_binary(android / "runtimes" / "bionic" / library).exported
    assert {"malloc", "pthread_create", "dlopen", "fmaf", "__android_log_print"} <= names
    assert "getentropy" not in names  # of API 28
    return names


@pytest.mark.parametrize("abi", ANDROID_ABIS)
@pytest.mark.parametrize("name", OURS)
def test_what_ours_asks_for_is_there(android: Path, system: set[str], abi: str, name: str) -> None:
    prefixes, linked = OURS[name]
    binary = read_binary(android / abi / name)
    assert binary.machine == MACHINES[abi]
    assert binary.alignments == {PAGE}
    assert not binary.has_tls  # Android has it since API 29
    assert binary.needed <= SYSTEM | linked
    there = system.union(*(read_binary(android / abi / library).exported for library in linked))
    assert binary.undefined - there == set()
    if name == "bitsr-run":
        assert binary.interpreter == "/system/bin/linker64"
    else:
        assert binary.soname == name
        assert binary.exported
        assert {export for export in binary.exported if not export.startswith(prefixes)} == set()


@pytest.mark.parametrize("abi", ANDROID_ABIS)
def test_the_runtimes_ask_for_nothing_that_is_not_bundled(android: Path, system: set[str], abi: str) -> None:
    assert max(LATER.values()) <= MIN_API
    bundled = {name for names in ANDROID_LIBRARIES.values() for name in names if not name.startswith("libbitsr")}
    there = system | set(LATER)
    for name in bundled:
        there |= read_binary(android / abi / name).exported
    for name in bundled:
        binary = read_binary(android / abi / name)
        assert binary.soname == name
        # libandroid.so is a part of Android too.
        assert binary.needed <= SYSTEM | bundled | {"libandroid.so"}
        assert binary.undefined - there == set()
