#include "litert.h"

#include <dlfcn.h>

namespace bitsr::litert {

Outcome find(void* library, Api* api) {
  const char* missing = nullptr;
  const auto look = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) missing = name;
  };
#define BITSR_FIND(name) look(api->name, "LiteRt" #name)
  BITSR_FIND(CreateEnvironment);
  BITSR_FIND(DestroyEnvironment);
  BITSR_FIND(CreateModelFromBuffer);
  BITSR_FIND(DestroyModel);
  BITSR_FIND(GetNumModelSignatures);
  BITSR_FIND(GetModelSignature);
  BITSR_FIND(GetNumSignatureInputs);
  BITSR_FIND(GetNumSignatureOutputs);
  BITSR_FIND(GetSignatureInputTensorByIndex);
  BITSR_FIND(GetSignatureOutputTensorByIndex);
  BITSR_FIND(GetRankedTensorType);
  BITSR_FIND(CreateOptions);
  BITSR_FIND(DestroyOptions);
  BITSR_FIND(SetOptionsHardwareAccelerators);
  BITSR_FIND(CreateOpaqueOptions);
  BITSR_FIND(AddOpaqueOptions);
  BITSR_FIND(CreateAccelerator);
  BITSR_FIND(SetAcceleratorGetName);
  BITSR_FIND(SetAcceleratorGetVersion);
  BITSR_FIND(SetAcceleratorGetHardwareSupport);
  BITSR_FIND(SetDelegateFunction);
  BITSR_FIND(RegisterAccelerator);
  BITSR_FIND(WrapDelegate);
  BITSR_FIND(CreateCompiledModel);
  BITSR_FIND(DestroyCompiledModel);
  BITSR_FIND(CompiledModelResizeInputTensor);
  BITSR_FIND(GetCompiledModelOutputTensorLayouts);
  BITSR_FIND(CreateManagedTensorBuffer);
  BITSR_FIND(DestroyTensorBuffer);
  BITSR_FIND(LockTensorBuffer);
  BITSR_FIND(UnlockTensorBuffer);
  BITSR_FIND(RunCompiledModel);
#undef BITSR_FIND
  if (missing != nullptr)
    return failed(ErrorKind::unsupported, "the library of LiteRT has no %s; expected LiteRT 2.3", missing);
  return {};
}

}  // namespace bitsr::litert
