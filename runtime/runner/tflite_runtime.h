// The two runtimes of a .tflite; `library` is the opened one.
#pragma once

#include <memory>

#include "network.h"

namespace bitsr {

// LiteRT's CompiledModel.
Outcome open_litert(Bytes content, const NetworkOptions& options, void* library, std::unique_ptr<Network>* network);
// TensorFlow Lite's Interpreter, by its C API.
Outcome open_tflite_interpreter(Bytes content, const NetworkOptions& options, void* library,
                                std::unique_ptr<Network>* network);

}  // namespace bitsr
