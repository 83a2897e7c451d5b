"""Make zig stand in for the NDK: ``sysroot.py BIONIC TOOLS`` writes TOOLS/PROCESSOR-c++, TOOLS/ar and TOOLS/ranlib.

They use a folder that has, for each processor, headers, libraries to link against, the code at a program's start, and
``libc.txt``, which zig reads where ``ZIG_LIBC`` names it. It lies in the user's cache, under a name that follows from
what it is made of: zig keeps the C++ library that it builds (minutes) for a folder of headers by its path. BIONIC has
Android 6's libc.so, libm.so, libdl.so and liblog.so: a program that is linked against the names that these export finds
them on every later Android too.

The headers are musl's, which zig carries. What a C++ runtime shares with the C library has the same size and meaning
in bionic on 64-bit processors; where a number differs it is changed here to bionic's, and the names whose numbers are
not known are taken out, so that their use does not compile.
"""

import argparse
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

import ziglang  # type: ignore[import-not-found]
from elftools.elf.elffile import ELFFile  # type: ignore[import-untyped]

ZIG = Path(ziglang.__file__).parent
# Folders of musl's headers in zig, the later ones before the earlier ones.
HEADERS = {
    "aarch64": ("any-linux-any", "aarch64-linux-any", "generic-musl", "aarch64-linux-musl"),
    "x86_64": ("any-linux-any", "x86-linux-any", "generic-musl", "x86_64-linux-musl"),
}
API = 26
VERSIONED = ("c", "m", "dl")  # the libraries whose names have the version LIBC
# Bionic's numbers; musl's others of these kinds are taken out.
NUMBERS = {
    "_SC_PAGESIZE": 0x27,
    "_SC_PAGE_SIZE": 0x28,
    "_SC_NPROCESSORS_CONF": 0x60,
    "_SC_NPROCESSORS_ONLN": 0x61,
    "_SC_PHYS_PAGES": 0x62,
    "_PC_PATH_MAX": 5,
}
# Bionic's locales have the categories of glibc, so that its mask of all of them is another one.
LOCALE_MASK = 0x1FBF
START = """
extern int main(int, char**, char**);
extern void __libc_init(void* arguments, void* on_exit, int (*main)(int, char**, char**), void* arrays);
/* Lists of constructors, which the dynamic linker has run, and of destructors, which C++ hands over by itself. */
static void* none[8];
__attribute__((used)) static void bitsr_start(void* arguments) { __libc_init(arguments, 0, main, none); }
__asm__(".text\\n.globl _start\\n.type _start,%function\\n_start:\\n" JUMP);
"""
JUMPS = {
    "aarch64": "mov x29, #0\\nmov x30, #0\\nmov x0, sp\\nb bitsr_start\\n",
    "x86_64": "xorl %ebp, %ebp\\nmov %rsp, %rdi\\nandq $-16, %rsp\\ncall bitsr_start\\n",
}


def exported(library: Path) -> dict[str, str]:
    """The names that a library exports, each with the kind of its symbol in assembler."""
    with library.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".dynsym").iter_symbols()
        return {
            symbol.name: "object" if symbol["st_info"]["type"] == "STT_OBJECT" else "function"
            for symbol in symbols
            if symbol["st_shndx"] != "SHN_UNDEF"
            and symbol["st_info"]["bind"] != "STB_LOCAL"
            and symbol["st_info"]["type"]
            in ("STT_FUNC", "STT_OBJECT", "STT_LOOS")  # the last: chosen when it is loaded
        }


def compile_for(processor: str, *arguments: str) -> None:
    subprocess.run([str(ZIG / "zig"), "cc", "-target", f"{processor}-linux-musl", "-nostdlib", *arguments], check=True)


