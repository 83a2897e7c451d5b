"""How long a network takes: the protocol of the times, candidates in turns, and the float twin to compare with."""
