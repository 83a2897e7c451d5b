#include "plan.h"

#include "row_kernels.h"

namespace bitsr {
namespace {

bool same_size(const ValueSpec& a, const ValueSpec& b) {
  return a.kind == b.kind && a.channels == b.channels &&
         static_cast<int64_t>(a.up) * b.down == static_cast<int64_t>(b.up) * a.down;
}

// The input whose memory the op may overwrite with its output, element by element; kAbsent where there is none.
int32_t overwritable(const OpSpec& op, const Graph& graph, const Plan& plan, int32_t index) {
  int32_t candidates[3] = {kAbsent, kAbsent, kAbsent};
  if (op.kind == OpKind::binary_conv2d) candidates[0] = op.inputs[binary_conv2d::kResidual];
  if (op.kind == OpKind::channel_norm) candidates[0] = op.inputs[0];
  if (op.kind == OpKind::add) {
    candidates[0] = op.inputs[add::kA];
    candidates[1] = op.inputs[add::kB];
  }
  if (op.kind == OpKind::rescale) {
    candidates[0] = op.inputs[rescale::kX];
    candidates[1] = op.inputs[rescale::kGain];
    candidates[2] = op.inputs[rescale::kResidual];
  }
  for (const int32_t id : candidates)
    if (id != kAbsent && !plan.values[id].is_input && plan.values[id].last_use == index &&
        same_size(graph.values[id], graph.values[op.outputs[0]]))
      return id;
  return kAbsent;
}

// Whether the op reads `input` in whatever order a caller's memory has.
bool reads_any_layout(const OpSpec& op, const ValueSpec& input) {
  return op.kind == OpKind::pixel_shuffle || (op.kind == OpKind::quantized_conv2d && input.channels % kLaneCount != 0);
}

// Whether rows of the result need a few rows of each map alone.
bool is_local(OpKind kind) {
  return kind != OpKind::channel_gate && kind != OpKind::spatial_gate && kind != OpKind::quantized_spatial_gate;
}

// The first op of a network's end, where maps grow to the size of the result: what the first pixel shuffle there
// enlarges. In the body before it whole maps that are overwritten take less memory and time.
int32_t find_first_strip_op(const Graph& graph) {
  const int32_t count = graph.ops.count();
  int32_t first = count;
  while (first > 0 && is_local(graph.ops[first - 1].kind)) --first;
  for (int32_t i = first; i < count; ++i) {
    if (graph.ops[i].kind != OpKind::pixel_shuffle) continue;
    for (int32_t k = i; k-- > first;)
      if (graph.ops[k].outputs[0] == graph.ops[i].inputs[pixel_shuffle::kX]) return k;
    return i;
  }
  return count;
}

}  // namespace

bool make_plan(const Graph& graph, Plan* plan) {
  for (int32_t i = 0; i < graph.values.count(); ++i)
    if (!plan->values.push({kAbsent, -1, false, false, true, false})) return false;
  for (int32_t i = 0; i < graph.ops.count(); ++i) {
    const OpSpec& op = graph.ops[i];
    for (int32_t k = 0; k < op.input_count; ++k)
      if (op.inputs[k] != kAbsent) {
        plan->values[op.inputs[k]].last_use = i;
        if (!reads_any_layout(op, graph.values[op.inputs[k]])) plan->values[op.inputs[k]].any_layout = false;
      }
    for (int32_t k = 0; k < op.output_count; ++k)
      if (op.outputs[k] != kAbsent && op.kind != OpKind::pixel_shuffle) plan->values[op.outputs[k]].any_layout = false;
  }
  for (int32_t i = 0; i < graph.inputs.count(); ++i) plan->values[graph.inputs[i]].is_input = true;
  for (int32_t i = 0; i < graph.outputs.count(); ++i) {
    plan->values[graph.outputs[i]].is_output = true;
    plan->values[graph.outputs[i]].last_use = INT32_MAX;
  }

  plan->first_strip_op = find_first_strip_op(graph);

  // A slot is free when `owner` is kAbsent; `sample` is a value that lived in it and gives its size.
  struct Slot {
    int32_t owner, sample;
  };
  Array<Slot> slots;
  const auto give = [&](int32_t id) {
    for (int32_t s = 0; s < slots.count(); ++s)
      if (slots[s].owner == kAbsent && same_size(graph.values[slots[s].sample], graph.values[id])) {
        slots[s].owner = id;
        plan->values[id].slot = s;
        return true;
      }
    plan->values[id].slot = slots.count();
    return slots.push({id, id});
  };
  for (int32_t i = 0; i < graph.inputs.count(); ++i)
    if (!give(graph.inputs[i])) return false;
  for (int32_t i = 0; i < graph.ops.count(); ++i) {
    const OpSpec& op = graph.ops[i];
    const bool in_strips = i >= plan->first_strip_op;
    const int32_t overwritten = in_strips ? kAbsent : overwritable(op, graph, *plan, i);
    for (int32_t k = 0; k < op.output_count; ++k) {
      const int32_t id = op.outputs[k];
      if (id == kAbsent) continue;
      if (in_strips) {
        plan->values[id].is_window = true;
        plan->values[id].slot = slots.count();
        if (!slots.push({id, id})) return false;
      } else if (overwritten != kAbsent) {
        plan->values[id].slot = plan->values[overwritten].slot;
        slots[plan->values[id].slot].owner = id;
      } else if (!give(id)) {
        return false;
      }
    }
    // Free what dies here, outputs that nothing reads included.
    for (int32_t s = 0; s < slots.count(); ++s)
      if (slots[s].owner != kAbsent && plan->values[slots[s].owner].last_use <= i &&
          !plan->values[slots[s].owner].is_input && i < plan->first_strip_op)
        slots[s].owner = kAbsent;
  }
  plan->slot_count = slots.count();
  return true;
}

}  // namespace bitsr
