"""64-bit words of channel bits (ARCHITECTURE.md, law 3): channel c is bit ``c % 64`` of word ``c // 64``."""

WORD_BITS = 64


def words_per_tap(channels: int) -> int:
    """64-bit words that hold the bits of ``channels`` channels."""
    return -(-channels // WORD_BITS)
