#include <cmath>
#include <limits>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/batch_similarity_loss.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_batch_similarity_loss {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

/// Features of some entities, every seventh of them zero, and a batch with repetitions.
template <class T>
struct Targets {
  KernelMatrix<T> features, inverse;
  std::vector<index_t> rows;

  Targets(index_t batch, index_t cols, Layout layout = {}, double scale = 1, index_t entities = 60)
      : features(KernelMatrix<T>::random(entities, cols, 1, layout, scale)), inverse(1, entities) {
    for (index_t i = 3; i < entities; i += 7)
      for (index_t j = 0; j < cols; ++j) features(i, j) = 0;
    inverse.fill([&](auto, index_t i) {
      double sum = 0;
      for (index_t j = 0; j < cols; ++j) sum += features.at(i, j) * features.at(i, j);
      return sum > 0 ? 1 / std::sqrt(sum) : 0;
    });
    const RandomStream random{2};
    for (index_t k = 0; k < batch; ++k)
      rows.push_back(
          static_cast<index_t>(random.below(static_cast<std::uint64_t>(k), static_cast<std::uint64_t>(entities))));
  }
  VectorView<const index_t> batch() const { return {rows.data(), static_cast<std::int64_t>(rows.size())}; }
  /// Row k of the batch, divided by its norm.
  double c(index_t k, index_t j) const {
    const index_t row = rows[static_cast<std::size_t>(k)];
    return features.at(row, j) * inverse.at(0, row);
  }
  double cosine(index_t k, index_t l) const {
    double sum = 0;
    for (index_t j = 0; j < features.cols(); ++j) sum += c(k, j) * c(l, j);
    return sum;
  }
};

template <class T>
double sampled_norm(Targets<T>& t, std::uint32_t step, bool from_memory) {
  double out = std::nan("");
  std::uint32_t step_in_memory = step;
  KernelMatrix<double> workspace(1, static_cast<index_t>(sampled_target_norm_workspace()));
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    sampled_target_norm(context,
                        SampledTargetNormArguments<T>{
                            {use.input(t.features.view()), use.input(t.inverse.vector()).data, use.input(t.batch()), 42,
                             from_memory ? 0 : step, from_memory ? use.input(&step_in_memory, 1) : nullptr},
                            use.output(&out, 1),
                            use.output(workspace.vector()).data});
  });
  REQUIRE(report.text() == "");
  return out;
}

/// The same pairs as on the host, by the definition.
template <class T>
double expected_norm(const Targets<T>& t, std::uint32_t step) {
  const std::uint64_t b = t.rows.size();
  double diagonal = 0, sum = 0;
  for (const index_t row : t.rows) diagonal += t.inverse.at(0, row) > 0 ? 1 : 0;
  if (b < 2) return diagonal;
  const RandomStream random{42, RandomUse::estimate, step};
  for (std::uint64_t p = 0; p < 1024; ++p) {
    const RandomBlock block = random.block(p);
    const std::uint64_t i = to_below(block.low(), b);
    std::uint64_t k = to_below(block.high(), b - 1);
    if (k >= i) ++k;
    const double cosine = t.cosine(static_cast<index_t>(i), static_cast<index_t>(k));
    sum += cosine * cosine;
  }
  return diagonal + sum / 1024 * static_cast<double>(b) * static_cast<double>(b - 1);
}

struct Combined {
  float loss, slope;
};
Combined combine(double gram, double cross, double constant, index_t rows, bool root) {
  Combined found{std::nanf(""), std::nanf("")};
  double squares[] = {gram, cross};
  const auto report = check_kernel<CombineSimilarity<float>>([&](KernelBuffers& use) {
    return CombineSimilarity<float>::Params{use.input(squares, 2),      use.input(&constant, 1),    rows, root,
                                            use.output(&found.loss, 1), use.output(&found.slope, 1)};
  });
  REQUIRE(report.text() == "");
  return found;
}

