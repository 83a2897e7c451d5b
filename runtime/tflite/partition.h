// One partition of a graph as one core program.
#pragma once

#include <memory>
#include <vector>

#include "../artifact/translation.h"
#include "abi.h"
#include "bitsr/builder.h"
#include "bitsr/thread_pool.h"

namespace bitsr::tflite {

struct Settings {
  Isa isa = Isa::automatic;
  int threads = 0;  // 0: what the interpreter recommends
  bool verbose = false;
  Profiler profiler;  // of every run of every partition
  Observer observer;
};

class Partition {
 public:
  // Null, after an error to the context, where the nodes make no valid program.
  static std::unique_ptr<Partition> create(TfLiteContext* context, const TfLiteDelegateParams& params,
                                           const Settings& settings, ThreadPools* pools);

  TfLiteStatus prepare(TfLiteContext* context);
  TfLiteStatus invoke(TfLiteContext* context);

 private:
  struct Destroy {
    void operator()(Program* program) const { Program::destroy(program); }
  };

  static TensorView view(const TfLiteContext* context, int tensor);
  TfLiteStatus report(TfLiteContext* context, const Status& status) const;

  std::unique_ptr<Program, Destroy> program_;
  const Settings* settings_ = nullptr;  // the delegate's, which lives longer
  std::vector<int> inputs_, outputs_;   // tensors, in the program's order
  std::vector<TensorView> input_views_, output_views_;
  std::vector<Shape> shapes_;
  std::shared_ptr<ThreadPool> pool_;  // the delegate's other partitions use it too
};

// Whether the core can run the node; `is_ours` says whether a tensor comes from a node that it runs.
bool is_plain_add(const TfLiteContext* context, const TfLiteNode* node, const TfLiteRegistration* registration,
                  const std::vector<bool>& is_ours);

}  // namespace bitsr::tflite
