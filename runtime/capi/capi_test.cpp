// The C ABI as an application sees it, over all runtimes. Environment variables name the same network as .pte and
// .tflite (BITSR_TEST_PTE, BITSR_TEST_TFLITE; scale 2), one of our ops alone (BITSR_TEST_CORE_PTE,
// BITSR_TEST_CORE_TFLITE; scale 2) and the libraries (BITSR_TEST_DELEGATE, BITSR_TEST_LITERT, BITSR_TEST_PTE_LIBRARY).
// Built and run by tests/runtime/test_capi.py.
#include "bitsr/capi.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int64_t kWidth = 23, kHeight = 17, kScale = 2;
constexpr size_t kIn = size_t(3 * kWidth * kHeight), kOut = kIn * kScale * kScale;
constexpr unsigned kSeconds = 60;  // after which a child counts as hanging

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<uint8_t> picture(int seed) {
  std::vector<uint8_t> pixels(kIn);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = uint8_t((37 + 2 * seed) * i + 11 * seed);
  return pixels;
}

struct Case {
  const char *variable, *format, *runtime;
};

class Capi : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    path = variable(GetParam().variable);
    if (path.empty()) GTEST_SKIP() << GetParam().variable << " is not set";
  }
  bool core() const { return std::strcmp(GetParam().runtime, "core") == 0; }
  bool pte() const { return std::strcmp(GetParam().format, "pte") == 0; }
  bitsr_options options(int threads = 1) const {
    static const std::string delegate = variable("BITSR_TEST_DELEGATE"), litert = variable("BITSR_TEST_LITERT"),
                             pte = variable("BITSR_TEST_PTE_LIBRARY");
    bitsr_options chosen = BITSR_OPTIONS_INIT;
    chosen.threads = threads;
    chosen.delegate_library = delegate.c_str();
    chosen.litert_library = litert.c_str();
    chosen.pte_library = pte.c_str();
    chosen.runtime = core() ? "core" : "framework";
    return chosen;
  }
  bitsr_session* open(int threads = 1) const {
    const bitsr_options chosen = options(threads);
    bitsr_session* session = nullptr;
    EXPECT_EQ(BITSR_OK, bitsr_open(path.c_str(), &chosen, &session)) << bitsr_last_error();
    return session;
  }
  static bitsr_status upscale(bitsr_session* session, std::vector<uint8_t> in, std::vector<uint8_t>* out,
                              const bitsr_upscale_options* chosen = nullptr) {
    out->assign(kOut, 0);
    const bitsr_image from = {in.data(), in.size(), kWidth, kHeight, 0, 3};
    const bitsr_image to = {out->data(), out->size(), kScale * kWidth, kScale * kHeight, 0, 3};
    return bitsr_upscale(session, &from, &to, chosen);
  }
  std::string path;
};

INSTANTIATE_TEST_SUITE_P(Runtimes, Capi,
                         testing::Values(Case{"BITSR_TEST_PTE", "pte", "executorch"},
                                         Case{"BITSR_TEST_TFLITE", "tflite", "litert"},
                                         Case{"BITSR_TEST_CORE_PTE", "pte", "core"},
                                         Case{"BITSR_TEST_CORE_TFLITE", "tflite", "core"}));

TEST_P(Capi, KnowsItsArtifact) {
  bitsr_session* session = open();
  ASSERT_NE(nullptr, session);
  bitsr_info info = BITSR_INFO_INIT;
  ASSERT_EQ(BITSR_OK, bitsr_get_info(session, &info));
  EXPECT_STREQ(GetParam().format, info.format);
  EXPECT_STREQ(GetParam().runtime, info.runtime);
  EXPECT_EQ(kScale, info.scale);
  EXPECT_EQ(3, info.in_channels);
  EXPECT_EQ(1, info.threads);
  EXPECT_GT(info.receptive_field_radius, 0);
  EXPECT_EQ(int64_t(bytes_of(path).size()), info.artifact_bytes);
  EXPECT_STREQ(bitsr_best_isa(), info.isa);
  EXPECT_NE(nullptr, std::strstr(info.metadata, "\"receptive_field_radius\""));
  bitsr_close(session);
}

