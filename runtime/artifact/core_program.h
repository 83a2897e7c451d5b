// The program of an artifact whose whole network is made of our ops: found in its file without the framework that the
// file is for. Nothing in the file is trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "bitsr/program.h"

namespace bitsr {

struct DestroyProgram {
  void operator()(Program* program) const { Program::destroy(program); }
};

using OwnedProgram = std::unique_ptr<Program, DestroyProgram>;

struct CoreProgram {
  // From one map to one map; null where the network needs its framework, because of what `foreign` names.
  OwnedProgram program;
  std::string foreign;
  Shape input{};  // that the file says; sides are 0 where any will do
};

// Failure: the file is damaged, of another version than this library reads, or its program is no valid one; `*found` is
// empty then.
Status load_tflite_program(const uint8_t* file, size_t size, Isa isa, CoreProgram* found);
Status load_pte_program(const uint8_t* file, size_t size, Isa isa, CoreProgram* found);

}  // namespace bitsr
