// The part of TensorFlow Lite's C API (c_api.h, since 2.14) that runs a model, opened at run time: the archive for
// Android ships it in full, its headers only in part.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "../tflite/abi.h"
#include "outcome.h"

namespace bitsr::tflite {

struct Model;
struct InterpreterOptions;
struct Interpreter;
using Report = void (*)(void* context, const char* format, va_list values);

// Its members differ from version to version behind the first; room for more than any has is made here, and the
// callee writes as many as it knows, through a pointer.
struct XnnpackOptions {
  int32_t num_threads;
  char rest[252];
};

// Every function is called by its member's name; find() finds them all.
struct Api {
  const char* (*Version)();
  Model* (*ModelCreate)(const void* data, size_t size);
  void (*ModelDelete)(Model*);
  InterpreterOptions* (*InterpreterOptionsCreate)();
  void (*InterpreterOptionsDelete)(InterpreterOptions*);
  void (*InterpreterOptionsSetNumThreads)(InterpreterOptions*, int32_t);
  void (*InterpreterOptionsSetErrorReporter)(InterpreterOptions*, Report, void* context);
  void (*InterpreterOptionsAddDelegate)(InterpreterOptions*, TfLiteDelegate*);
  Interpreter* (*InterpreterCreate)(const Model*, const InterpreterOptions*);
  void (*InterpreterDelete)(Interpreter*);
  int32_t (*InterpreterGetInputTensorCount)(const Interpreter*);
  int32_t (*InterpreterGetOutputTensorCount)(const Interpreter*);
  TfLiteTensor* (*InterpreterGetInputTensor)(const Interpreter*, int32_t);
  const TfLiteTensor* (*InterpreterGetOutputTensor)(const Interpreter*, int32_t);
  TfLiteStatus (*InterpreterResizeInputTensor)(Interpreter*, int32_t index, const int* sides, int32_t rank);
  TfLiteStatus (*InterpreterAllocateTensors)(Interpreter*);
  TfLiteStatus (*InterpreterInvoke)(Interpreter*);
  XnnpackOptions (*XNNPackDelegateOptionsDefault)();
  TfLiteDelegate* (*XNNPackDelegateCreate)(const XnnpackOptions*);
  void (*XNNPackDelegateDelete)(TfLiteDelegate*);
};

Outcome find(void* library, Api* api);

}  // namespace bitsr::tflite
