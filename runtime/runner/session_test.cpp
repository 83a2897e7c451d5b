// Session as an application sees it. The model is the .pte that the environment variable BITSR_TEST_MODEL names; its
// scale is 2. Built and run by tests/runtime/test_runner.py.
#include "bitsr/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using bitsr::ErrorKind;
using bitsr::Outcome;
using bitsr::RunHooks;
using bitsr::Session;

constexpr int64_t kHeight = 6, kWidth = 9, kPixels = kHeight * kWidth;

std::string model_path() { return std::getenv("BITSR_TEST_MODEL"); }

bitsr::SessionOptions in_executorch() {
  bitsr::SessionOptions options;
  options.runtime = bitsr::Runtime::framework;
  return options;
}

class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    const Outcome opened = Session::open(model_path().c_str(), in_executorch(), &session);
    ASSERT_TRUE(opened.ok()) << opened.message;
    for (int64_t i = 0; i < 3 * kPixels; ++i) rgb.push_back(static_cast<uint8_t>(37 * i + 11));
    out.resize(static_cast<size_t>(12 * kPixels));
  }
  void TearDown() override { Session::destroy(session); }

  Outcome run(const RunHooks& hooks = {}) {
    return session->run_picture(rgb.data(), kHeight, kWidth, out.data(), out.size(), hooks);
  }

  Session* session = nullptr;
  std::vector<uint8_t> rgb, out;
};

TEST(Open, FailuresHaveAKind) {
  const auto kind_of = [](const char* path, const bitsr::SessionOptions& options) {
    Session* session = reinterpret_cast<Session*>(8);
    const Outcome outcome = Session::open(path, options, &session);
    EXPECT_EQ(nullptr, session);
    EXPECT_NE('\0', outcome.message[0]);
    return outcome.kind;
  };
  EXPECT_EQ(ErrorKind::file, kind_of("/nowhere/model.pte", {}));
  EXPECT_EQ(ErrorKind::format, kind_of("/proc/self/exe", {}));
  bitsr::SessionOptions no_threads;
  no_threads.threads = 0;
  EXPECT_EQ(ErrorKind::argument, kind_of(model_path().c_str(), no_threads));
}

TEST_F(SessionTest, KnowsItsModel) {
  EXPECT_EQ(2, session->info().scale);
  EXPECT_STREQ("executorch", session->info().runtime);
  EXPECT_NE(bitsr::Isa::automatic, session->info().isa);
  EXPECT_EQ(3, session->info().input.c);
}

TEST_F(SessionTest, APictureIsItsTensorsRounded) {
  ASSERT_TRUE(run().ok());
  std::vector<float> in(3 * kPixels), result(12 * kPixels);
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t p = 0; p < kPixels; ++p) in[c * kPixels + p] = static_cast<float>(rgb[3 * p + c]) / 255.0f;
  bitsr::RunTime time;
  ASSERT_TRUE(session->set_input(in.data(), {1, 3, kHeight, kWidth}).ok());
  ASSERT_TRUE(session->execute({}, &time).ok());
  EXPECT_GT(time.ms, 0);
  ASSERT_TRUE(session->get_output(result.data(), result.size()).ok());
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t p = 0; p < 4 * kPixels; ++p) {
      const float bounded = std::fmin(std::fmax(result[c * 4 * kPixels + p], 0.0f), 1.0f);
      ASSERT_EQ(static_cast<int>(std::floor(bounded * 255.0f + 0.5f)), out[3 * p + c]) << c << " " << p;
    }
}

TEST_F(SessionTest, ACancelledRunLeavesTheSessionUsable) {
  ASSERT_TRUE(run().ok());
  const std::vector<uint8_t> expected = out;
  for (int allowed = 0; allowed < 3; ++allowed) {
    int left = allowed;
    RunHooks hooks;
    hooks.context = &left;
    hooks.proceed = [](void* context) { return (*static_cast<int*>(context))-- > 0; };
    EXPECT_EQ(ErrorKind::cancelled, run(hooks).kind) << allowed;
    std::fill(out.begin(), out.end(), uint8_t{0});
    ASSERT_TRUE(run().ok());
    EXPECT_EQ(expected, out) << allowed;
  }
  int calls = 1000;
  RunHooks hooks;
  hooks.context = &calls;
  hooks.proceed = [](void* context) { return (*static_cast<int*>(context))-- > 0; };
  ASSERT_TRUE(run(hooks).ok());
  EXPECT_LT(calls, 998);
  EXPECT_EQ(expected, out);
}

TEST_F(SessionTest, ARunThatDoesNotSucceedLeavesNoOutput) {
  std::vector<float> values(12 * kPixels);
  bitsr::RunTime time;
  for (int allowed = 0; allowed < 3; ++allowed) {
    ASSERT_TRUE(run().ok());
    ASSERT_TRUE(session->get_output(values.data(), values.size()).ok());
    int left = allowed;
    RunHooks hooks;
    hooks.context = &left;
    hooks.proceed = [](void* context) { return (*static_cast<int*>(context))-- > 0; };
    EXPECT_EQ(ErrorKind::cancelled, session->execute(hooks, &time).kind) << allowed;
    EXPECT_EQ(0, session->output_shape().n) << allowed;
    EXPECT_EQ(ErrorKind::argument, session->get_output(values.data(), values.size()).kind) << allowed;
  }
}