/// |A A^T - C C^T|^2 by the definition.
double naive_squares(const KernelMatrix<double>& a, const Targets<double>& t) {
  double sum = 0;
  for (index_t i = 0; i < a.rows(); ++i)
    for (index_t k = 0; k < a.rows(); ++k) {
      double product = 0;
      for (index_t j = 0; j < a.cols(); ++j) product += a.at(i, j) * a.at(k, j);
      sum += (product - t.cosine(i, k)) * (product - t.cosine(i, k));
    }
  return sum;
}
double naive_loss(const KernelMatrix<double>& a, const Targets<double>& t, bool root) {
  const double squares = naive_squares(a, t);
  return root ? std::sqrt(squares) / a.rows() : squares / (a.rows() * a.rows());
}

}  // namespace

TEMPLATE_TEST_CASE("Rows are gathered and scaled, whole batches and parts of them", "", float, double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes) {
    const Layout in = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
    const bool scales = turn % 3 != 0;
    Targets<T> t(s.rows, s.cols, in);
    KernelMatrix<T> y(s.rows, s.cols, out);
    const index_t first = turn % 2 == 0 ? 0 : s.rows / 2;
    const auto report = check_kernel<GatherFeatures<T>>([&](KernelBuffers& use) {
      const VectorView<const index_t> rows = use.input(t.batch());
      return typename GatherFeatures<T>::Params{use.input(t.features.view()),
                                                scales ? use.input(t.inverse.vector()).data : nullptr,
                                                {rows.data + first, rows.size - first},
                                                use.output(y.view()).middle_rows(first, s.rows - first)};
    });
    REQUIRE(report.text() == "");
    // One product.
    require_near(
        y,
        [&](index_t k, index_t j) {
          if (k < first) return std::nan("");
          return scales ? t.c(k, j) : t.features.at(t.rows[static_cast<std::size_t>(k)], j);
        },
        rounding<T>);
    ++turn;
  }
}

TEMPLATE_TEST_CASE("The sampled norm of the targets takes the host's pairs and the exact diagonal", "", float, double) {
  using T = TestType;
  const MatrixShape shapes[] = {{0, 64},   {1, 64},    {2, 3},    {31, 1},  {33, 65},
                                {128, 31}, {257, 100}, {5, 4096}, {40, 256}};
  std::uint32_t turn = 0;
  for (const MatrixShape& s : shapes) {
    Targets<T> t(s.rows, s.cols, layouts[turn % 4]);
    const double found = sampled_norm(t, turn, turn % 2 == 1), expected = expected_norm(t, turn);
    CAPTURE(s.rows, s.cols, found, expected);
    // Each factor is rounded; sums are in double.
    REQUIRE(std::abs(found - expected) <= (4 * rounding<T> + 1e-12) * expected);
    ++turn;
  }
}

TEST_CASE("The sampled norm does not overflow with the features, and NaN stays") {
  Targets<float> t(40, 50, {}, 1e30);
  REQUIRE(sampled_norm(t, 0, false) == Approx(expected_norm(t, 0)).epsilon(1e-6));  // factors rounded to float
  for (index_t i = 0; i < 60; ++i) t.features(i, 7) = std::nanf("");
  REQUIRE(std::isnan(sampled_norm(t, 0, false)));
}

TEST_CASE("The sampled norm has no bias") {
  Targets<double> t(30, 4);
  double exact = 0, mean = 0;
  for (index_t i = 0; i < 30; ++i)
    for (index_t k = 0; k < 30; ++k) exact += t.cosine(i, k) * t.cosine(i, k);
  constexpr std::uint32_t steps = 20;
  std::vector<double> workspace(static_cast<std::size_t>(sampled_target_norm_workspace()));
  Context<Emulated> context;
  for (std::uint32_t step = 0; step < steps; ++step) {
    double out = 0;
    sampled_target_norm(
        context,
        SampledTargetNormArguments<double>{
            {t.features.view(), t.inverse.vector().data, t.batch(), 42, step, nullptr}, &out, workspace.data()});
    mean += out / steps;
  }
  // 20,480 squares of cosines between 0 and 1: a standard deviation of at most 870 * 0.5 / 143.
  REQUIRE(std::abs(mean - exact) < 4 * 870 * 0.5 / 143);
}

