// The part of LiteRT's C API (2.3) that runs a model, opened at run time: no package ships its headers, and programs
// that only run a .pte do not need the library. The declarations change between minor versions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "outcome.h"

namespace bitsr::litert {

using Status = int;
using Handle = void*;
constexpr int kCpu = 1;
constexpr int kHostMemory = 1;
constexpr int kFloat32 = 1, kUint8 = 3, kInt64 = 4;
constexpr int kRead = 0, kWrite = 1;

struct Layout {
  unsigned rank : 7;
  unsigned has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
};
struct TensorType {
  int element;
  Layout layout;
};
// Options of an environment.
constexpr int kAutoRegisterAccelerators = 24, kMinLoggerSeverity = 25;
constexpr int kInteger = 2;
constexpr int64_t kErrorsOnly = 3;
struct EnvironmentOption {
  int tag;
  int unused;
  int type;
  int64_t value;
};
static_assert(sizeof(EnvironmentOption) == 24, "LiteRtEnvOption");
struct Version {
  int major, minor, patch;
};

// Every function is called by its member's name; find() finds them all.
struct Api {
  Status (*CreateEnvironment)(int count, const EnvironmentOption* options, Handle* environment);
  void (*DestroyEnvironment)(Handle environment);
  Status (*CreateModelFromBuffer)(Handle environment, const void* data, size_t size, Handle* model);
  void (*DestroyModel)(Handle model);
  Status (*GetNumModelSignatures)(Handle model, size_t* count);
  Status (*GetModelSignature)(Handle model, size_t index, Handle* signature);
  Status (*GetNumSignatureInputs)(Handle signature, size_t* count);
  Status (*GetNumSignatureOutputs)(Handle signature, size_t* count);
  Status (*GetSignatureInputTensorByIndex)(Handle signature, size_t index, Handle* tensor);
  Status (*GetSignatureOutputTensorByIndex)(Handle signature, size_t index, Handle* tensor);
  Status (*GetRankedTensorType)(Handle tensor, TensorType* type);
  Status (*CreateOptions)(Handle* options);
  void (*DestroyOptions)(Handle options);
  Status (*SetOptionsHardwareAccelerators)(Handle options, int accelerators);
  Status (*CreateOpaqueOptions)(const char* identifier, void* payload, void (*destroy)(void*), Handle* options);
  Status (*AddOpaqueOptions)(Handle options, Handle opaque);
  Status (*CreateAccelerator)(Handle* accelerator);
  Status (*SetAcceleratorGetName)(Handle accelerator, Status (*get)(Handle, const char**));
  Status (*SetAcceleratorGetVersion)(Handle accelerator, Status (*get)(Handle, Version*));
  Status (*SetAcceleratorGetHardwareSupport)(Handle accelerator, Status (*get)(Handle, int*));
  Status (*SetDelegateFunction)(Handle accelerator, Status (*make)(void*, Handle, Handle, Handle, Handle*));
  Status (*RegisterAccelerator)(Handle environment, Handle accelerator, void* data, void (*destroy)(void*));
  Status (*WrapDelegate)(void* delegate, void (*destroy)(void*), Handle* wrapper);
  Status (*CreateCompiledModel)(Handle environment, Handle model, Handle options, Handle* compiled);
  void (*DestroyCompiledModel)(Handle compiled);
  Status (*CompiledModelResizeInputTensor)(Handle compiled, size_t signature, size_t index, const int* sides,
                                           size_t rank);
  Status (*GetCompiledModelOutputTensorLayouts)(Handle compiled, size_t signature, size_t count, Layout* layouts,
                                                bool update);
  Status (*CreateManagedTensorBuffer)(Handle environment, int kind, const TensorType* type, size_t bytes,
                                      Handle* buffer);
  void (*DestroyTensorBuffer)(Handle buffer);
  Status (*LockTensorBuffer)(Handle buffer, void** memory, int mode);
  Status (*UnlockTensorBuffer)(Handle buffer);
  Status (*RunCompiledModel)(Handle compiled, size_t signature, size_t inputs, Handle* in, size_t outputs, Handle* out);
};

Outcome find(void* library, Api* api);

}  // namespace bitsr::litert
