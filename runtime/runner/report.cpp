#include "report.h"

#include "json.h"
#include "machine.h"
#include "network.h"

namespace bitsr {
namespace {

constexpr char kSchema[] = "\"schema\": 1";

std::string pair(const char* key, const std::string& value) { return json_string(key) + ": " + value; }

template <typename Items, typename Format>
std::string list(const Items& items, Format format) {
  std::string text = "[";
  for (const auto& item : items) text += (text.size() > 1 ? ", " : "") + format(item);
  return text + "]";
}

std::string shape_text(const Shape& s) {
  return list(std::vector<int64_t>{s.n, s.c, s.h, s.w}, [](int64_t side) { return std::to_string(side); });
}

std::string device_text(Isa isa, int32_t threads) {
  return "{" + pair("machine", json_string(machine_name())) + ", " + pair("processor", json_string(processor_name())) +
         ", " + pair("isa", list(available_isas(), [](Isa each) { return json_string(isa_name(each)); })) + ", " +
         pair("kernel", json_string(isa_name(isa))) + ", " + pair("threads", std::to_string(threads)) + ", " +
         pair("cores", std::to_string(core_count())) + "}";
}

std::string build_text() {
  return "{" + pair("type", json_string(BITSR_BUILD_TYPE)) + ", " + pair("compiler", json_string(compiler_name())) +
         ", " + pair("bitsr", json_string(BITSR_VERSION)) + "}";
}

std::string model_text(const Measured& m) {
  std::string text = "{" + pair("path", json_string(m.path)) + ", " + pair("bytes", std::to_string(m.info.bytes)) +
                     ", " + pair("format", m.info.format == Format::pte ? "\"pte\"" : "\"tflite\"");
  if (m.info.scale != 0)
    text += ", " + pair("scale", std::to_string(m.info.scale)) + ", " + pair("sidecar", m.info.sidecar);
  return text + "}";
}

std::string one_model(const Measured& m, int64_t peak) {
  std::string text = std::string("{") + kSchema + ",\n " + pair("model", model_text(m)) + ",\n " +
                     pair("device", device_text(m.info.isa, m.info.threads)) + ",\n " + pair("build", build_text()) +
                     ",\n " + pair("versions", "{" + pair(m.info.runtime, json_string(m.info.runtime_version)) + "}") +
                     ",\n " + pair("load_ms", json_number(m.load_ms)) + ",\n " +
                     pair("peak_rss_bytes", std::to_string(peak)) + ",\n " + pair("input_shape", shape_text(m.input));
  if (m.info.other_count != 0)
    text +=
        ",\n " + pair("other_inputs", list(std::vector<OtherInput>(m.info.others, m.info.others + m.info.other_count),
                                           [](const OtherInput& other) {
                                             return "{" + pair("dtype", json_string(type_name(other.type))) + ", " +
                                                    pair("values", std::to_string(other.count)) + "}";
                                           }));
  if (m.output.n != 0)
    text += ",\n " + pair("output_shape", shape_text(m.output)) + ",\n " + pair("first_ms", json_number(m.first_ms)) +
            ",\n " + pair("samples_ms", list(m.samples_ms, json_number)) + ",\n " +
            pair("samples_cpu_ms", list(m.samples_cpu_ms, json_number));
  if (m.profiled)
    text += ",\n " + pair("profile", list(m.profile, [](const ProfileRow& row) {
                            return "\n  {" + pair("name", json_string(row.name)) + ", " +
                                   pair("kind", json_string(row.kind)) + ", " + pair("ms", json_number(row.ms)) + "}";
                          }));
  return text + "}";
}

}  // namespace

std::string report_models(const std::vector<Measured>& measured) {
  const int64_t peak = peak_resident_bytes();
  if (measured.size() == 1) return one_model(measured[0], peak) + "\n";
  return std::string("{") + kSchema + ", " +
         pair("models", list(measured, [peak](const Measured& m) { return "\n" + one_model(m, peak); })) + "}\n";
}

std::string report_replay(const std::vector<ReplayResult>& results, Isa isa, int32_t threads) {
  return std::string("{") + kSchema + ",\n " + pair("device", device_text(isa, threads)) + ",\n " +
         pair("build", build_text()) + ",\n " +
         pair("cases", list(results,
                            [](const ReplayResult& r) {
                              return "\n  {" + pair("name", json_string(r.name)) + ", " +
                                     pair("ms", json_number(r.ms)) + ", " +
                                     pair("output_shapes", list(r.shapes, shape_text)) + "}";
                            })) +
         "}\n";
}

}  // namespace bitsr
