"""Export: a trained module becomes its deploy form, and the deploy form an artifact that runs through our kernels.

Called, ``bitsr.export(model, output=...)`` is :func:`bitsr.export.export.export_model`.
"""

import sys
from types import ModuleType
from typing import Any


class _Exporter(ModuleType):
    """The sub-package has the name that the front door would give its function, so it is both."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        import bitsr

        return bitsr.export_model(*arguments, **options)


sys.modules[__name__].__class__ = _Exporter
