#include "measure.h"

#include "core_network.h"
#include "inputs.h"
#include "layers.h"
#include "network.h"
#include "pictures.h"

namespace bitsr {
namespace {

Outcome write_output(const Arguments& a, const Session& session) {
  const SessionInfo& info = session.info();
  const Shape shape = session.output_shape();
  std::vector<float> values(static_cast<size_t>(shape.n * shape.c * shape.h * shape.w));
  BITSR_TRY(session.get_output(values.data(), values.size()));
  if (extension(a.output) == "f32") return write_file(a.output, values.data(), values.size() * sizeof(float));
  if (shape.n != 1 || shape.c != 3)
    return failed(ErrorKind::argument, "the output has %lldx%lld maps, a .ppm takes 1x3; write a .f32",
                  static_cast<long long>(shape.n), static_cast<long long>(shape.c));
  Picture picture = {shape.w, shape.h, Bytes(values.size())};
  to_pixels(values.data(), shape.h * shape.w, {info.low, info.high}, picture.rgb.data());
  const Bytes content = format_ppm(picture);
  return write_file(a.output, content.data(), content.size());
}

void add_row(void* context, const ProfileEntry& entry) {
  static_cast<std::vector<ProfileRow>*>(context)->push_back({entry.name, entry.kind, entry.ms});
}

void add_layer(void* context, int32_t partition, int32_t op, const char* name, int32_t output,
               const StridedView& result) {
  static_cast<LayerDump*>(context)->add(partition, op, name, output, result);
}

// Runs that are looked at come last, so that they disturb no sample.
Outcome look(const Arguments& a, Session* session, Measured* m) {
  RunTime time;
  if (a.profile) {
    RunHooks hooks;
    hooks.context = &m->profile;
    hooks.profile = add_row;
    BITSR_TRY(session->execute(hooks, &time));
    m->profiled = true;
  }
  if (!a.dump_layers.empty()) {
    LayerDump dump(a.dump_layers);
    RunHooks hooks;
    hooks.context = &dump;
    hooks.result = add_layer;
    BITSR_TRY(session->execute(hooks, &time));
    BITSR_TRY(dump.finish());
  }
  return {};
}

// The program owns its process, so that the number of threads in ExecuTorch is the one of the command line.
Outcome size_pool(const Arguments& a) {
  if (a.threads == 1) return {};
  for (const ModelArgument& model : a.models) {
    if (model.runtime == Runtime::core) continue;
    Bytes content;
    Format format;
    BITSR_TRY(read_file(model.path, &content));
    if (!sniff(content.data(), content.size(), &format) || format != Format::pte) continue;
    bool in_core = false;
    if (model.runtime == Runtime::automatic) BITSR_TRY(runs_in_core(content, format, model.path, &in_core));
    if (!in_core) return set_process_threads(a.threads, a.pte.c_str());
  }
  return {};
}

}  // namespace

Outcome measure(const Arguments& a, std::vector<std::unique_ptr<Session, CloseSession>>* sessions,
                std::vector<Measured>* measured) {
  BITSR_TRY(size_pool(a));
  for (const ModelArgument& model : a.models) {
    SessionOptions options;
    options.isa = model.isa;
    options.runtime = model.runtime;
    options.threads = a.threads;
    options.delegate_library = a.delegate.c_str();
    options.litert_library = a.litert.c_str();
    options.pte_library = a.pte.c_str();
    Session* opened = nullptr;
    const Clock::time_point start = Clock::now();
    BITSR_TRY(Session::open(model.path.c_str(), options, &opened));
    sessions->emplace_back(opened);
    Measured one;
    one.load_ms = ms_since(start);
    one.path = model.path;
    one.info = opened->info();
    one.input = one.info.input;
    measured->push_back(std::move(one));
  }
  if (a.info) return {};
  for (size_t i = 0; i < sessions->size(); ++i) {
    Session* session = (*sessions)[i].get();
    Measured& m = (*measured)[i];
    BITSR_TRY(give_inputs(a, session, m.path, &m.input));
    RunTime first;
    BITSR_TRY(session->execute({}, &first));
    m.first_ms = first.ms;
    m.output = session->output_shape();
  }
  // In turns: what the machine does meanwhile hits all models alike.
  for (int32_t round = 0; round < a.warmup + a.runs; ++round)
    for (size_t i = 0; i < sessions->size(); ++i) {
      RunTime time;
      BITSR_TRY((*sessions)[i]->execute({}, &time));
      if (round < a.warmup) continue;
      (*measured)[i].samples_ms.push_back(time.ms);
      (*measured)[i].samples_cpu_ms.push_back(time.cpu_ms);
    }
  for (size_t i = 0; i < sessions->size(); ++i) BITSR_TRY(look(a, (*sessions)[i].get(), &(*measured)[i]));
  return a.output.empty() ? Outcome{} : write_output(a, *sessions->front());
}

}  // namespace bitsr