def write_headers(processor: str, folder: Path) -> None:
    for part in HEADERS[processor]:
        shutil.copytree(ZIG / "lib/libc/include" / part, folder, dirs_exist_ok=True)

    def change(name: str, pattern: str, replacement: str) -> None:
        text, count = re.subn(pattern, replacement, (folder / name).read_text(), flags=re.MULTILINE)
        assert count > 0, f"zig's musl has no {pattern} in {name}"
        (folder / name).write_text(text)

    # libc++ has a table of its own of what a character is, where the C library has none that it knows.
    change("features.h", r"^(#define\s+_FEATURES_H)$", r"\1\n#define _LIBCPP_PROVIDES_DEFAULT_RUNE_TABLE")
    change("errno.h", r"__errno_location", "__errno")
    change("locale.h", r"^#define LC_ALL_MASK .*$", f"#define LC_ALL_MASK {LOCALE_MASK:#x}")
    numbers = "\n".join(f"#define {name} {number:#x}" for name, number in NUMBERS.items())
    change("unistd.h", r"^#define (_SC|_PC|_CS)_.*\n", "")
    change("unistd.h", r"^#ifdef __cplusplus\n}", f"{numbers}\n#ifdef __cplusplus\n}}")


def write_libraries(processor: str, bionic: Path, folder: Path) -> None:
    folder.mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        source, versions = Path(temporary) / "names.s", Path(temporary) / "versions"
        versions.write_text("LIBC { global: *; };\n")
        for library in (*VERSIONED, "log"):
            names = exported(bionic / f"lib{library}.so")
            lines = [f".globl {n}\n.type {n},%{kind}\n.size {n},8\n{n}:" for n, kind in sorted(names.items())]
            source.write_text("\n".join([".text", *lines, ".quad 0", ""]))
            options = [f"-Wl,--version-script={versions}"] if library in VERSIONED else []
            name = f"lib{library}.so"
            compile_for(processor, "-shared", *options, f"-Wl,-soname,{name}", str(source), "-o", str(folder / name))
        start, empty = Path(temporary) / "start.c", Path(temporary) / "empty.c"
        start.write_text(START.replace("JUMP", f'"{JUMPS[processor]}"'))
        empty.write_text("")
        for source, name in (
            (start, "crtbegin_dynamic"),
            (empty, "crtend_android"),
            (empty, "crtbegin_so"),
            (empty, "crtend_so"),
        ):
            compile_for(
                processor, "-fPIC", "-O2", "-fno-sanitize=all", "-c", str(source), "-o", str(folder / f"{name}.o")
            )


def sysroot(bionic: Path) -> Path:
    """The folder in the user's cache, made where it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitsr" / "android"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        made = Path(temporary) / "made"
        for processor in HEADERS:
            write_headers(processor, made / processor / "include")
        folder = cache / f"sysroot-{digest_of(made, bionic)}"
        if not folder.is_dir():
            for processor in HEADERS:
                write_libraries(processor, bionic, made / processor / "lib")
                include, lib = folder / processor / "include", folder / processor / "lib"
                facts = {"include_dir": include, "sys_include_dir": include, "crt_dir": lib, "cc_dir": lib}
                facts |= dict.fromkeys(("msvc_lib_dir", "kernel32_lib_dir", "darwin_sdk_dir"), "")
                (made / processor / "libc.txt").write_text("".join(f"{key}={value}\n" for key, value in facts.items()))
            made.rename(folder)
    return folder


def digest_of(headers: Path, bionic: Path) -> str:
    """Of all that a sysroot is made from."""
    digest = hashlib.sha256("".join([version("ziglang"), START, *JUMPS.values()]).encode())
    paths = sorted(path for folder in (headers, bionic) for path in folder.rglob("*") if path.is_file())
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bionic", type=Path)
    parser.add_argument("tools", type=Path)
    arguments = parser.parse_args()
    tools: Path = arguments.tools
    folder = sysroot(arguments.bionic)
    zig = shlex.quote(str(ZIG / "zig"))
    commands = {"ar": f"exec {zig} ar", "ranlib": f"exec {zig} ranlib"}
    for processor in HEADERS:
        # zig's checks at run time are for its debug builds, and need a library that Android has not. With the same
        # options everywhere it builds its C++ library once, also where CMake tries the compiler.
        target = f"-target {processor}-linux-android.{API} -fno-sanitize=all -O2 -s"
        libc, lib = (shlex.quote(str(folder / processor / name)) for name in ("libc.txt", "lib"))
        commands[f"{processor}-c++"] = f"ZIG_LIBC={libc} exec {zig} c++ {target} -L{lib}"
    tools.mkdir(parents=True, exist_ok=True)
    for name, command in commands.items():
        (tools / name).write_text(f'#!/bin/sh\n{command} "$@"\n')
        (tools / name).chmod(0o755)


if __name__ == "__main__":
    main()
