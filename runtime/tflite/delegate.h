// What the delegate's library exports: the two functions of every external delegate, and one for tools.
#pragma once

#include "abi.h"
#include "bitsr/builder.h"

extern "C" {

// Null, after a call of `report_error`, where an option is wrong.
TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                                              void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

// Watches every run from now on; null ends it. Not while a model runs.
void bitsr_tflite_watch(TfLiteDelegate* delegate, const bitsr::Profiler* profiler, const bitsr::Observer* observer);

}  // extern "C"
