// --dump-layers: the results of the ops of our programs as files, and the table of them.
#pragma once

#include <string>

#include "files.h"

namespace bitsr {

class LayerDump {
 public:
  // Makes the folder where it is missing.
  explicit LayerDump(std::string folder);
  // For RunHooks::result; the first failure is kept.
  void add(int32_t partition, int32_t op, const char* name, int32_t output, const StridedView& result);
  // Writes layers.tsv, last.
  Outcome finish();

 private:
  std::string folder_;
  std::string table_ = "index\tkind\tname\tshape\tfile\n";
  int32_t count_ = 0;
  Outcome first_failure_;
};

}  // namespace bitsr