TEST_P(Capi, MemoryGivesWhatThePathGives) {
  bitsr_session *from_path = open(), *from_memory = nullptr;
  std::string content = bytes_of(path);
  const std::string metadata = pte() ? bytes_of(path.substr(0, path.size() - 4) + ".json") : "";
  const bitsr_options chosen = options();
  ASSERT_EQ(BITSR_OK, bitsr_open_memory(content.data(), content.size(), pte() ? metadata.c_str() : nullptr, &chosen,
                                        &from_memory))
      << bitsr_last_error();
  content.assign(content.size(), '\0');
  std::vector<uint8_t> one, other;
  ASSERT_EQ(BITSR_OK, upscale(from_path, picture(1), &one));
  ASSERT_EQ(BITSR_OK, upscale(from_memory, picture(1), &other)) << bitsr_last_error();
  EXPECT_EQ(one, other);
  bitsr_close(from_path);
  bitsr_close(from_memory);
}

TEST_P(Capi, ChangedMetadataAreRefused) {
  const std::string content = bytes_of(path);
  const std::string text = pte() ? bytes_of(path.substr(0, path.size() - 4) + ".json") : content;
  const bitsr_options chosen = options();
  for (const char* key :
       {"\"scale\"", "\"value_range\"", "\"max_pixels\"", "\"receptive_field_radius\"", "\"versions\""}) {
    // The first digit behind the key that is not 0 becomes another one: what is read is still whole and plausible.
    std::string changed = text;
    const size_t digit = changed.find_first_of("123456789", changed.find(key));
    ASSERT_NE(std::string::npos, digit) << key;
    changed[digit] = changed[digit] == '1' ? '2' : '1';
    bitsr_session* session = nullptr;
    const bitsr_status status =
        pte() ? bitsr_open_memory(content.data(), content.size(), changed.c_str(), &chosen, &session)
              : bitsr_open_memory(changed.data(), changed.size(), nullptr, &chosen, &session);
    EXPECT_EQ(BITSR_FORMAT, status) << key;
    EXPECT_EQ(nullptr, session);
    EXPECT_NE(nullptr, std::strstr(bitsr_last_error(), "export the model again")) << bitsr_last_error();
  }
}

TEST_P(Capi, OneSessionServesManyThreads) {
  constexpr int kThreads = 4, kRuns = 40;
  for (const int threads : {1, 2}) {
    bitsr_session* session = open(threads);
    std::vector<std::vector<uint8_t>> expected(kThreads);
    for (int i = 0; i < kThreads; ++i) ASSERT_EQ(BITSR_OK, upscale(session, picture(i), &expected[size_t(i)]));
    ASSERT_NE(expected[0], expected[1]);
    std::atomic<int> right{0};
    std::vector<std::thread> workers;
    for (int i = 0; i < kThreads; ++i)
      workers.emplace_back([&, i] {
        std::vector<uint8_t> out;
        for (int run = 0; run < kRuns; ++run)
          right += upscale(session, picture(i), &out) == BITSR_OK && out == expected[size_t(i)];
      });
    for (std::thread& worker : workers) worker.join();
    EXPECT_EQ(kThreads * kRuns, right.load());
    bitsr_close(session);
  }
}

TEST_P(Capi, SessionsOpenBesideRunningOnes) {
  constexpr int kRuns = 60, kOpens = 40;
  bitsr_session* session = open(2);
  std::vector<uint8_t> expected, out;
  ASSERT_EQ(BITSR_OK, upscale(session, picture(1), &expected));
  std::atomic<int> wrong{0};
  std::thread other([&] {
    std::vector<uint8_t> theirs;
    for (int i = 0; i < kOpens; ++i) {
      bitsr_session* own = open(1 + i % 2);
      wrong += upscale(own, picture(1), &theirs) != BITSR_OK || theirs != expected;
      bitsr_close(own);
    }
  });
  for (int run = 0; run < kRuns; ++run) wrong += upscale(session, picture(1), &out) != BITSR_OK || out != expected;
  other.join();
  EXPECT_EQ(0, wrong.load());
  bitsr_close(session);
}

// The child's exit code: 0 for the expected pixels, otherwise 100 and the status. A child that hangs is killed.
template <typename Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(kSeconds);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_P(Capi, AForkedChildWorksOrIsRefused) {
  bitsr_session *one = open(1), *two = open(2);
  std::vector<uint8_t> expected, out;
  ASSERT_EQ(BITSR_OK, upscale(one, picture(1), &expected));
  ASSERT_EQ(BITSR_OK, upscale(two, picture(1), &out));
  const auto code = [&](bitsr_status status) { return status != BITSR_OK ? 100 + status : out == expected ? 0 : 1; };
  EXPECT_EQ(0, in_child([&] { return code(upscale(one, picture(1), &out)); }));
  bitsr_info info = BITSR_INFO_INIT;
  ASSERT_EQ(BITSR_OK, bitsr_get_info(two, &info));
  const bool refused = info.threads > 1 && !core();
  EXPECT_EQ(refused ? 100 + BITSR_UNSUPPORTED : 0, in_child([&] { return code(upscale(two, picture(1), &out)); }));
  EXPECT_EQ(0, in_child([&] {
              bitsr_session* own = open(1);
              return code(upscale(own, picture(1), &out));
            }));
  ASSERT_EQ(BITSR_OK, upscale(two, picture(1), &out));
  EXPECT_EQ(expected, out);
  bitsr_close(one);
  bitsr_close(two);
}

