"""What an exported network is on disk: its metadata, its formats and the program that our kernels run.

It imports :mod:`bitsr.common` and :mod:`bitsr.runtime` alone. A new format is a class in ``formats.py`` and its
lowering in :mod:`bitsr.export`.
"""
