// A .pte whose method is one call of our delegate.
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "core_program.h"
#include "file_status.h"
#include "flatbuffer.h"

namespace bitsr {
namespace {

// Numbers of the fields and values of ExecuTorch's schema (schema/program.fbs, file identifier ET12) that are read
// here.
enum ProgramField : unsigned { kProgramPlans = 1, kProgramInlineData = 3, kProgramSegments = 4 };
enum PlanField : unsigned {
  kPlanName,
  kPlanValues = 2,
  kPlanInputs,
  kPlanOutputs,
  kPlanChains,
  kPlanOperators,
  kPlanDelegates
};
enum ValueField : unsigned { kValueKind, kValue };
enum TensorField : unsigned { kTensorType, kTensorSizes = 2, kTensorDynamism = 8 };
enum ChainField : unsigned { kChainInstructions = 2 };
enum InstructionField : unsigned { kInstructionKind, kInstruction };
enum CallField : unsigned { kCallOf, kCallArguments };  // of a kernel and of a delegate alike
enum OperatorField : unsigned { kOperatorName };
enum DelegateField : unsigned { kDelegateId, kDelegateData };
enum DataField : unsigned { kDataPlace, kDataIndex };
enum InlineField : unsigned { kInlineBytes };
enum SegmentField : unsigned { kSegmentOffset, kSegmentBytes };

constexpr uint8_t kTensor = 5;                         // of the kinds of values
constexpr uint8_t kKernelCall = 1, kDelegateCall = 2;  // of the kinds of instructions
constexpr int8_t kUint8 = 0, kFloat32 = 6;
constexpr int8_t kStatic = 0;     // of the dynamisms: the sizes are those of every run
constexpr int8_t kInSegment = 1;  // of the places of data
constexpr size_t kRankOfMaps = 4;

constexpr std::string_view kIdentifier = "ET12", kMethod = "forward", kBackend = "BitsrBackend";
constexpr size_t kIdentifierAt = 4;
// The header in front of the tables: its name, its length, the length of the tables, where the segments begin.
constexpr std::string_view kHeader = "eh00";
constexpr size_t kHeaderAt = 8, kSegmentsAt = kHeaderAt + 16;

class Method {
 public:
  Method(const uint8_t* data, size_t size) : file_(data, size) {}

  Status open();
  const std::string& foreign() const { return foreign_; }
  Status load(Isa isa, CoreProgram* found) const;

 private:
  struct Tensor {
    int64_t sides[kRankOfMaps];
    bool is_static, is_pixels;
  };
  void call_foreign(std::string name) { foreign_ = name.empty() ? "an op without a name" : std::move(name); }
  Status find_plan();
  Status read_instruction(const FlatBuffer::Vector& instructions);
  Status find_data(size_t delegate);
  // False: it is no tensor of 4 dimensions, of float32 or uint8.
  bool tensor(int32_t value, Tensor* found) const;
  std::string_view text(size_t table, unsigned field) const {
    std::string_view found;
    file_.text(table, field, &found);
    return found;
  }

