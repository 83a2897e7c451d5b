#include "tflite_interpreter.h"

#include <dlfcn.h>

#include <type_traits>

namespace bitsr::tflite {

Outcome find(void* library, Api* api) {
  const char* missing = nullptr;
  const auto look = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) missing = name;
  };
#define BITSR_FIND(name) look(api->name, "TfLite" #name)
  BITSR_FIND(Version);
  BITSR_FIND(ModelCreate);
  BITSR_FIND(ModelDelete);
  BITSR_FIND(InterpreterOptionsCreate);
  BITSR_FIND(InterpreterOptionsDelete);
  BITSR_FIND(InterpreterOptionsSetNumThreads);
  BITSR_FIND(InterpreterOptionsSetErrorReporter);
  BITSR_FIND(InterpreterOptionsAddDelegate);
  BITSR_FIND(InterpreterCreate);
  BITSR_FIND(InterpreterDelete);
  BITSR_FIND(InterpreterGetInputTensorCount);
  BITSR_FIND(InterpreterGetOutputTensorCount);
  BITSR_FIND(InterpreterGetInputTensor);
  BITSR_FIND(InterpreterGetOutputTensor);
  BITSR_FIND(InterpreterResizeInputTensor);
  BITSR_FIND(InterpreterAllocateTensors);
  BITSR_FIND(InterpreterInvoke);
  BITSR_FIND(XNNPackDelegateOptionsDefault);
  BITSR_FIND(XNNPackDelegateCreate);
  BITSR_FIND(XNNPackDelegateDelete);
#undef BITSR_FIND
  if (missing != nullptr)
    return failed(ErrorKind::unsupported, "the library of TensorFlow Lite has no %s; expected 2.14 or later", missing);
  return {};
}

}  // namespace bitsr::tflite
