// The part of TensorFlow Lite's C struct ABI that an external delegate needs, declared anew: no package ships the
// headers, and the stock wheels hide all of their symbols. Names are the framework's (tensorflow/lite/core/c/common.h,
// Apache-2.0); only what 64-bit platforms have in common since TensorFlow 2.14 is declared.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

enum TfLiteStatus : int { kTfLiteOk = 0, kTfLiteError = 1 };
enum TfLiteType : int { kTfLiteFloat32 = 1, kTfLiteUInt8 = 3, kTfLiteInt64 = 4 };
enum TfLiteAllocationType : int { kTfLiteMmapRo = 1, kTfLiteDynamic = 4 };
enum TfLiteFusedActivation : int { kTfLiteActNone = 0 };
constexpr int32_t kTfLiteBuiltinAdd = 0;
constexpr int32_t kTfLiteBuiltinCustom = 32;
constexpr int32_t kTfLiteBuiltinDelegate = 51;
constexpr int64_t kTfLiteDelegateFlagsAllowDynamicTensors = 1;
constexpr int kTfLiteOptionalTensor = -1;

struct TfLiteIntArray {
  int size;
  int data[];
};

struct TfLiteDelegate;
struct TfLiteRegistration;

struct TfLiteTensor {
  TfLiteType type;
  void* data;
  TfLiteIntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  TfLiteAllocationType allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  TfLiteDelegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void* params;
  } quantization;
  void* sparsity;
  const TfLiteIntArray* dims_signature;
};

struct TfLiteNode {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  TfLiteIntArray* intermediates;
  TfLiteIntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  TfLiteDelegate* delegate;
  bool might_have_side_effect;
};

struct TfLiteContext {
  size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(TfLiteContext*, TfLiteIntArray**);
  TfLiteTensor* tensors;
  void* impl;
  // Takes the array over; it must come from malloc.
  TfLiteStatus (*ResizeTensor)(TfLiteContext*, TfLiteTensor*, TfLiteIntArray*);
  void (*ReportError)(TfLiteContext*, const char* format, ...);
  TfLiteStatus (*AddTensors)(TfLiteContext*, int count, int* first);
  TfLiteStatus (*GetNodeAndRegistration)(TfLiteContext*, int node, TfLiteNode**, TfLiteRegistration**);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext*, TfLiteRegistration, const TfLiteIntArray* nodes,
                                                        TfLiteDelegate*);
  int recommended_num_threads;
  // Further members follow; a context is never made or copied here.
};

struct TfLiteRegistration {
  void* (*init)(TfLiteContext*, const char* buffer, size_t length);
  void (*free)(TfLiteContext*, void* data);
  TfLiteStatus (*prepare)(TfLiteContext*, TfLiteNode*);
  TfLiteStatus (*invoke)(TfLiteContext*, TfLiteNode*);
  const char* (*profiling_string)(const TfLiteContext*, const TfLiteNode*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
};

struct TfLiteDelegateParams {
  TfLiteDelegate* delegate;
  TfLiteIntArray* nodes_to_replace;
  TfLiteIntArray* input_tensors;
  TfLiteIntArray* output_tensors;
};

struct TfLiteDelegate {
  void* data;
  TfLiteStatus (*Prepare)(TfLiteContext*, TfLiteDelegate*);
  void* CopyFromBufferHandle;
  void* CopyToBufferHandle;
  void* FreeBufferHandle;
  int64_t flags;
  void* opaque_delegate_builder;
};

struct TfLiteAddParams {
  TfLiteFusedActivation activation;
  bool pot_scale_int16;
};

}  // extern "C"

static_assert(sizeof(void*) == 8, "the declarations are those of 64-bit platforms");
static_assert(sizeof(TfLiteTensor) == 112 && offsetof(TfLiteTensor, allocation_type) == 32 &&
                  offsetof(TfLiteTensor, dims_signature) == 104,
              "TfLiteTensor");
static_assert(sizeof(TfLiteNode) == 80 && offsetof(TfLiteNode, custom_initial_data_size) == 56, "TfLiteNode");
static_assert(sizeof(TfLiteRegistration) == 88 && offsetof(TfLiteRegistration, builtin_code) == 40,
              "TfLiteRegistration");
static_assert(offsetof(TfLiteContext, recommended_num_threads) == 72, "TfLiteContext");
static_assert(sizeof(TfLiteDelegateParams) == 32, "TfLiteDelegateParams");
static_assert(sizeof(TfLiteDelegate) == 56, "TfLiteDelegate");
