"""``BitsrBackend``: one delegate partition becomes a program blob. The class name is the backend id in the .pte."""

from executorch.exir.backend.backend_details import BackendDetails, PreprocessResult
from executorch.exir.backend.compile_spec_schema import CompileSpec
from torch.export import ExportedProgram

from bitsr.artifact.program import write_program
from bitsr.export.executorch.whole import whole_network
from bitsr.export.translation import Translation


class BitsrBackend(BackendDetails):  # type: ignore[misc]
    """Ahead-of-time half of the delegate."""

    @staticmethod
    def preprocess(edge_program: ExportedProgram, compile_specs: list[CompileSpec]) -> PreprocessResult:
        """Translate a partition; "<index> <op>" is an op's delegate debug id, as in the runtime's profiling events."""
        whole = whole_network(edge_program)
        if whole is not None:
            return PreprocessResult(processed_bytes=whole.content, debug_handle_map=whole.debug_handles)
        translation = Translation(edge_program)
        return PreprocessResult(
            processed_bytes=write_program(translation.program), debug_handle_map=translation.debug_handles
        )