TEST_P(Capi, AChildThatWasForkedInACallIsRefused) {
  struct Forking {
    Capi* test;
    bitsr_session* session;
    int code = -1;
  } forking = {this, open(), -1};
  bitsr_upscale_options chosen = BITSR_UPSCALE_OPTIONS_INIT;
  chosen.context = &forking;
  chosen.progress = [](void* context, int64_t done, int64_t) {
    auto* own = static_cast<Forking*>(context);
    if (done > 0 && own->code == -1)
      own->code = in_child([own] {
        int status = 0;  // of another thread than the one that is in the call
        std::thread([&] {
          std::vector<uint8_t> out;
          status = upscale(own->session, picture(1), &out);
        }).join();
        return 100 + status;
      });
    return 0;
  };
  std::vector<uint8_t> out;
  ASSERT_EQ(BITSR_OK, upscale(forking.session, picture(1), &out, &chosen));
  EXPECT_EQ(100 + BITSR_UNSUPPORTED, forking.code);
  bitsr_close(forking.session);
}

TEST_P(Capi, ProgressCountsAndCancels) {
  struct Seen {
    std::vector<int64_t> done;
    int64_t total = 0;
    size_t stop_at = SIZE_MAX;
  } seen;
  bitsr_upscale_options chosen = BITSR_UPSCALE_OPTIONS_INIT;
  chosen.tile_pixels = 1;  // refused: there is no room for the pixels around
  chosen.context = &seen;
  chosen.progress = [](void* context, int64_t done, int64_t total) {
    auto* own = static_cast<Seen*>(context);
    own->done.push_back(done);
    own->total = total;
    return own->done.size() >= own->stop_at ? 1 : 0;
  };
  bitsr_session* session = open();
  std::vector<uint8_t> whole, out;
  EXPECT_EQ(BITSR_ARGUMENT, upscale(session, picture(1), &out, &chosen));
  EXPECT_NE(nullptr, std::strstr(bitsr_last_error(), "allow larger tiles")) << bitsr_last_error();
  chosen.tile_pixels = 0;
  ASSERT_EQ(BITSR_OK, upscale(session, picture(1), &whole, &chosen)) << bitsr_last_error();
  EXPECT_EQ(kWidth * kHeight, seen.total);
  EXPECT_EQ(0, seen.done.front());
  EXPECT_EQ(seen.total, seen.done.back());
  const size_t calls = seen.done.size();
  for (size_t stop = 1; stop <= calls; ++stop) {
    seen = {};
    seen.stop_at = stop;
    EXPECT_EQ(BITSR_CANCELLED, upscale(session, picture(1), &out, &chosen)) << stop;
    EXPECT_EQ(stop, seen.done.size());
    ASSERT_EQ(BITSR_OK, upscale(session, picture(1), &out));
    EXPECT_EQ(whole, out);
  }
  bitsr_close(session);
}

TEST_P(Capi, ACallbackMustNotCallItsSession) {
  struct Nested {
    bitsr_session* session;
    bitsr_status status = BITSR_OK;
    std::string error;
  } nested = {open(), BITSR_OK, ""};
  bitsr_upscale_options chosen = BITSR_UPSCALE_OPTIONS_INIT;
  chosen.context = &nested;
  chosen.progress = [](void* context, int64_t, int64_t) {
    auto* own = static_cast<Nested*>(context);
    std::vector<uint8_t> out;
    own->status = upscale(own->session, picture(1), &out);
    own->error = bitsr_last_error();
    return 0;
  };
  std::vector<uint8_t> out;
  EXPECT_EQ(BITSR_OK, upscale(nested.session, picture(1), &out, &chosen));
  EXPECT_EQ(BITSR_ARGUMENT, nested.status);
  EXPECT_NE(std::string::npos, nested.error.find("callback")) << nested.error;
  bitsr_close(nested.session);
}

