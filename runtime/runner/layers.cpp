#include "layers.h"

#include <sys/stat.h>

#include <cstdio>
#include <vector>

namespace bitsr {

LayerDump::LayerDump(std::string folder) : folder_(std::move(folder)) {
  // Where it can not be made, the first file says so.
  mkdir(folder_.c_str(), 0777);
}

void LayerDump::add(int32_t partition, int32_t op, const char* name, int32_t output, const StridedView& result) {
  if (!first_failure_.ok()) return;
  first_failure_ = guarded([&] {
    std::vector<float> values(static_cast<size_t>(result.c * result.h * result.w));
    copy_dense(result, values.data());
    char file[96];
    std::snprintf(file, sizeof(file), "%04d_%s_%d.f32", count_, name, output);
    table_ += std::to_string(count_++) + "\t" + name + "\t" + std::to_string(partition) + "/" + std::to_string(op) +
              "/" + std::to_string(output) + "\t1," + std::to_string(result.c) + "," + std::to_string(result.h) + "," +
              std::to_string(result.w) + "\t" + file + "\n";
    return write_file(folder_ + "/" + file, values.data(), values.size() * sizeof(float));
  });
}

Outcome LayerDump::finish() {
  if (!first_failure_.ok()) return first_failure_;
  return write_file(folder_ + "/layers.tsv", table_.data(), table_.size());
}

}  // namespace bitsr
