// What the command line says a model is to be given.
#pragma once

#include "arguments.h"

namespace bitsr {

// Reads the files of --input, or makes a pattern, and sets all inputs of the session; `shape` is the map's.
Outcome give_inputs(const Arguments& arguments, Session* session, const std::string& model, Shape* shape);

}  // namespace bitsr