TEST_CASE("Loss and slope of S3 are combined as the host does, with zero as the least sum and NaN kept") {
  const auto near = [](double a, double b) { return std::abs(a - b) <= 2e-7 * std::abs(b); };  // rounded to float
  REQUIRE(near(combine(10, 3, 5, 4, false).loss, 9.0 / 16));
  REQUIRE(near(combine(10, 3, 5, 4, false).slope, 4.0 / 16));
  REQUIRE(near(combine(10, 3, 5, 4, true).loss, 3.0 / 4));
  REQUIRE(near(combine(10, 3, 5, 4, true).slope, 2.0 / (3 * 4)));
  REQUIRE(combine(1, 3, 5, 4, false).loss == 0);
  REQUIRE(combine(1, 3, 2, 4, false).loss == 0);
  REQUIRE(near(combine(1, 3, 2, 4, false).slope, 0.25));
  REQUIRE(combine(1, 3, 2, 4, true).loss == 0);
  REQUIRE(combine(1, 3, 2, 4, true).slope == 0);
  REQUIRE(std::isnan(combine(std::nan(""), 3, 5, 4, false).loss));
  REQUIRE(std::isnan(combine(1, 3, std::nan(""), 4, true).loss));
  REQUIRE(std::isnan(combine(1, 3, std::nan(""), 4, true).slope));
  REQUIRE(combine(0, 0, 0, 0, false).loss == 0);
  REQUIRE(combine(0, 0, 0, 0, false).slope == 0);
}

TEST_CASE("The trace form has the value and the gradient of the similarities, in both forms") {
  for (const bool root : {false, true})
    for (const MatrixShape& s : {MatrixShape{1, 3}, MatrixShape{9, 5}, MatrixShape{33, 16}}) {
      const index_t b = s.rows, d = s.cols, features = 21;
      Targets<double> t(b, features);
      auto a = KernelMatrix<double>::random(b, d, 3);
      KernelMatrix<double> target(b, features), gram(d, d), cross(features, d), da(b, d), loss(1, 1), slope(1, 1);
      Context<Emulated> context;
      launch<GatherFeatures<double>>(context, {t.features.view(), t.inverse.vector().data, t.batch(), target.view()});
      // What a library of dense products would do.
      gram.fill([&](index_t i, index_t j) {
        double sum = 0;
        for (index_t k = 0; k < b; ++k) sum += a.at(k, i) * a.at(k, j);
        return sum;
      });
      cross.fill([&](index_t i, index_t j) {
        double sum = 0;
        for (index_t k = 0; k < b; ++k) sum += target.at(k, i) * a.at(k, j);
        return sum;
      });
      da.fill([&](index_t k, index_t j) {
        double sum = 0;
        for (index_t i = 0; i < d; ++i) sum += a.at(k, i) * gram.at(i, j);
        for (index_t i = 0; i < features; ++i) sum -= target.at(k, i) * cross.at(i, j);
        return sum;
      });
      double constant = 0;
      for (index_t i = 0; i < b; ++i)
        for (index_t k = 0; k < b; ++k) constant += t.cosine(i, k) * t.cosine(i, k);
      KernelMatrix<double> workspace(1, static_cast<index_t>(combine_similarity_workspace()));
      const auto report = check_kernels([&](Context<Emulated>& emulated, KernelBuffers& use) {
        const double* constant_in_memory = use.input(&constant, 1);
        double* slope_in_memory = use.output(slope.view()).data;
        const MatrixView<double> gradient = use.output(da.view());
        combine_similarity(emulated,
                           CombineSimilarityArguments<double>{use.input(gram.view()), use.input(cross.view()),
                                                              constant_in_memory, b, root, use.output(loss.view()).data,
                                                              slope_in_memory, use.output(workspace.vector()).data});
        launch<Axpby<double>>(emulated, {1, slope_in_memory, gradient, 0, gradient});
      });
      REQUIRE(report.text() == "");
      REQUIRE(loss(0, 0) == Approx(naive_loss(a, t, root)).epsilon(1e-10));  // cancellation of three sums
      constexpr double h = 1e-5;
      // Central differences: third derivatives times h^2, and rounding of a loss of about 20 over h.
      require_near(
          da,
          [&](index_t i, index_t j) {
            const double old = a(i, j);
            a(i, j) = old + h;
            const double up = naive_loss(a, t, root);
            a(i, j) = old - h;
            const double down = naive_loss(a, t, root);
            a(i, j) = old;
            return (up - down) / (2 * h);
          },
          1e-7);
    }
}

}  // namespace dream_tests::kernels_batch_similarity_loss
