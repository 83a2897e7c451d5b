#include "litert_accelerator.h"

namespace bitsr::litert {
namespace {

Status accelerator_name(Handle, const char** name) {
  *name = "bitsr";
  return 0;
}

Status accelerator_version(Handle, Version* version) {
  *version = {1, 0, 0};
  return 0;
}

Status accelerator_hardware(Handle, int* hardware) {
  *hardware = kCpu;
  return 0;
}

// The function of an accelerator gets no pointer of ours on every version, and is called inside CreateCompiledModel.
thread_local Delegate* delegate_in_creation;
thread_local const Api* api_in_creation;
thread_local Delegate::Destroy destroy_function;

void destroy_delegate(void* delegate) { destroy_function(static_cast<TfLiteDelegate*>(delegate)); }

}  // namespace

Status Accelerator::make(void*, Handle, Handle, Handle, Handle* wrapper) {
  TfLiteDelegate* made = delegate_in_creation == nullptr ? nullptr : delegate_in_creation->make();
  return made == nullptr ? 1 : api_in_creation->WrapDelegate(made, destroy_delegate, wrapper);
}

Status Accelerator::add_to(Handle environment) {
  Handle accelerator = nullptr;
  Status status = api_->CreateAccelerator(&accelerator);
  if (status == 0) status = api_->SetAcceleratorGetName(accelerator, accelerator_name);
  if (status == 0) status = api_->SetAcceleratorGetVersion(accelerator, accelerator_version);
  if (status == 0) status = api_->SetAcceleratorGetHardwareSupport(accelerator, accelerator_hardware);
  if (status == 0) status = api_->SetDelegateFunction(accelerator, make);
  return status == 0 ? api_->RegisterAccelerator(environment, accelerator, nullptr, nullptr) : status;
}

Status Accelerator::compile(Handle environment, Handle model, Handle options, Handle* compiled) {
  delegate_in_creation = delegate_;
  api_in_creation = api_;
  before_destruction();  // it may fail after the delegate was made
  const Status status = api_->CreateCompiledModel(environment, model, options, compiled);
  delegate_in_creation = nullptr;
  return status;
}

void Accelerator::before_destruction() const { destroy_function = delegate_->destroy(); }

}  // namespace bitsr::litert