TEST_P(Capi, RunsAndProfilesTensors) {
  bitsr_session* session = open();
  std::vector<float> in(kIn), out(kOut), profiled(kOut);
  for (size_t i = 0; i < in.size(); ++i) in[i] = float(i % 251) / 250.0f;
  bitsr_tensor from = {in.data(), in.size() * sizeof(float), BITSR_FLOAT32, BITSR_NCHW, 4, {1, 3, kHeight, kWidth}};
  bitsr_tensor to = {out.data(), out.size() * sizeof(float), BITSR_FLOAT32, BITSR_NCHW, 4, {0, 0, 0, 0}};
  ASSERT_EQ(BITSR_OK, bitsr_run(session, &from, 1, &to)) << bitsr_last_error();
  EXPECT_EQ(3, to.shape[1]);
  EXPECT_EQ(kScale * kHeight, to.shape[2]);
  EXPECT_EQ(kScale * kWidth, to.shape[3]);
  int ours = 0;
  to.data = profiled.data();
  const auto count = [](void* context, const char*, const char* kind, double ms) {
    *static_cast<int*>(context) += std::strcmp(kind, "bitsr") == 0 && ms >= 0.0;
  };
  ASSERT_EQ(BITSR_OK, bitsr_profile(session, &from, 1, &to, count, &ours)) << bitsr_last_error();
  EXPECT_GT(ours, 1);
  EXPECT_EQ(out, profiled);
  bitsr_close(session);
}

TEST_P(Capi, WhatDoesNotFitIsRefusedWithBothSides) {
  bitsr_session* session = open();
  std::vector<float> in(kIn), out(kOut);
  const bitsr_tensor good = {in.data(), in.size() * sizeof(float), BITSR_FLOAT32, BITSR_NCHW,
                             4,         {1, 3, kHeight, kWidth}};
  const bitsr_tensor space = {out.data(), out.size() * sizeof(float), BITSR_FLOAT32, BITSR_NCHW, 4, {0, 0, 0, 0}};
  const auto refused = [&](const char* words, auto change) {
    bitsr_tensor from = good, to = space;
    int32_t count = 1;
    change(&from, &to, &count);
    EXPECT_EQ(BITSR_ARGUMENT, bitsr_run(session, &from, count, &to)) << words;
    EXPECT_NE(nullptr, std::strstr(bitsr_last_error(), words)) << bitsr_last_error();
  };
  refused("dtype 2, expected 1", [](auto* from, auto*, auto*) { from->dtype = BITSR_INT64; });
  refused("3 dimensions, expected 4", [](auto* from, auto*, auto*) { from->rank = 3; });
  refused("expected positive sides", [](auto* from, auto*, auto*) { from->shape[2] = 0; });
  refused("expected positive sides", [](auto* from, auto*, auto*) { from->shape[2] = INT64_MAX / 2; });
  refused("got memory for", [](auto* from, auto*, auto*) { from->bytes -= 4; });
  refused("at null", [](auto* from, auto*, auto*) { from->data = nullptr; });
  refused("got 1x1x51x23", [](auto* from, auto*, auto*) {
    from->shape[1] = 1;
    from->shape[2] *= 3;
  });
  refused("takes 1 inputs, got 2", [](auto*, auto*, auto* count) { *count = 2; });
  refused("(float32) in 0 (NCHW)", [](auto*, auto* to, auto*) { to->dtype = BITSR_INT64; });
  refused("got memory for", [](auto*, auto* to, auto*) { to->bytes -= 4; });
  bitsr_tensor from = good, to = space;
  EXPECT_EQ(BITSR_OK, bitsr_run(session, &from, 1, &to));

  std::vector<uint8_t> rgb = picture(1), enlarged(kOut);
  const bitsr_image read = {rgb.data(), rgb.size(), kWidth, kHeight, 0, 3};
  const bitsr_image write = {enlarged.data(), enlarged.size(), kScale * kWidth, kScale * kHeight, 0, 3};
  const auto image_refused = [&](const char* words, auto change) {
    bitsr_image one = read, other = write;
    change(&one, &other);
    EXPECT_EQ(BITSR_ARGUMENT, bitsr_upscale(session, &one, &other, nullptr)) << words;
    EXPECT_NE(nullptr, std::strstr(bitsr_last_error(), words)) << bitsr_last_error();
  };
  image_refused("5 channels", [](auto* one, auto* other) { one->channels = other->channels = 5; });
  image_refused("0x0 pixels",
                [](auto* one, auto* other) { one->width = one->height = other->width = other->height = 0; });
  image_refused("got memory for", [](auto* one, auto*) { one->bytes -= 1; });
  image_refused("got memory for", [](auto*, auto* other) { other->bytes -= 1; });
  image_refused("bytes apart", [](auto* one, auto*) { one->stride = 3 * kWidth - 1; });
  image_refused("bytes apart", [](auto*, auto* other) { other->stride = -1; });
  image_refused("expected 2 times", [](auto*, auto* other) { other->width -= 1; });
  image_refused("pointer is null", [](auto* one, auto*) { one->data = nullptr; });
  EXPECT_EQ(BITSR_ARGUMENT, bitsr_upscale(session, &read, nullptr, nullptr));
  bitsr_close(session);
}

