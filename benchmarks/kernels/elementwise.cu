// Passes that treat every value alike: constants, sums of matrices, a row added to all, rows left out, dropout. Memory
// bounds them: beside each a copy of as many bytes. Each is checked in double on its first and its last rows.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <dream/kernels/dense.cuh>
#include <dream/kernels/dropout.cuh>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

/// Runs the pass once more and compares y with expected(i, j, what y had there before) on its first and its last rows.
template <class Run, class Expected>
void check_pass(Context<Cuda>& context, MatrixView<const float> y, const Run& run, const Expected& expected) {
  at_both_ends(y.rows, [&](index_t first, index_t rows) {
    const HostRows before(context, y, first, rows);
    run();
    const HostRows after(context, y, first, rows);
    Difference difference;
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < y.cols; ++j) difference.add(after(i, j), expected(first + i, j, before(i, j)));
    difference.expect_below(1e-6, "Y");
  });
}

Work fill_values(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<float> y = inputs->matrix(n, d);
  const auto run = [=, &context] { launch<kernels::Fill<float>>(context, {0.375F, y}); };
  return memory_bound(inputs, 4.0 * n * d, run,
                      [=, &context] { check_pass(context, y, run, [](index_t, index_t, double) { return 0.375; }); });
}

Work axpby(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> x = inputs->uniform(n, d);
  const MatrixView<float> y = inputs->uniform(n, d);
  const float scale = 0.5F;
  const float* scale_there = inputs->copied<float>(std::span(&scale, 1)).data;
  const auto run = [=, &context] { launch<kernels::Axpby<float>>(context, {3.0F, scale_there, x, 0.25F, y}); };
  return memory_bound(inputs, 12.0 * n * d, run, [=, &context] {
    const auto from = on_host(context, x.data, x.size());
    check_pass(context, y, run, [&](index_t i, index_t j, double before) {
      return 1.5 * static_cast<double>(from[static_cast<std::size_t>(std::int64_t{i} * d + j)]) + 0.25 * before;
    });
  });
}

Work add_to_rows(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> b = inputs->uniform(1, d);
  const MatrixView<float> y = inputs->uniform(n, d);
  const auto run = [=, &context] { launch<kernels::AddToRows<float>>(context, {b, y}); };
  return memory_bound(inputs, 8.0 * n * d + 4.0 * d, run, [=, &context] {
    const HostRows added(context, b, 0, 1);
    check_pass(context, y, run, [&](index_t, index_t j, double before) { return before + added(0, j); });
  });
}

Work masked_axpby(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> x = inputs->uniform(n, d);
  const MatrixView<float> y = inputs->uniform(n, d);
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(n));
  double kept = 0;
  for (std::size_t i = 0; i < keep.size(); ++i) kept += keep[i] = i % 7 == 3 ? 0 : 1;
  const VectorView<const std::uint8_t> keep_there = inputs->copied<std::uint8_t>(keep);
  const auto run = [=, &context] { launch<kernels::MaskedAxpby<float>>(context, {keep_there, x, 0.5F, y}); };
  return memory_bound(inputs, 8.0 * n * d + 4.0 * kept * d + n, run, [=, &context] {
    const auto from = on_host(context, x.data, x.size());
    check_pass(context, y, run, [&](index_t i, index_t j, double before) {
      const double value = static_cast<double>(from[static_cast<std::size_t>(std::int64_t{i} * d + j)]);
      return (i % 7 == 3 ? 0 : value) + 0.5 * before;
    });
  });
}

Work dropout(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> x = inputs->uniform(n, d, 0.5F, 1);
  const MatrixView<float> y = inputs->matrix(n, d);
  const std::uint32_t step = 5;
  kernels::DropoutMask mask;
  mask.seed = 999;
  mask.stream = 2;
  mask.threshold = std::uint32_t{1} << 30;  // a quarter is dropped
  mask.step_at = inputs->copied<std::uint32_t>(std::span(&step, 1)).data;
  const float scale = 1 / 0.75F;
  const auto run = [=, &context] { launch<kernels::DropValues<float>>(context, {mask, scale, x, 0.0F, y}); };
  return memory_bound(inputs, 8.0 * n * d, run, [=, &context] {
    at_both_ends(n, [&](index_t first, index_t rows) {
      const HostRows from(context, x, first, rows), found(context, y, first, rows);
      Difference difference;
      double kept = 0;
      for (index_t i = 0; i < rows; ++i)
        for (index_t j = 0; j < d; ++j) {
          const RandomBlock words = mask.words(step, first + i, j / mask.unit * mask.unit, d);
          const bool keeps = words.word[j % mask.unit] >= mask.threshold;
          difference.add(found(i, j), keeps ? from(i, j) / 0.75 : 0);
          kept += found(i, j) != 0;
        }
      difference.expect_below(1e-6, "Y");
      const double share = kept / rows / d;
      DREAM_EXPECT(std::abs(share - 0.75) < 0.02, "the share that is kept is ", share);
    });
  });
}

}  // namespace

void add_elementwise_cases() {
  struct Pass {
    const char* name;
    Work (*prepare)(index_t rows, index_t cols);
  };
  struct Shape {
    index_t rows, cols;
  };
  for (const Pass pass : {Pass{"fill", fill_values}, Pass{"axpby", axpby}, Pass{"add_to_rows", add_to_rows},
                          Pass{"masked_axpby", masked_axpby}, Pass{"dropout", dropout}})
    for (const Shape s : {Shape{2048, 64}, Shape{8192, 64}, Shape{65536, 64}, Shape{1 << 20, 64}})
      add_case(std::string(pass.name) + "/" + std::to_string(s.rows) + "x" + std::to_string(s.cols), {"dream", "copy"},
               [pass, s] { return pass.prepare(s.rows, s.cols); });
}

}  // namespace dream_benchmarks
