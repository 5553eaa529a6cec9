// Products by cuBLAS and cuSPARSE against plain loops in double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>
#include <dream/cuda/context.cuh>
#include <dream/cuda/launch_graph.cuh>
#include <dream/cuda/libraries.cuh>

#include "cuda/needs_gpu.cuh"
#include "support/catch.hpp"

using namespace dream;
using namespace dream::kernels;

namespace {

/// A matrix on the host and on the device, with `gap` values between its rows.
template <class T>
struct Both {
  Both(Context<Cuda>& c, index_t rows, index_t cols, index_t gap, std::uint64_t seed)
      : context(c),
        host(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols + gap)),
        values(c, static_cast<std::int64_t>(host.size())),
        shape{nullptr, rows, cols, cols + gap} {
    const RandomStream random{seed};
    for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<T>(random.uniform(i) - 0.5);
    upload();
  }
  void upload() { context.upload(host.data(), values.data(), bytes()); }
  void download() { context.download(values.data(), host.data(), bytes()); }
  /// Makes every value on the device NaN.
  void poison() { context.fill(values.data(), 0xFF, bytes()); }
  MatrixView<T> device() { return {values.data(), shape.rows, shape.cols, shape.stride}; }
  MatrixView<T> view() { return {host.data(), shape.rows, shape.cols, shape.stride}; }
  std::size_t bytes() const { return host.size() * sizeof(T); }

  Context<Cuda>& context;
  std::vector<T> host;
  Array<T, Cuda> values;
  MatrixView<T> shape;
};

/// The largest difference of C from alpha op(A) op(B) + beta C0 (C0 not read for beta 0), and whether the gaps between
/// the rows of C are as before.
template <class T>
double gemm_error(Context<Cuda>& context, Op op_a, Op op_b, index_t m, index_t n, index_t k, T alpha, T beta) {
  Both<T> a = op_a == Op::none ? Both<T>(context, m, k, 3, 1) : Both<T>(context, k, m, 3, 1);
  Both<T> b = op_b == Op::none ? Both<T>(context, k, n, 1, 2) : Both<T>(context, n, k, 1, 2);
  Both<T> c(context, m, n, 5, 3);
  if (beta == T{0})
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < n; ++j) c.view()(i, j) = std::numeric_limits<T>::quiet_NaN();
  c.upload();
  std::vector<T> before = c.host;
  gemm<T>(context, op_a, op_b, alpha, a.device(), b.device(), beta, c.device());
  c.download();
  double worst = 0;
  for (index_t i = 0; i < m; ++i) {
    for (index_t j = 0; j < n + 5; ++j) {
      const T old = before[static_cast<std::size_t>(i * std::int64_t{n + 5} + j)];
      const T now = c.host[static_cast<std::size_t>(i * std::int64_t{n + 5} + j)];
      if (j >= n) {
        REQUIRE(now == old);
        continue;
      }
      double sum = 0;
      for (index_t p = 0; p < k; ++p)
        sum += static_cast<double>(op_a == Op::none ? a.view()(i, p) : a.view()(p, i)) *
               static_cast<double>(op_b == Op::none ? b.view()(p, j) : b.view()(j, p));
      const double expected = static_cast<double>(alpha) * sum +
                              (beta == T{0} ? 0.0 : static_cast<double>(beta) * static_cast<double>(old));
      const double difference = std::abs(static_cast<double>(now) - expected);
      worst = std::max(worst, std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference);
    }
  }
  return worst;
}

/// A sparse matrix of every kind of row: empty, short, and one that is full.
struct SparseHost {
  index_t rows, cols;
  std::vector<std::int64_t> offsets{0};
  std::vector<index_t> indices{};
};
SparseHost sparse_rows(index_t rows, index_t cols) {
  SparseHost a{rows, cols};
  const RandomStream random{9};
  for (index_t i = 0; i < rows; ++i) {
    for (index_t j = 0; j < cols; ++j) {
      const double density = i == 5 ? 1.0 : i % 3 == 0 ? 0.0 : 0.1;
      if (random.uniform(static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(cols) +
                         static_cast<std::uint64_t>(j)) < density)
        a.indices.push_back(j);
    }
    a.offsets.push_back(static_cast<std::int64_t>(a.indices.size()));
  }
  return a;
}

