// Our delegate as an accelerator of LiteRT, beside XNNPACK.
#pragma once

#include "delegate_library.h"
#include "litert.h"

namespace bitsr::litert {

class Accelerator {
 public:
  // Both live as long as it.
  Accelerator(const Api* api, Delegate* delegate) : api_(api), delegate_(delegate) {}
  // Makes it known to the environment.
  Status add_to(Handle environment);
  // CreateCompiledModel, which asks for the delegate.
  Status compile(Handle environment, Handle model, Handle options, Handle* compiled);
  // Before the model that it made goes away, on the same thread.
  void before_destruction() const;

 private:
  static Status make(void*, Handle, Handle, Handle, Handle* wrapper);

  const Api* api_;
  Delegate* delegate_;
};

}  // namespace bitsr::litert
