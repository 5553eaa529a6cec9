#include <utility>

#include <dream/models/model_data.hpp>
#include <dream/ops/features.hpp>
#include <dream/testing/emulated.hpp>
#include <dream/testing/gradient_check.hpp>

#include "inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::ops_features {

using namespace dream;
using namespace dream_test;

namespace {

const FeatureStorage storages[] = {FeatureStorage::full, FeatureStorage::bfloat16, FeatureStorage::float16};

Matrix<double, Cpu> copied(MatrixView<const double> m) {
  Matrix<double, Cpu> out(m.rows, m.cols);
  Context<Cpu> context;
  copy<double>(context, m, out.view());
  return out;
}

template <class T>
Features<T, Cpu> stored(Context<Cpu>& context, FeatureStorage storage, Matrix<T, Cpu> values) {
  round_to_storage<T>(context, storage, values.view());
  return stored_features(context, storage, std::move(values));
}

}  // namespace

TEST_CASE("Features stored in 16 bits give back what they were rounded to, within the format's precision") {
  Context<Cpu> context;
  for (const FeatureStorage storage : storages) {
    auto values = random_matrix<float>(33, 70, 5, 4);
    const auto exact = random_matrix<float>(33, 70, 5, 4);
    round_to_storage<float>(context, storage, values.view());
    Matrix<float, Cpu> rounded(33, 70), found(33, 70);
    copy<float>(context, std::as_const(values).view(), rounded.view());
    const Features<float, Cpu> features = stored_features(context, storage, std::move(values));
    gather_features<float>(context, features.view(), {}, {}, found.view());
    // Half a unit in the last of 8 or 11 bits.
    const float relative = storage == FeatureStorage::full       ? 0.0F
                           : storage == FeatureStorage::bfloat16 ? 1.0F / 256
                                                                 : 1.0F / 2048;
    int wrong = 0;
    for (index_t i = 0; i < 33; ++i)
      for (index_t j = 0; j < 70; ++j)
        wrong += found(i, j) != rounded(i, j) ||
                 std::abs(found(i, j) - exact(i, j)) > relative * std::abs(exact(i, j)) + 3e-8F;
    CHECK(wrong == 0);
  }
}

TEST_CASE("A feature too large for 16 bits is an error that names its place") {
  Context<Cpu> context;
  Matrix<float, Cpu> values = random_matrix<float>(5, 4, 1);
  values(3, 2) = 70000;
  REQUIRE_ERROR(round_to_storage<float>(context, FeatureStorage::float16, values.view()),
                "70000 in row 3, column 2 is too large for float16");
  round_to_storage<float>(context, FeatureStorage::bfloat16, values.view());
  CHECK(values(3, 2) == 70144.0F);  // 137 * 2^9
}

TEST_CASE("A projection of features keeps the contract of an op in every storage") {
  Context<Cpu> context;
  for (const FeatureStorage storage : storages)
    for (const index_t rows : {0, 1, 33, 130}) {
      const Features<double, Cpu> features = stored(context, storage, random_matrix(rows, 19, 1));
      const auto w = random_matrix(19, 5, 2), b = random_matrix(1, 5, 3);
      FeatureProjection<double, Cpu> op(features.view());
      const OpReport report = check_op(op, {w.view(), b.view()}, {.entries = 8});
      INFO(rows << " rows: " << report.text());
      CHECK(report.ok());
    }
}

TEST_CASE("A projection of features that are expanded in pieces is that of the values, on the host and by kernels",
          "[exhaustive]") {
  Context<Cpu> context;
  Context<Emulated> emulated;
  // Pieces hold 2^22 values: three of them, the last one short.
  const index_t rows = 300, cols = 1 << 15, out = 3;
  const auto values = random_matrix(rows, cols, 1), w = random_matrix(cols, out, 2), b = random_matrix(1, out, 3),
             dy = random_matrix(rows, out, 4);
  Matrix<double, Cpu> rounded = copied(values.view());
  round_to_storage<double>(context, FeatureStorage::bfloat16, rounded.view());
  const Features<double, Cpu> features = stored_features(context, FeatureStorage::bfloat16, copied(rounded.view()));
  Matrix<double, Cpu> y(rows, out), dw(cols, out), expected_y(rows, out), expected_dw(cols, out);
  Linear<double, Cpu> linear;
  linear.forward(context, std::as_const(rounded).view(), w.view(), b.view(), expected_y.view());
  gemm<double>(context, Op::transpose, Op::none, 1.0, std::as_const(rounded).view(), dy.view(), 0.0,
               expected_dw.view());
  FeatureProjection<double, Cpu> projection(features.view());
  projection.forward(context, w.view(), b.view(), y.view());
  fill<double>(context, dw.view(), std::nan(""));
  projection.backward(context, w.view(), b.view(), std::as_const(y).view(), dy.view(), {dw.view(), 0.0, true}, {});
  const auto largest_difference = [](MatrixView<const double> p, MatrixView<const double> q) {
    double most = 0;
    for (index_t i = 0; i < p.rows; ++i)
      for (index_t j = 0; j < p.cols; ++j)
        most = std::abs(p(i, j) - q(i, j)) <= most ? most : std::abs(p(i, j) - q(i, j));
    return most;
  };
  // Sums of 32768 products of standard normal numbers in another order.
  CHECK(largest_difference(y.view(), expected_y.view()) < 1e-10);
  CHECK(largest_difference(dw.view(), expected_dw.view()) < 1e-11);

  const Features<double, Emulated> on_kernels = upload(emulated, features);
  const auto w2 = upload<double>(emulated, w.view()), b2 = upload<double>(emulated, b.view()),
             dy2 = upload<double>(emulated, dy.view());
  Matrix<double, Emulated> y2(emulated, rows, out), dw2(emulated, cols, out);
  FeatureProjection<double, Emulated> by_kernels(on_kernels.view());
  by_kernels.forward(emulated, w2.view(), b2.view(), y2.view());
  by_kernels.backward(emulated, w2.view(), b2.view(), std::as_const(y2).view(), dy2.view(), {dw2.view(), 0.0, true},
                      {});
  CHECK(largest_difference(download<double>(emulated, std::as_const(y2).view()).view(), expected_y.view()) < 1e-10);
  CHECK(largest_difference(download<double>(emulated, std::as_const(dw2).view()).view(), expected_dw.view()) < 1e-11);
}

}  // namespace dream_tests::ops_features