template <class V>
Array<V, Cuda> on_device(Context<Cuda>& context, const std::vector<V>& host) {
  return upload<V>(context, std::span<const V>(host));
}

template <class T>
void check_sparse(SparseProducts products) {
  Context<Cuda> context;
  const SparseHost a = sparse_rows(67, 129);
  const RandomStream random{4};
  std::vector<T> values(a.indices.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(random.uniform(i) - 0.5);
  const Array<std::int64_t, Cuda> offsets = on_device(context, a.offsets);
  const Array<index_t, Cuda> indices = on_device(context, a.indices);
  const Array<T, Cuda> numbers = on_device(context, values);
  const CsrView<T> view{a.rows, a.cols, offsets.data(), indices.data(), numbers.data()};
  CusparseMatrix<T> matrix(context, view, static_cast<std::int64_t>(a.indices.size()), products);
  // Sums of at most 129 products below 1/4: rounding errors grow with their number.
  const double tolerance = 129 * 0.25 * std::numeric_limits<T>::epsilon();
  for (const index_t cols : {64, 1, 33, 64}) {
    for (const T beta : {T{0}, T{1}, T(-0.5)}) {
      INFO(cols << " columns, beta " << beta);
      Both<T> x(context, a.cols, cols, 4, 5), y(context, a.rows, cols, 8, 6);
      const std::vector<T> before = y.host;
      if (beta == T{0}) y.poison();
      matrix.multiply(context, T{2}, x.device(), beta, y.device());
      y.download();
      for (index_t i = 0; i < a.rows; ++i)
        for (index_t j = 0; j < cols; ++j) {
          double expected = 0;
          for (std::int64_t e = a.offsets[static_cast<std::size_t>(i)]; e < a.offsets[static_cast<std::size_t>(i) + 1];
               ++e)
            expected += 2 * static_cast<double>(values[static_cast<std::size_t>(e)]) *
                        static_cast<double>(x.view()(a.indices[static_cast<std::size_t>(e)], j));
          if (beta != T{0})
            expected += static_cast<double>(beta) *
                        static_cast<double>(before[static_cast<std::size_t>(i * std::int64_t{cols + 8} + j)]);
          REQUIRE(std::abs(static_cast<double>(y.view()(i, j)) - expected) <= 2 * tolerance);
        }
    }
  }
}

}  // namespace

TEST_CASE("cuBLAS multiplies row-major matrices with strides in every combination of operations") {
  NEEDS_GPU();
  Context<Cuda> context;
  for (const Op op_a : {Op::none, Op::transpose})
    for (const Op op_b : {Op::none, Op::transpose})
      for (const index_t m : {1, 33, 128})
        for (const index_t n : {1, 31, 64})
          for (const index_t k : {0, 1, 129}) {
            INFO("m " << m << ", n " << n << ", k " << k << ", A " << static_cast<int>(op_a) << ", B "
                      << static_cast<int>(op_b));
            // Sums of at most 129 products below 1/4: rounding errors grow with their number.
            const double terms = 129 * 0.25 + 1;
            CHECK(gemm_error<float>(context, op_a, op_b, m, n, k, 1, 0) <= terms * 1.2e-7);
            CHECK(gemm_error<float>(context, op_a, op_b, m, n, k, -2, 1) <= 2 * terms * 1.2e-7);
            CHECK(gemm_error<double>(context, op_a, op_b, m, n, k, 0.5, -3) <= 3 * terms * 2.3e-16);
          }
}

TEST_CASE("TF32 rounds factors to 10 bits, and only where it is asked for") {
  NEEDS_GPU();
  Context<Cuda> exact, rounded({.products = MatrixProducts::tf32});
  const double fp32 = gemm_error<float>(exact, Op::none, Op::none, 128, 128, 1024, 1, 0);
  const double tf32 = gemm_error<float>(rounded, Op::none, Op::none, 128, 128, 1024, 1, 0);
  CHECK(fp32 < 1e-5);
  CHECK(tf32 > 1e-5);
  CHECK(tf32 < 1e-2);
  CHECK(gemm_error<double>(rounded, Op::none, Op::none, 33, 31, 129, 1, 0) < 1e-13);
}