TEST_F(SessionTest, AFailedRunLeavesTheSessionUsable) {
  ASSERT_TRUE(run().ok());
  const std::vector<uint8_t> expected = out;
  // The convolution at the head takes such a long line, the program after it does not.
  const int64_t width = bitsr::kMaxSide + 1;
  const std::vector<float> line(static_cast<size_t>(3 * width));
  RunHooks by_steps;
  by_steps.proceed = [](void*) { return true; };
  bitsr::RunTime time;
  for (const RunHooks& failing : {by_steps, RunHooks{}})
    for (const RunHooks& next : {by_steps, RunHooks{}}) {
      ASSERT_TRUE(session->set_input(line.data(), {1, 3, 1, width}).ok());
      EXPECT_EQ(ErrorKind::runtime, session->execute(failing, &time).kind);
      EXPECT_EQ(0, session->output_shape().n);
      std::fill(out.begin(), out.end(), uint8_t{0});
      const Outcome again = run(next);
      ASSERT_TRUE(again.ok()) << again.message;
      EXPECT_EQ(expected, out);
    }
}

TEST_F(SessionTest, StepsBelongToTheThreadThatSetTheInput) {
  ASSERT_TRUE(run().ok());
  const std::vector<uint8_t> expected = out;
  std::vector<float> in(3 * kPixels), values(12 * kPixels);
  bitsr::RunTime time;
  ASSERT_TRUE(session->set_input(in.data(), {1, 3, kHeight, kWidth}).ok());
  std::thread([&] {
    EXPECT_EQ(ErrorKind::argument, session->execute({}, &time).kind);
    EXPECT_TRUE(run().ok());
    EXPECT_EQ(expected, out);
  }).join();
  EXPECT_EQ(ErrorKind::argument, session->execute({}, &time).kind);
  EXPECT_EQ(ErrorKind::argument, session->get_output(values.data(), values.size()).kind);
  ASSERT_TRUE(session->set_input(in.data(), {1, 3, kHeight, kWidth}).ok());
  ASSERT_TRUE(session->execute({}, &time).ok());
  EXPECT_TRUE(session->get_output(values.data(), values.size()).ok());
}

TEST_F(SessionTest, ManyThreadsTakeTurns) {
  ASSERT_TRUE(run().ok());
  std::atomic<int> right{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i)
    workers.emplace_back([&] {
      std::vector<uint8_t> own(out.size());
      for (int n = 0; n < 40; ++n)
        right += session->run_picture(rgb.data(), kHeight, kWidth, own.data(), own.size(), {}).ok() && own == out;
    });
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(160, right.load());
}

// Opening a session must not touch the pool that others of the process run on.
TEST_F(SessionTest, ThePoolIsLeftAlone) {
  ASSERT_TRUE(bitsr::set_process_threads(2).ok());
  bitsr::SessionOptions several = in_executorch(), one = in_executorch();
  several.threads = 7;
  Session *shared = nullptr, *alone = nullptr;
  ASSERT_TRUE(Session::open(model_path().c_str(), several, &shared).ok());
  ASSERT_TRUE(Session::open(model_path().c_str(), one, &alone).ok());
  EXPECT_EQ(2, shared->info().threads);
  EXPECT_EQ(1, alone->info().threads);
  EXPECT_EQ(ErrorKind::argument, bitsr::set_process_threads(3).kind);
  ASSERT_TRUE(run().ok());
  for (Session* other : {shared, alone}) {
    std::vector<uint8_t> theirs(out.size());
    EXPECT_TRUE(other->run_picture(rgb.data(), kHeight, kWidth, theirs.data(), theirs.size(), {}).ok());
    EXPECT_EQ(out, theirs);
    Session::destroy(other);
  }
  EXPECT_TRUE(bitsr::set_process_threads(1).ok());
}

TEST_F(SessionTest, RefusesWhatDoesNotFit) {
  bitsr::RunTime time;
  std::vector<float> values(3 * kPixels);
  EXPECT_EQ(ErrorKind::argument, session->execute({}, &time).kind);
  EXPECT_EQ(ErrorKind::argument, session->get_output(values.data(), values.size()).kind);
  EXPECT_EQ(ErrorKind::argument, session->set_input(values.data(), {1, 4, 2, 2}).kind);
  EXPECT_EQ(ErrorKind::argument, session->run_picture(rgb.data(), 0, kWidth, out.data(), out.size(), {}).kind);
  EXPECT_EQ(ErrorKind::argument,
            session->run_picture(rgb.data(), kHeight, kWidth, out.data(), out.size() - 1, {}).kind);
  EXPECT_TRUE(run().ok());
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (std::getenv("BITSR_TEST_MODEL") == nullptr) {
    std::fprintf(stderr, "BITSR_TEST_MODEL must name a .pte\n");
    return 2;
  }
  return RUN_ALL_TESTS();
}
