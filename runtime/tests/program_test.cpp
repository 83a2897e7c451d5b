// What a caller can do wrong, what a run tells, and the table of instruction sets.
#include <cstring>
#include <string>

#include "random_conv.h"

namespace bitsr_test {
namespace {

TEST(Isas, NamesGoBothWays) {
  for (const Isa isa : {Isa::automatic, Isa::portable, Isa::avx2, Isa::avx512, Isa::dotprod, Isa::neon}) {
    Isa parsed = Isa::portable;
    EXPECT_TRUE(bitsr::parse_isa(bitsr::isa_name(isa), &parsed));
    EXPECT_EQ(isa, parsed);
  }
  Isa isa = Isa::avx2;
  for (const char* name : {"", "AVX2", "avx", "sse", "auto "}) EXPECT_FALSE(bitsr::parse_isa(name, &isa)) << name;
  EXPECT_FALSE(bitsr::parse_isa(nullptr, &isa));
  EXPECT_EQ(Isa::avx2, isa);
}

TEST(Isas, ListEndsWithPortable) {
  const bitsr::IsaList list = available_isas();
  std::string names;
  for (const Isa isa : list) {
    EXPECT_TRUE(bitsr::isa_available(isa)) << bitsr::isa_name(isa);
    names += (names.empty() ? "" : "|") + std::string(bitsr::isa_name(isa));
  }
  ASSERT_GE(list.count, 1);
  EXPECT_EQ(Isa::portable, list.items[list.count - 1]);
  EXPECT_EQ(names, bitsr::isa_names("|").text);
}

TEST(Isas, AutomaticIsTheFastest) {
  EXPECT_TRUE(bitsr::isa_available(Isa::automatic));
  Random random(1);
  const ConvCase test = random_conv(&random, 8, 8, 3, 1, 1, 1, 1);
  ProgramPointer program;
  ASSERT_TRUE(build(test.net, Isa::automatic, &program).ok());
  EXPECT_EQ(available_isas().items[0], program->isa());
  EXPECT_EQ(bitsr::best_isa(), program->isa());
}

TEST(Isas, UnavailableOneIsRefused) {
  Random random(1);
  const ConvCase test = random_conv(&random, 8, 8, 3, 1, 1, 1, 1);
  int refused = 0;
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::dotprod, Isa::neon}) {
    if (bitsr::isa_available(isa)) continue;
    ProgramPointer program;
    const Status status = build(test.net, isa, &program);
    EXPECT_EQ(static_cast<int>(StatusCode::unsupported_isa), static_cast<int>(status.code));
    EXPECT_NE(nullptr, std::strstr(status.message, bitsr::isa_name(isa))) << status.message;
    EXPECT_EQ(nullptr, program.get());
    ++refused;
  }
  EXPECT_GT(refused, 0);  // no processor has both NEON and AVX
}

class Arguments : public testing::Test {
 protected:
  Arguments() : test_(make()), in_(3 * 4 * 4), out_(8 * 4 * 4), residual_(8 * 4 * 4) {
    EXPECT_TRUE(build(test_.net, Isa::portable, &program_).ok());
    inputs_[0] = {in_.data(), 1, 3, 4, 4, Layout::nchw};
    inputs_[1] = {residual_.data(), 1, 8, 4, 4, Layout::nchw};
    output_ = {out_.data(), 1, 8, 4, 4, Layout::nchw};
  }
  static ConvCase make() {
    Random random(1);
    return random_conv(&random, 3, 8, 3, 1, 1, 4, 4, ConvCase::kResidual);
  }
  void expect_refused() {
    const Status status = program_->run(inputs_, &output_);
    EXPECT_EQ(static_cast<int>(StatusCode::invalid_argument), static_cast<int>(status.code)) << status.message;
    EXPECT_NE('\0', status.message[0]);
  }

  ConvCase test_;
  ProgramPointer program_;
  std::vector<float> in_, out_, residual_;
  bitsr::TensorView inputs_[2], output_;
};

TEST_F(Arguments, RightOnesAreTaken) {
  const Status status = program_->run(inputs_, &output_);
  EXPECT_TRUE(status.ok()) << status.message;
  EXPECT_EQ(2, program_->input_count());
  EXPECT_EQ(1, program_->output_count());
}

TEST_F(Arguments, NoData) {
  inputs_[0].data = nullptr;
  expect_refused();
}

TEST_F(Arguments, NoOutputData) {
  output_.data = nullptr;
  expect_refused();
}

TEST_F(Arguments, OtherChannels) {
  inputs_[0].c = 4;
  expect_refused();
}

TEST_F(Arguments, OtherSizeOfASecondInput) {
  inputs_[1].w = 3;
  expect_refused();
}

TEST_F(Arguments, OtherBatchOfTheOutput) {
  output_.n = 2;
  expect_refused();
}

TEST_F(Arguments, EmptyNegativeAndHugePictures) {
  for (const int64_t side : {int64_t{0}, int64_t{-1}, bitsr::kMaxSide + 1, INT64_MAX}) {
    inputs_[0].h = inputs_[1].h = output_.h = side;
    expect_refused();
  }
}

// A profiler hears of every op, in order, on the way in and out.
TEST_F(Arguments, ProfilerHearsEveryOp) {
  std::string heard;
  bitsr::Profiler profiler;
  profiler.context = &heard;
  profiler.begin = [](void* context, int32_t op, const char* name) {
    *static_cast<std::string*>(context) += "<" + std::to_string(op) + name;
  };
  profiler.end = [](void* context, int32_t op) { *static_cast<std::string*>(context) += std::to_string(op) + ">"; };
  ASSERT_TRUE(program_->run(inputs_, &output_, {{}, profiler, {}}).ok());
  EXPECT_EQ("<0binary_conv2d0>", heard);
}

// Size ratios below 1: the picture must be divisible.
TEST(Shapes, PicturesThatCanNotBeDivided) {
  Net net;
  const int large = net.input(ValueKind::map, 16), x = net.input(ValueKind::map, 16, 1, 2);
  net.outputs = {net.value(ValueKind::map, 16, 1, 2), net.value(ValueKind::map, 16)};
  net.ops.push_back({OpKind::add, {x, x}, {net.outputs[0]}, {}, {}});
  net.ops.push_back({OpKind::add, {large, large}, {net.outputs[1]}, {}, {}});
  ProgramPointer program;
  ASSERT_TRUE(build(net, Isa::portable, &program).ok());
  std::vector<float> a(16 * 6 * 6), b(16 * 3 * 3);
  bitsr::Shape shapes[2];
  bitsr::TensorView inputs[2] = {{a.data(), 1, 16, 6, 6, Layout::nchw}, {b.data(), 1, 16, 3, 3, Layout::nchw}};
  ASSERT_TRUE(program->output_shapes(inputs, shapes).ok());
  EXPECT_EQ(3, shapes[0].h);
  EXPECT_EQ(6, shapes[1].w);
  inputs[0].h = 5;
  EXPECT_EQ(static_cast<int>(StatusCode::invalid_argument),
            static_cast<int>(program->output_shapes(inputs, shapes).code));
}

}  // namespace
}  // namespace bitsr_test