TEST_CASE("cuBLAS is asked for no product whose shapes do not fit, and empty ones change nothing") {
  NEEDS_GPU();
  Context<Cuda> context;
  Both<float> a(context, 3, 4, 0, 1), b(context, 5, 6, 0, 2), c(context, 3, 6, 0, 3);
  REQUIRE_ERROR(gemm<float>(context, Op::none, Op::none, 1, a.device(), b.device(), 0, c.device()),
                "op(A) is 3 x 4, op(B) is 5 x 6, C is 3 x 6");
  MatrixView<const float> overlapping = a.device();
  overlapping.stride = 2;
  REQUIRE_ERROR(gemm<float>(context, Op::none, Op::none, 1, overlapping, b.device().middle_rows(0, 4), 0, c.device()),
                "overlap");
  gemm<float>(context, Op::none, Op::none, 1, a.device().middle_rows(0, 0), b.device().middle_rows(0, 4), 0,
              c.device().middle_rows(0, 0));
  const std::vector<float> before = c.host;
  c.download();
  CHECK(c.host == before);
}

TEST_CASE("A product by cuBLAS repeats to the bit, also from a graph") {
  NEEDS_GPU();
  Context<Cuda> context;
  Both<float> a(context, 4096, 70, 0, 1), c(context, 70, 70, 0, 3);
  const auto multiply = [&] {
    gemm<float>(context, Op::transpose, Op::none, 1, a.device(), a.device(), 0, c.device());
  };
  multiply();
  c.download();
  const std::vector<float> first = c.host;
  multiply();
  c.download();
  CHECK(c.host == first);
  LaunchGraph<Cuda> graph;
  graph.capture(context, multiply);
  c.poison();
  graph.replay(context);
  c.download();
  CHECK(c.host == first);
}

TEST_CASE("cuSPARSE multiplies a prepared matrix by dense ones of changing width and stride") {
  NEEDS_GPU();
  check_sparse<float>(SparseProducts::repeatable);
  check_sparse<double>(SparseProducts::repeatable);
  check_sparse<float>(SparseProducts::unordered);
}

TEST_CASE("A sparse matrix without entries only scales") {
  NEEDS_GPU();
  Context<Cuda> context;
  const Array<std::int64_t, Cuda> offsets = on_device(context, std::vector<std::int64_t>(8, 0));
  CusparseMatrix<float> matrix(context, {7, 5, offsets.data(), nullptr, nullptr}, 0);
  Both<float> x(context, 5, 3, 0, 1), y(context, 7, 3, 0, 2);
  const std::vector<float> before = y.host;
  matrix.multiply(context, 1, x.device(), 0.5f, y.device());
  y.download();
  for (std::size_t i = 0; i < before.size(); ++i) REQUIRE(y.host[i] == 0.5f * before[i]);
  y.poison();
  matrix.multiply(context, 1, x.device(), 0, y.device());
  y.download();
  CHECK(y.host == std::vector<float>(before.size(), 0));
  REQUIRE_ERROR(matrix.multiply(context, 1, y.device(), 0, y.device()), "A is 7 x 5, X is 7 x 3");
}

TEST_CASE("A prepared sparse product can be captured; preparing cannot") {
  NEEDS_GPU();
  Context<Cuda> context;
  const SparseHost a = sparse_rows(40, 30);
  const Array<std::int64_t, Cuda> offsets = on_device(context, a.offsets);
  const Array<index_t, Cuda> indices = on_device(context, a.indices);
  const Array<float, Cuda> ones = on_device(context, std::vector<float>(a.indices.size(), 1));
  CusparseMatrix<float> matrix(context, {a.rows, a.cols, offsets.data(), indices.data(), ones.data()},
                               static_cast<std::int64_t>(a.indices.size()));
  Both<float> x(context, 30, 16, 0, 1), y(context, 40, 16, 0, 2);
  const auto multiply = [&] { matrix.multiply(context, 1, x.device(), 0, y.device()); };
  LaunchGraph<Cuda> graph;
  context.sparse();
  REQUIRE_ERROR(graph.capture(context, multiply), "the first product by cuSPARSE of a shape");
  multiply();
  y.download();
  const std::vector<float> first = y.host;
  graph.capture(context, multiply);
  y.poison();
  graph.replay(context);
  y.download();
  CHECK(y.host == first);
}