  FlatBuffer file_;
  size_t plan_ = 0;
  FlatBuffer::Vector values_;
  Tensor input_{}, output_{};
  const uint8_t* blob_ = nullptr;
  size_t blob_bytes_ = 0;
  std::string foreign_;
};

Status Method::open() {
  if (file_.size() < kHeaderAt) return damaged("first bytes");
  const std::string_view identifier(reinterpret_cast<const char*>(file_.data()) + kIdentifierAt, kIdentifier.size());
  if (identifier != kIdentifier)
    return failure(identifier > kIdentifier ? StatusCode::newer_version : StatusCode::invalid_program,
                   "it is a file of ExecuTorch's version '%s', this library reads '%s'; %s", shown(identifier).c_str(),
                   kIdentifier.data(), identifier > kIdentifier ? "update bitsr" : "export the model again");
  const Status found = find_plan();
  if (!found.ok()) return found;
  FlatBuffer::Vector chains, instructions, inputs, outputs;
  if (!file_.vector(plan_, kPlanChains, 4, &chains) || !file_.vector(plan_, kPlanValues, 4, &values_) ||
      !file_.vector(plan_, kPlanInputs, 4, &inputs) || !file_.vector(plan_, kPlanOutputs, 4, &outputs))
    return damaged("method's tables");
  if (chains.count != 1) {
    call_foreign(std::to_string(chains.count) + " chains of instructions");
    return {};
  }
  if (!file_.vector(file_.table_of(chains, 0), kChainInstructions, 4, &instructions)) return damaged("instructions");
  return read_instruction(instructions);
}

Status Method::find_plan() {
  FlatBuffer::Vector plans;
  if (!file_.vector(file_.root(), kProgramPlans, 4, &plans)) return damaged("tables");
  for (size_t i = 0; i < plans.count && plan_ == 0; ++i) {
    const size_t plan = file_.table_of(plans, i);
    if (text(plan, kPlanName) == kMethod) plan_ = plan;
  }
  return plan_ == 0 ? damaged("methods, of which none is 'forward',") : Status{};
}

// One instruction, which calls our delegate with the method's input and output, is the whole network.
Status Method::read_instruction(const FlatBuffer::Vector& instructions) {
  FlatBuffer::Vector operators, delegates, arguments, inputs, outputs;
  size_t ours = 0;
  for (size_t i = 0; i < instructions.count; ++i) {
    const size_t instruction = file_.table_of(instructions, i), call = file_.table(instruction, kInstruction);
    uint8_t kind = 0;
    uint32_t of = 0;
    if (call == 0 || !file_.number(instruction, kInstructionKind, &kind) || !file_.number(call, kCallOf, &of))
      return damaged("instructions");
    if (kind == kKernelCall) {
      file_.vector(plan_, kPlanOperators, 4, &operators);
      call_foreign(shown(text(file_.table_of(operators, of), kOperatorName)));
      return {};
    }
    if (kind != kDelegateCall) {
      call_foreign("an instruction of kind " + std::to_string(kind));
      return {};
    }
    file_.vector(plan_, kPlanDelegates, 4, &delegates);
    ours = file_.table_of(delegates, of);
    if (ours == 0) return damaged("instructions");
    if (text(ours, kDelegateId) != kBackend) {
      call_foreign(shown(text(ours, kDelegateId)));
      return {};
    }
    if (!file_.vector(call, kCallArguments, 4, &arguments)) return damaged("instructions");
  }
  file_.vector(plan_, kPlanInputs, 4, &inputs);
  file_.vector(plan_, kPlanOutputs, 4, &outputs);
  if (instructions.count != 1)
    call_foreign(std::to_string(instructions.count) + " calls of our delegate");
  else if (inputs.count != 1 || outputs.count != 1)
    call_foreign(std::to_string(inputs.count) + " inputs and " + std::to_string(outputs.count) + " outputs");
  else if (arguments.count != 2 || file_.at<int32_t>(arguments, 0) != file_.at<int32_t>(inputs, 0) ||
           file_.at<int32_t>(arguments, 1) != file_.at<int32_t>(outputs, 0))
    return damaged("delegate's arguments");
  else if (!tensor(file_.at<int32_t>(inputs, 0), &input_) || !tensor(file_.at<int32_t>(outputs, 0), &output_))
    call_foreign("an input or output that is no map of float32 or uint8");
  else
    return find_data(ours);
  return {};
}

bool Method::tensor(int32_t value, Tensor* found) const {
  const size_t entry = value < 0 ? 0 : file_.table_of(values_, static_cast<size_t>(value));
  const size_t tensor = file_.table(entry, kValue);
  uint8_t kind = 0;
  int8_t type = 0, dynamism = kStatic;
  FlatBuffer::Vector sizes;
  if (tensor == 0 || !file_.number(entry, kValueKind, &kind) || kind != kTensor ||
      !file_.number(tensor, kTensorType, &type) || (type != kFloat32 && type != kUint8) ||
      !file_.number(tensor, kTensorDynamism, &dynamism) || !file_.vector(tensor, kTensorSizes, 4, &sizes) ||
      sizes.count != kRankOfMaps)
    return false;
  for (size_t i = 0; i < kRankOfMaps; ++i) found->sides[i] = file_.at<int32_t>(sizes, i);
  found->is_static = dynamism == kStatic;
  found->is_pixels = type == kUint8;
  return true;
}

// The delegate's data lie among the tables, or in a segment behind them.
Status Method::find_data(size_t delegate) {
  const size_t reference = file_.table(delegate, kDelegateData);
  int8_t place = 0;
  uint32_t index = 0;
  if (reference == 0 || !file_.number(reference, kDataPlace, &place) || !file_.number(reference, kDataIndex, &index))
    return damaged("delegates");
  FlatBuffer::Vector entries, bytes;
  if (place != kInSegment) {
    if (!file_.vector(file_.root(), kProgramInlineData, 4, &entries) ||
        !file_.vector(file_.table_of(entries, index), kInlineBytes, 1, &bytes))
      return damaged("delegate's data");
    blob_ = file_.data() + bytes.first;
    blob_bytes_ = bytes.count;
    return {};
  }
  uint64_t base = 0, offset = 0, size = 0;
  const bool has_header = file_.size() >= kSegmentsAt + sizeof(base) &&
                          std::memcmp(file_.data() + kHeaderAt, kHeader.data(), kHeader.size()) == 0 &&
                          file_.read(kSegmentsAt, &base);
  const bool has_segment = file_.vector(file_.root(), kProgramSegments, 4, &entries) &&
                           file_.table_of(entries, index) != 0 &&
                           file_.number(file_.table_of(entries, index), kSegmentOffset, &offset) &&
                           file_.number(file_.table_of(entries, index), kSegmentBytes, &size);
  if (!has_header || !has_segment || base > file_.size() || offset > file_.size() - base ||
      size > file_.size() - base - offset)
    return damaged("segments");
  blob_ = file_.data() + base + offset;
  blob_bytes_ = size;
  return {};
}

Status Method::load(Isa isa, CoreProgram* found) const {
  Program* loaded = nullptr;
  const Status status = Program::load(blob_, blob_bytes_, isa, &loaded);
  if (!status.ok()) return status;
  OwnedProgram program(loaded);
  const int64_t* sides = input_.sides;
  Shape in{};
  if (program->input_count() != 1 || program->output_count() != 1 || sides[0] < 1 ||
      !program->input_shape(0, sides[0], 1, 1, &in).ok() || in.c != sides[1] ||
      program->input_is_pixels(0) != input_.is_pixels || program->output_is_pixels(0) != output_.is_pixels)
    return damaged("delegate's arguments");
  found->program = std::move(program);
  found->input = {sides[0], sides[1], input_.is_static ? sides[2] : 0, input_.is_static ? sides[3] : 0};
  return {};
}

}  // namespace

Status load_pte_program(const uint8_t* file, size_t size, Isa isa, CoreProgram* found) {
  *found = {};
  Method method(file, size);
  const Status status = method.open();
  if (!status.ok()) return status;
  found->foreign = method.foreign();
  return found->foreign.empty() ? method.load(isa, found) : Status{};
}

}  // namespace bitsr
