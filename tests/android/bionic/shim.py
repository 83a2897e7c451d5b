"""Build a stand-in for bionic on this machine: ``shim.py RUNTIMES FOLDER``.

FOLDER gets libc.so, libm.so, libdl.so and liblog.so, which export what Android 6's do, and an empty libandroid.so. A
program of an x86-64 Android build then runs as it is: `ld-linux-x86-64.so.2 --library-path FOLDER:LIBRARIES PROGRAM`.
"""

import subprocess
import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile

HERE = Path(__file__).parent
LIBRARIES = ("c", "m", "dl", "log")
LATER = "__write_chk"  # what Android 6 lacks, and Android 7 (LIBC_N) has
OLD_FILES = "__sF"
OLD_FILES_BYTES = 3 * 152


def exported(library: Path) -> dict[str, bool]:
    """The names that a library exports; true: a variable."""
    with library.open("rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".dynsym").iter_symbols())
    return {
        s.name: s["st_info"]["type"] == "STT_OBJECT"
        for s in symbols
        if s["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS")
        and s["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT", "STT_LOOS")
        and s.name
    }


def assembler(names: dict[str, bool]) -> str:
    """A library whose functions jump to addresses that fill() of core.c writes when it is loaded."""
    code, data, table, texts = [".text"], [".data"], [".data", ".balign 8", "table:"], [".section .rodata"]
    for number, (name, variable) in enumerate(sorted(names.items())):
        texts.append(f'text{number}: .asciz "{name}"')
        if variable:
            size = OLD_FILES_BYTES if name == OLD_FILES else 8
            data.append(f".balign 16\n.globl {name}\n.type {name},@object\n.size {name},{size}\n{name}: .zero {size}")
            table.append(f".quad text{number}, 0, {name}_here")
            data.append(f".set {name}_here, {name}")
        else:
            code.append(
                f".globl {name}\n.type {name},@function\n{name}: jmp *slot{number}(%rip)\n.size {name}, .-{name}"
            )
            data.append(f".balign 8\nslot{number}: .quad 0")
            table.append(f".quad text{number}, slot{number}, 0")
    table.append(".quad 0, 0, 0")
    code.append("start: leaq table(%rip), %rdi\njmp *bitsr_fill@GOTPCREL(%rip)")
    first = ['.section .init_array,"aw"', ".quad start", '.section .note.GNU-stack,"",@progbits']
    return "\n".join([*code, *data, *table, *texts, *first, ""])


def main(runtimes: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def cc(*arguments: str | Path) -> None:
        subprocess.run(["cc", *map(str, arguments)], check=True)

    cc("-O1", "-shared", "-fPIC", HERE / "core.c", "-o", folder / "libbitsr_bionic.so")
    names = {LATER: False}
    for library in LIBRARIES:
        names |= exported(runtimes / "bionic" / f"lib{library}.so")
    (folder / "names.s").write_text(assembler(names))
    (folder / "empty.s").write_text('.section .note.GNU-stack,"",@progbits\n')
    (folder / "versions").write_text(f"LIBC_N {{ global: {LATER}; }};\nLIBC {{ global: *; }};\n")
    link = ("-shared", "-nostdlib", f"-L{folder}", "-Wl,--no-as-needed")
    core = (folder / "libbitsr_bionic.so", f"-Wl,--version-script={folder / 'versions'}")
    cc(*link, folder / "names.s", *core, "-Wl,-soname,libc.so", "-Wl,-Bsymbolic", "-o", folder / "libc.so")
    for library in ("m", "dl"):
        cc(*link, folder / "empty.s", core[1], f"-Wl,-soname,lib{library}.so", "-o", folder / f"lib{library}.so")
    for library in ("log", "android"):
        cc(*link, folder / "empty.s", f"-Wl,-soname,lib{library}.so", "-o", folder / f"lib{library}.so")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
