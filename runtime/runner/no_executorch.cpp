// In builds without ExecuTorch.
#include "network.h"

namespace bitsr {

Outcome open_pte(Bytes, const NetworkOptions& options, std::unique_ptr<Network>*) {
  return failed(ErrorKind::unsupported,
                "%s is a .pte and this build has no ExecuTorch; build it with -DBITSR_EXECUTORCH=ON, or use a .tflite",
                options.path.c_str());
}

}  // namespace bitsr
