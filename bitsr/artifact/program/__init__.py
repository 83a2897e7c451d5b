"""What one delegate partition executes, and its blob (ARCHITECTURE.md, "Program blob")."""

from bitsr.artifact.program.blob import HEADER_BYTES, MAGIC, VERSION, read_program, write_program
from bitsr.artifact.program.program import Op, OpKind, Program, ProgramError, Value, ValueKind
from bitsr.artifact.program.validate import MAX_CHANNELS, check_program

__all__ = [
    "HEADER_BYTES",
    "MAGIC",
    "MAX_CHANNELS",
    "VERSION",
    "Op",
    "OpKind",
    "Program",
    "ProgramError",
    "Value",
    "ValueKind",
    "check_program",
    "read_program",
    "write_program",
]
