// The gates of a program: over channels, over places, over both, and over places on quantized maps.
#include "program_impl.h"

namespace bitsr {

Status Program::Impl::reserve_row_sums(const StridedView& x, int32_t channels) {
  size_t size;
  if (!multiply(static_cast<size_t>(x.h), static_cast<size_t>(round_up_lanes(channels)) * 4, &size) ||
      !row_sums.reserve(size))
    return no_memory();
  return {};
}

// The gates that directly follow the convolution whose output they read.
void Program::Impl::find_fused_gates() {
  for (int32_t i = 0; i < layer_count; ++i) {
    Layer& conv_layer = layers[i];
    if (conv_layer.spec.kind != OpKind::binary_conv2d) continue;
    for (int32_t k = i + 1; k < layer_count; ++k) {
      Layer& next = layers[k];
      const bool channel = next.spec.kind == OpKind::channel_gate, spatial = next.spec.kind == OpKind::spatial_gate;
      if ((!channel && !spatial) || next.spec.inputs[0] != conv_layer.spec.outputs[0]) break;
      if (channel) {
        conv_layer.computes_row_sums = next.row_sums_ready = true;
      } else if (conv_layer.next_spatial_gate == kAbsent) {
        conv_layer.next_spatial_gate = k;
        next.row_sums_ready = true;
      } else {
        break;
      }
    }
  }
}

Status Program::Impl::run_channel_gate(const OpSpec& op, ChannelGateLayer* layer, bool row_sums_ready) {
  const StridedView& x = value(op.inputs[0]);
  const int32_t stride = round_up_lanes(layer->channels);
  if (!row_sums_ready) {
    const Status status = reserve_row_sums(x, layer->channels);
    if (!status.ok()) return status;
    for_ranges(parallel, x.h, [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y)
        kernels->sum_row(x.data + y * x.row, x.w, stride, row_sums.as<float>() + y * stride);
    });
  }
  const float* sums = row_sums.as<float>();
  float* mean = layer->mean.as<float>();
  const float pixels = static_cast<float>(x.h * x.w);
  for (int32_t c = 0; c < layer->channels; ++c) {
    float total = sums[c];
    for (int64_t y = 1; y < x.h; ++y) total += sums[y * stride + c];
    mean[c] = total / pixels;
  }
  float* hidden = layer->hidden_values.as<float>();
  float* values = layer->values.as<float>();
  kernels->fully_connected(
      {layer->w1.as<float>(), layer->b1.as<float>(), mean, hidden, layer->channels, layer->hidden});
  for (int32_t i = 0; i < layer->hidden; ++i) hidden[i] = hidden[i] > 0.0f ? hidden[i] : 0.0f;
  kernels->fully_connected(
      {layer->w2.as<float>(), layer->b2.as<float>(), hidden, values, layer->hidden, layer->outputs});
  if (layer->linear > 0)
    memcpy(value(op.outputs[channel_gate::kLinear]).data, values, static_cast<size_t>(layer->linear) * 4);
  const int32_t rest = layer->outputs - layer->linear;
  if (rest > 0) {
    float* out = value(op.outputs[channel_gate::kSigmoid]).data;
    memcpy(out, values + layer->linear, static_cast<size_t>(rest) * 4);
    kernels->sigmoid(out, round_up_lanes(rest));
    for (int32_t c = rest; c < round_up_lanes(rest); ++c) out[c] = 0.0f;
  }
  return {};
}

Status Program::Impl::reserve_gate_sums(const StridedView& x, int32_t kernel_size) {
  size_t size;
  if (!multiply(static_cast<size_t>(x.h), static_cast<size_t>(round_up_width(x.w)) * 4, &size) ||
      !multiply(size, static_cast<size_t>(kernel_size), &size) || !gate_sums.reserve(size))
    return no_memory();
  return {};
}

void Program::Impl::sum_gate_row(const StridedView& x, const SpatialGateLayer& layer, int64_t y) const {
  const int64_t width = round_up_width(x.w);
  GateRow row = {x.data + y * x.row, layer.weight.as<float>(), layer.kernel_size, layer.stride, x.w, {}};
  for (int32_t k = 0; k < layer.kernel_size; ++k) row.sums[k] = gate_sums.as<float>() + (k * x.h + y) * width;
  kernels->gate_sums(row);
}

Status Program::Impl::run_spatial_gate(const OpSpec& op, const SpatialGateLayer& layer, bool row_sums_ready) {
  const StridedView& x = value(op.inputs[0]);
  const StridedView& out = value(op.outputs[0]);
  if (!row_sums_ready) {
    const Status status = reserve_gate_sums(x, layer.kernel_size);
    if (!status.ok()) return status;
    for_ranges(parallel, x.h, [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y) sum_gate_row(x, layer, y);
    });
  }
  const int64_t radius = layer.kernel_size / 2, width = round_up_width(x.w);
  for_ranges(parallel, x.h, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const float* sums[3] = {};
      for (int32_t k = 0; k < layer.kernel_size; ++k) {
        const int64_t source = y + k - radius;
        if (source >= 0 && source < x.h) sums[k] = gate_sums.as<float>() + (k * x.h + source) * width;
      }
      kernels->gate_finish(sums, layer.kernel_size, layer.bias, x.w, out.data + y * out.row);
    }
  });
  return {};
}

void Program::Impl::run_pixel_gate(const OpSpec& op, const PixelGateLayer& layer, Rows rows) {
  const StridedView& x = value(op.inputs[0]);
  const StridedView& out = value(op.outputs[0]);
  for_rows(parallel, rows, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      kernels->pixel_gate_row({x.data + y * x.row, layer.weight.as<float>(), layer.bias.as<float>(), x.w,
                               layer.channels, round_up_lanes(layer.channels), layer.out_channels,
                               round_up_lanes(layer.out_channels), out.data + y * out.row});
  });
}

Status Program::Impl::run_quantized_spatial_gate(const OpSpec& op, const QuantizedSpatialGateLayer& layer) {
  const StridedView& x = value(op.inputs[0]);
  const StridedView& out = value(op.outputs[0]);
  const int64_t border = layer.kernel_size / 2, row_values = (x.w + 2 * border) * layer.stride;
  size_t size;
  if (!multiply(static_cast<size_t>(x.h + 2 * border), static_cast<size_t>(row_values) * 2, &size) ||
      !quantized_map.reserve(size))
    return no_memory();
  int16_t* const rows = quantized_map.as<int16_t>();
  const auto clear = [&](int64_t first, int64_t count) { memset(rows + first, 0, static_cast<size_t>(count) * 2); };
  // The border is 0, which is a level: it adds nothing to a sum.
  clear(0, border * row_values);
  clear((x.h + border) * row_values, border * row_values);
  for_ranges(parallel, x.h, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const int64_t first = (y + border) * row_values;
      clear(first, border * layer.stride);
      clear(first + (x.w + border) * layer.stride, border * layer.stride);
      kernels->quantize_row({x.data + y * x.row, x.w, layer.stride, layer.inverse_step.as<float>(), layer.negative,
                             layer.positive, rows + first + border * layer.stride});
    }
  });
  for_ranges(parallel, x.h, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      QuantizedGateRow row = {{},         layer.weight.as<int16_t>(), layer.kernel_size, layer.stride, x.w, layer.scale,
                              layer.bias, out.data + y * out.row};
      for (int32_t k = 0; k < layer.kernel_size; ++k) row.x[k] = rows + (y + k) * row_values;
      kernels->quantized_gate_row(row);
    }
  });
  return {};
}

}  // namespace bitsr
