"""How much does an ARM processor have to do? Counted instructions and modelled cycles, without such a processor.

An emulator counts every instruction that a program runs, exactly; LLVM's models of processors say how many cycles those
take that never miss the cache or a branch. Neither is a time.
"""
