"""What one delegate partition executes, and its blob (docs/formats.md, "Program blob")."""

from bitsr.artifact.program.blob import (
    FIRST_VERSION,
    HEADER_BYTES,
    MAGIC,
    VERSION,
    read_program,
    version_of,
    write_program,
)
from bitsr.artifact.program.op_table import CUSTOM_OPS, CUSTOM_OPS_VERSION, OPS, TORCH_OPS, Constant, Operand, OpInfo
from bitsr.artifact.program.program import (
    Op,
    OpKind,
    Program,
    ProgramError,
    Value,
    ValueKind,
    with_pixel_ends,
)
from bitsr.artifact.program.validate import MAX_CHANNELS, check_program

__all__ = [
    "CUSTOM_OPS",
    "CUSTOM_OPS_VERSION",
    "FIRST_VERSION",
    "HEADER_BYTES",
    "MAGIC",
    "MAX_CHANNELS",
    "OPS",
    "TORCH_OPS",
    "VERSION",
    "Constant",
    "Op",
    "OpInfo",
    "OpKind",
    "Operand",
    "Program",
    "ProgramError",
    "Value",
    "ValueKind",
    "check_program",
    "read_program",
    "version_of",
    "with_pixel_ends",
    "write_program",
]
