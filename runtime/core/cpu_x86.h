// What an x86-64 processor can do and its operating system lets it do.
#pragma once

namespace bitsr {

struct X86Features {
  bool avx2_fma = false;
  bool avx512 = false;  // F, BW, VL, VNNI and VPOPCNTDQ
};

X86Features x86_features();

}  // namespace bitsr
