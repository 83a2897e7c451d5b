// Numbers of the fields and values of TensorFlow Lite's schema, version 3, that are read here.
#pragma once

#include <cstdint>

namespace bitsr::tflite::schema {

enum Model : unsigned { kModelVersion, kModelOperatorCodes, kModelSubgraphs, kModelBuffers = 4, kModelMetadata = 6 };
enum Metadata : unsigned { kMetadataName, kMetadataBuffer };
enum Buffer : unsigned { kBufferData };
// The first holds codes up to 127 alone; the last all of them, where the file is not of before 2020.
enum OperatorCode : unsigned { kCodeShortBuiltin, kCodeCustom, kCodeBuiltin = 3 };
enum Subgraph : unsigned { kGraphTensors, kGraphInputs, kGraphOutputs, kGraphOperators };
enum Tensor : unsigned { kTensorShape, kTensorType, kTensorBuffer, kTensorShapeSignature = 7 };
enum Operator : unsigned {
  kOperatorCode,
  kOperatorInputs,
  kOperatorOutputs,
  kOperatorBuiltinOptions = 4,
  kOperatorCustomOptions
};
enum AddOptions : unsigned { kAddActivation };

constexpr uint32_t kVersion = 3;
constexpr int8_t kFloat32 = 0, kUint8 = 3;
constexpr int32_t kAdd = 0, kCustom = 32;
constexpr int8_t kNoActivation = 0;

}  // namespace bitsr::tflite::schema
