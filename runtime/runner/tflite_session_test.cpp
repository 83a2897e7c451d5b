// Session over LiteRT as an application sees it: which output there is. The environment variables name the .tflite
// (BITSR_TEST_MODEL; its scale is 2), our delegate (BITSR_TEST_DELEGATE) and LiteRT (BITSR_TEST_LITERT). Built and run
// by tests/runtime/test_runner.py.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bitsr/session.h"

namespace {

using bitsr::ErrorKind;
using bitsr::Outcome;
using bitsr::RunHooks;
using bitsr::Session;
using bitsr::Shape;

constexpr const char* kVariables[] = {"BITSR_TEST_MODEL", "BITSR_TEST_DELEGATE", "BITSR_TEST_LITERT"};
constexpr Shape kSmall = {1, 3, 6, 9}, kLarge = {1, 3, 8, 10};

std::vector<float> pattern(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.c * shape.h * shape.w));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((37 * i + 11) % 256) / 255.0f;
  return values;
}

class TfliteSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    bitsr::SessionOptions options;
    options.runtime = bitsr::Runtime::framework;
    options.delegate_library = std::getenv("BITSR_TEST_DELEGATE");
    options.litert_library = std::getenv("BITSR_TEST_LITERT");
    const Outcome opened = Session::open(std::getenv("BITSR_TEST_MODEL"), options, &session);
    ASSERT_TRUE(opened.ok()) << opened.message;
    give(kSmall);
    ASSERT_TRUE(session->execute({}, &time).ok());
    expected = output_of(kSmall);
  }
  void TearDown() override { Session::destroy(session); }

  void give(const Shape& shape) { ASSERT_TRUE(session->set_input(pattern(shape).data(), shape).ok()); }
  std::vector<float> output_of(const Shape& input) {
    std::vector<float> values(static_cast<size_t>(12 * input.h * input.w));
    const Outcome got = session->get_output(values.data(), values.size());
    EXPECT_TRUE(got.ok()) << got.message;
    return values;
  }
  void expect_no_output() {
    EXPECT_EQ(0, session->output_shape().n);
    for (const Shape& input : {kSmall, kLarge}) {
      std::vector<float> values(static_cast<size_t>(12 * input.h * input.w));
      EXPECT_EQ(ErrorKind::argument, session->get_output(values.data(), values.size()).kind);
    }
  }

  Session* session = nullptr;
  bitsr::RunTime time;
  std::vector<float> expected;
};

TEST_F(TfliteSessionTest, AnInputOfAnotherSizeEndsTheOutput) {
  give(kLarge);
  expect_no_output();
  ASSERT_TRUE(session->execute({}, &time).ok());
  output_of(kLarge);
  give(kSmall);
  expect_no_output();
  ASSERT_TRUE(session->execute({}, &time).ok());
  EXPECT_EQ(expected, output_of(kSmall));
}

TEST_F(TfliteSessionTest, OtherInputsLeaveTheOutput) {
  const std::vector<float> dark(pattern(kSmall).size());
  ASSERT_TRUE(session->set_input(dark.data(), kSmall).ok());
  EXPECT_EQ(expected, output_of(kSmall));
  EXPECT_EQ(ErrorKind::argument, session->set_input(dark.data(), {1, 4, 2, 2}).kind);
  EXPECT_EQ(expected, output_of(kSmall));
}

TEST_F(TfliteSessionTest, ACancelledRunLeavesNoOutput) {
  for (int allowed = 0; allowed < 2; ++allowed) {
    int left = allowed;
    RunHooks hooks;
    hooks.context = &left;
    hooks.proceed = [](void* context) { return (*static_cast<int*>(context))-- > 0; };
    EXPECT_EQ(ErrorKind::cancelled, session->execute(hooks, &time).kind) << allowed;
    expect_no_output();
    ASSERT_TRUE(session->execute({}, &time).ok());
    EXPECT_EQ(expected, output_of(kSmall));
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (const char* variable : kVariables)
    if (std::getenv(variable) == nullptr) {
      std::fprintf(stderr, "%s is not set\n", variable);
      return 2;
    }
  return RUN_ALL_TESTS();
}
