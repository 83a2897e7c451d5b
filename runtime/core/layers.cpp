#include "layers.h"

#include <cmath>

namespace bitsr {
namespace {

// Copies `rows` rows of `count` floats to rows of `stride` floats; the rest stays 0.
bool copy_rows(const void* from, int32_t rows, int32_t count, int32_t stride, Buffer* to) {
  if (!from) return true;
  size_t size;
  if (!multiply(static_cast<size_t>(rows) * 4, static_cast<size_t>(stride), &size) || !to->reserve(size)) return false;
  for (int32_t r = 0; r < rows; ++r)
    memcpy(to->as<float>() + static_cast<size_t>(r) * stride,
           static_cast<const uint8_t*>(from) + static_cast<size_t>(r) * count * 4, static_cast<size_t>(count) * 4);
  return true;
}

// accumulator = dot_offset - 2 * popcount. Padded taps read bits 0, so they count the 1 bits of their weights: the
// table adds these back and leaves the padded taps out of K.
void fill_dot_offset(const uint64_t* weights, BinaryConv2dLayer* layer) {
  const int32_t k = layer->kernel_size, taps = k * k;
  for (int32_t plane = 0; plane < layer->planes; ++plane)
    for (int32_t o = 0; o < layer->out_channels; ++o) {
      int32_t ones[9];
      for (int32_t tap = 0; tap < taps; ++tap) {
        const uint64_t* word =
            weights + ((static_cast<size_t>(plane) * layer->out_channels + o) * taps + tap) * layer->words;
        ones[tap] = 0;
        for (int32_t w = 0; w < layer->words; ++w) {
          uint64_t value;
          memcpy(&value, word + w, 8);
          ones[tap] += __builtin_popcountll(value);
        }
      }
      for (int32_t border = 0; border < kBorderClasses; ++border) {
        const int32_t row = border / 4, column = border % 4;
        int32_t offset = 0;
        for (int32_t tap = 0; tap < taps; ++tap) {
          const int32_t y = tap / k, x = tap % k;
          const bool padded = k == 3 && ((y == 0 && (row & 1)) || (y == 2 && (row & 2)) || (x == 0 && (column & 1)) ||
                                         (x == 2 && (column & 2)));
          offset += padded ? 2 * ones[tap] : layer->in_channels;
        }
        layer->dot_offset
            .as<int32_t>()[((static_cast<size_t>(row) * layer->planes + plane) * 4 + column) * layer->out_stride + o] =
            offset;
      }
    }
}

bool prepare_binary_conv2d(const OpSpec& spec, const ValueSpec& x, const RowKernels& kernels,
                           BinaryConv2dLayer* layer) {
  layer->in_channels = x.channels;
  layer->in_stride = round_up_lanes(x.channels);
  layer->out_channels = spec.attributes[binary_conv2d::kOutChannels];
  layer->out_stride = round_up_lanes(layer->out_channels);
  layer->kernel_size = spec.attributes[binary_conv2d::kKernelSize];
  layer->planes = spec.attributes[binary_conv2d::kPlanes];
  layer->words = (x.channels + 63) / 64;
  layer->plane_bytes = kernels.weight_bytes(layer->out_stride, layer->kernel_size, layer->words);
  const size_t outs = static_cast<size_t>(layer->out_stride), planes = static_cast<size_t>(layer->planes);
  if (!layer->threshold.reserve(static_cast<size_t>(layer->in_stride) * 4) ||
      !layer->weights.reserve(planes * layer->plane_bytes) ||
      !layer->dot_offset.reserve(kBorderClasses * planes * outs * 4) || !layer->shift.reserve(outs * 4))
    return false;
  float* threshold = layer->threshold.as<float>();
  for (int32_t c = 0; c < layer->in_stride; ++c) threshold[c] = INFINITY;
  if (spec.constants[binary_conv2d::kThresholds].data)
    memcpy(threshold, spec.constants[binary_conv2d::kThresholds].data, static_cast<size_t>(x.channels) * 4);
  // The blob's constants need no alignment: work on an aligned copy.
  const Constant& bits = spec.constants[binary_conv2d::kWeights];
  Buffer aligned;
  if (!aligned.reserve(bits.bytes)) return false;
  memcpy(aligned.as<uint8_t>(), bits.data, bits.bytes);
  const uint64_t* words = aligned.as<uint64_t>();
  const size_t plane_words = bits.bytes / 8 / planes;
  for (int32_t plane = 0; plane < layer->planes; ++plane)
    kernels.pack_weights(words + plane * plane_words, layer->out_channels, layer->out_stride, layer->kernel_size,
                         layer->words, layer->weights.as<uint8_t>() + plane * layer->plane_bytes);
  fill_dot_offset(words, layer);
  const Constant* c = spec.constants;
  const int32_t out = layer->out_channels, stride = layer->out_stride;
  return copy_rows(c[binary_conv2d::kScale].data, layer->planes, out, stride, &layer->scale) &&
         copy_rows(c[binary_conv2d::kShift].data, 1, out, stride, &layer->shift) &&
         copy_rows(c[binary_conv2d::kInnerSlope].data, 1, out, stride, &layer->inner_slope) &&
         copy_rows(c[binary_conv2d::kInnerShift].data, 1, out, stride, &layer->inner_shift) &&
         copy_rows(c[binary_conv2d::kSlope].data, 1, out, stride, &layer->slope);
}

bool prepare_channel_gate(const OpSpec& spec, const ValueSpec& x, ChannelGateLayer* layer) {
  layer->channels = x.channels;
  layer->hidden = spec.attributes[channel_gate::kHidden];
  layer->outputs = spec.attributes[channel_gate::kOutputCount];
  layer->linear = spec.attributes[channel_gate::kLinearCount];
  const Constant* c = spec.constants;
  return copy_rows(c[channel_gate::kW1].data, layer->hidden, layer->channels, layer->channels, &layer->w1) &&
         copy_rows(c[channel_gate::kB1].data, 1, layer->hidden, layer->hidden, &layer->b1) &&
         copy_rows(c[channel_gate::kW2].data, layer->outputs, layer->hidden, layer->hidden, &layer->w2) &&
         copy_rows(c[channel_gate::kB2].data, 1, layer->outputs, layer->outputs, &layer->b2) &&
         layer->mean.reserve(static_cast<size_t>(layer->channels) * 4) &&
         layer->hidden_values.reserve(static_cast<size_t>(layer->hidden) * 4) &&
         layer->values.reserve(static_cast<size_t>(layer->outputs) * 4);
}

bool prepare_spatial_gate(const OpSpec& spec, const ValueSpec& x, SpatialGateLayer* layer) {
  layer->kernel_size = spec.attributes[spatial_gate::kKernelSize];
  layer->stride = round_up_lanes(x.channels);
  memcpy(&layer->bias, spec.constants[spatial_gate::kBias].data, 4);
  return copy_rows(spec.constants[spatial_gate::kWeight].data, layer->kernel_size * layer->kernel_size, x.channels,
                   layer->stride, &layer->weight);
}

bool prepare_quantized_spatial_gate(const OpSpec& spec, const ValueSpec& x, QuantizedSpatialGateLayer* layer) {
  layer->kernel_size = spec.attributes[quantized_spatial_gate::kKernelSize];
  layer->stride = round_up_lanes(x.channels);
  layer->negative = static_cast<float>(spec.attributes[quantized_spatial_gate::kNegative]);
  layer->positive = static_cast<float>(spec.attributes[quantized_spatial_gate::kPositive]);
  memcpy(&layer->scale, spec.constants[quantized_spatial_gate::kScale].data, 4);
  memcpy(&layer->bias, spec.constants[quantized_spatial_gate::kBias].data, 4);
  const int32_t taps = layer->kernel_size * layer->kernel_size;
  const auto stride = static_cast<size_t>(layer->stride);
  if (!layer->weight.reserve(static_cast<size_t>(taps) * stride * 2) || !layer->inverse_step.reserve(stride * 4))
    return false;
  for (int32_t c = 0; c < layer->stride; ++c)
    memcpy(layer->inverse_step.as<float>() + c, spec.constants[quantized_spatial_gate::kInverseStep].data, 4);
  const auto* from = static_cast<const int8_t*>(spec.constants[quantized_spatial_gate::kWeight].data);
  int16_t* to = layer->weight.as<int16_t>();
  for (int32_t tap = 0; tap < taps; ++tap)
    for (int32_t c = 0; c < x.channels; ++c) to[tap * layer->stride + c] = from[tap * x.channels + c];
  return true;
}

bool prepare_quantized_conv2d(const OpSpec& spec, const ValueSpec& x, const RowKernels& kernels,
                              QuantizedConv2dLayer* layer) {
  layer->in_channels = x.channels;
  layer->out_channels = spec.attributes[quantized_conv2d::kOutChannels];
  layer->out_stride = round_up_lanes(layer->out_channels);
  layer->kernel_size = spec.attributes[quantized_conv2d::kKernelSize];
  layer->negative = static_cast<float>(spec.attributes[quantized_conv2d::kNegative]);
  layer->positive = static_cast<float>(spec.attributes[quantized_conv2d::kPositive]);
  const Constant* c = spec.constants;
  const int32_t out = layer->out_channels, stride = layer->out_stride;
  size_t weights;
  if (!multiply(kernels.quantized_weight_count(layer->in_channels, stride, layer->kernel_size), 2, &weights) ||
      !layer->weights.reserve(weights) || !layer->bias.reserve(kBorderClasses * static_cast<size_t>(stride) * 4))
    return false;
  const size_t count = static_cast<size_t>(out) * layer->kernel_size * layer->kernel_size * layer->in_channels;
  Buffer canonical;
  if (!canonical.reserve(count * sizeof(int16_t))) return false;
  const Levels levels(c[quantized_conv2d::kWeight], count);
  for (size_t i = 0; i < count; ++i) canonical.as<int16_t>()[i] = levels[i];
  kernels.pack_quantized_weights({canonical.as<int16_t>(), layer->in_channels, out, stride, layer->kernel_size,
                                  spec.attributes[quantized_conv2d::kPositive]},
                                 layer->weights.as<int16_t>());
  const int32_t classes = spec.attributes[quantized_conv2d::kBorderClasses];
  for (int32_t border = 0; border < kBorderClasses; ++border)
    memcpy(layer->bias.as<float>() + static_cast<size_t>(border) * stride,
           static_cast<const uint8_t*>(c[quantized_conv2d::kBias].data) +
               (classes == 1 ? 0 : static_cast<size_t>(border) * out * 4),
           static_cast<size_t>(out) * 4);
  return copy_rows(c[quantized_conv2d::kInverseStep].data, 1, x.channels, x.channels, &layer->inverse_step) &&
         copy_rows(c[quantized_conv2d::kScale].data, 1, out, stride, &layer->scale) &&
         copy_rows(c[quantized_conv2d::kSlope].data, 1, out, stride, &layer->slope);
}

bool prepare_channel_norm(const OpSpec& spec, const ValueSpec& x, ChannelNormLayer* layer) {
  layer->channels = x.channels;
  layer->stride = round_up_lanes(x.channels);
  const Constant* c = spec.constants;
  memcpy(&layer->epsilon, c[channel_norm::kEpsilon].data, 4);
  return copy_rows(c[channel_norm::kWeight].data, 1, x.channels, layer->stride, &layer->weight) &&
         copy_rows(c[channel_norm::kBias].data, 1, x.channels, layer->stride, &layer->bias);
}

bool prepare_pixel_gate(const OpSpec& spec, const ValueSpec& x, PixelGateLayer* layer) {
  layer->channels = x.channels;
  layer->out_channels = spec.attributes[pixel_gate::kOutChannels];
  const int32_t stride = round_up_lanes(layer->out_channels);
  size_t size;
  if (!multiply(static_cast<size_t>(x.channels) * 4, static_cast<size_t>(stride), &size) ||
      !layer->weight.reserve(size))
    return false;
  const auto* from = static_cast<const uint8_t*>(spec.constants[pixel_gate::kWeight].data);
  for (int32_t o = 0; o < layer->out_channels; ++o)
    for (int32_t c = 0; c < x.channels; ++c, from += 4)
      memcpy(layer->weight.as<float>() + static_cast<size_t>(c) * static_cast<size_t>(stride) + o, from, 4);
  return copy_rows(spec.constants[pixel_gate::kBias].data, 1, layer->out_channels, stride, &layer->bias);
}

}  // namespace

bool prepare_layer(const OpSpec& spec, const ValueSpec& x, const RowKernels& kernels, Layer* layer) {
  layer->spec = spec;
  switch (spec.kind) {
    case OpKind::binary_conv2d:
      return prepare_binary_conv2d(spec, x, kernels, &layer->binary_conv2d);
    case OpKind::channel_gate:
      return prepare_channel_gate(spec, x, &layer->channel_gate);
    case OpKind::spatial_gate:
      return prepare_spatial_gate(spec, x, &layer->spatial_gate);
    case OpKind::quantized_spatial_gate:
      return prepare_quantized_spatial_gate(spec, x, &layer->quantized_spatial_gate);
    case OpKind::quantized_conv2d:
      return prepare_quantized_conv2d(spec, x, kernels, &layer->quantized_conv2d);
    case OpKind::channel_norm:
      return prepare_channel_norm(spec, x, &layer->channel_norm);
    case OpKind::pixel_gate:
      return prepare_pixel_gate(spec, x, &layer->pixel_gate);
    case OpKind::rescale:
      return copy_rows(spec.constants[rescale::kScale].data, 1, x.channels, round_up_lanes(x.channels),
                       &layer->rescale.scale);
    case OpKind::add:
    case OpKind::pixel_shuffle:
      return true;
  }
  return false;
}

}  // namespace bitsr