TEST_P(Capi, TheCoreIsTakenWhereItHasAllOps) {
  const auto opened = [&](const char* runtime, std::string* used) {
    bitsr_options chosen = options();
    bitsr_session* session = nullptr;
    bitsr_info info = BITSR_INFO_INIT;
    chosen.runtime = runtime;
    const bitsr_status status = bitsr_open(path.c_str(), &chosen, &session);
    if (status == BITSR_OK && bitsr_get_info(session, &info) == BITSR_OK) *used = info.runtime;
    bitsr_close(session);
    return status;
  };
  std::string used;
  if (core()) {
    for (const char* runtime : {"auto", static_cast<const char*>(nullptr), "core"}) {
      ASSERT_EQ(BITSR_OK, opened(runtime, &used)) << bitsr_last_error();
      EXPECT_EQ("core", used);
    }
    // A program of an earlier version, which knows no runtime.
    bitsr_options shorter = options();
    shorter.size = offsetof(bitsr_options, runtime);
    bitsr_session* session = nullptr;
    EXPECT_EQ(BITSR_OK, bitsr_open(path.c_str(), &shorter, &session)) << bitsr_last_error();
    bitsr_close(session);
  }
  EXPECT_EQ(BITSR_ARGUMENT, opened("fast", &used));
  EXPECT_NE(nullptr, std::strstr(bitsr_last_error(), "expected one of auto, core")) << bitsr_last_error();
  ASSERT_EQ(BITSR_OK, opened("framework", &used)) << bitsr_last_error();
  EXPECT_EQ(pte() ? "executorch" : "litert", used);
}

TEST(Open, FailuresHaveAStatusAndAText) {
  bitsr_session* session = reinterpret_cast<bitsr_session*>(8);
  EXPECT_EQ(BITSR_FILE, bitsr_open("/nowhere/model.pte", nullptr, &session));
  EXPECT_EQ(nullptr, session);
  EXPECT_NE(nullptr, std::strstr(bitsr_last_error(), "/nowhere/model.pte"));
  EXPECT_EQ(BITSR_FORMAT, bitsr_open("/proc/self/exe", nullptr, &session));
  EXPECT_EQ(BITSR_FORMAT, bitsr_open_memory("no model at all", 15, nullptr, nullptr, &session));
  EXPECT_EQ(BITSR_ARGUMENT, bitsr_open(nullptr, nullptr, &session));
  EXPECT_EQ(BITSR_ARGUMENT, bitsr_open("x.pte", nullptr, nullptr));
  bitsr_options chosen = BITSR_OPTIONS_INIT;
  chosen.isa = "sse2";
  EXPECT_EQ(BITSR_ARGUMENT, bitsr_open("/proc/self/exe", &chosen, &session));
  chosen.isa = "auto";
  chosen.size = 0;
  EXPECT_EQ(BITSR_ARGUMENT, bitsr_open("/proc/self/exe", &chosen, &session));
  bitsr_close(nullptr);
}

// A program of an earlier version knows fewer members.
TEST(Open, ShorterStructuresAreTaken) {
  bitsr_options chosen = BITSR_OPTIONS_INIT;
  chosen.size = offsetof(bitsr_options, isa);
  chosen.isa = "nonsense behind the end";
  bitsr_session* session = nullptr;
  EXPECT_EQ(BITSR_FILE, bitsr_open("/nowhere/model.pte", &chosen, &session));
}

TEST(Error, BelongsToItsThread) {
  bitsr_session* session = nullptr;
  EXPECT_EQ(BITSR_FILE, bitsr_open("/nowhere/mine.pte", nullptr, &session));
  std::thread([] {
    bitsr_session* other = nullptr;
    EXPECT_STREQ("", bitsr_last_error());
    EXPECT_EQ(BITSR_FILE, bitsr_open("/nowhere/theirs.pte", nullptr, &other));
  }).join();
  EXPECT_NE(nullptr, std::strstr(bitsr_last_error(), "mine.pte"));
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
