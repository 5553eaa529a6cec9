// Dense and sparse products, row normalisation and Adam of the host, beside Eigen's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <Eigen/SparseCore>

#include <dream/backend/algebra.hpp>
#include <dream/backend/gemm.hpp>
#include <dream/backend/sparse.hpp>
#include <dream/train/adam.hpp>

#include "../kernels/graphs.cuh"
#include "cases.hpp"

namespace dream_benchmarks {

/// C (m x n) = op(A) op(B).
inline HostWork host_product(Context<Cpu>& context, Op op_a, Op op_b, index_t m, index_t k, index_t n) {
  struct Operands {
    HostMatrix a, b, by_dream, by_eigen;
  };
  const bool turns_a = op_a == Op::transpose, turns_b = op_b == Op::transpose;
  const auto x =
      std::make_shared<Operands>(Operands{turns_a ? uniform(k, m, 1) : uniform(m, k, 1),
                                          turns_b ? uniform(n, k, 2) : uniform(k, n, 2), room(m, n), room(m, n)});
  HostWork work;
  work.dream = [=, &context] {
    gemm<float>(context, op_a, op_b, 1.0F, std::as_const(x->a).view(), std::as_const(x->b).view(), 0.0F,
                x->by_dream.view());
  };
  work.eigen = [=] {
    const auto a = eigen(std::as_const(x->a)), b = eigen(std::as_const(x->b));
    if (turns_a)
      eigen(x->by_eigen).noalias() = a.transpose() * b;
    else if (turns_b)
      eigen(x->by_eigen).noalias() = a * b.transpose();
    else
      eigen(x->by_eigen).noalias() = a * b;
  };
  work.bytes = 4.0 * (1.0 * m * k + 1.0 * k * n + 1.0 * m * n);
  work.operations = 2.0 * m * k * n;
  work.check = [=] { expect_close("C", x->by_dream, x->by_eigen, 1e-4); };
  return work;
}

/// Y = A X for the graph of users and items.
inline HostWork host_spmm(Context<Cpu>& context, const GraphSize& size, index_t dim) {
  struct Operands {
    Csr<float, Cpu> a;
    Eigen::SparseMatrix<float, Eigen::RowMajor> sparse;
    HostMatrix x, by_dream, by_eigen;
  };
  const auto o = std::make_shared<Operands>();
  o->a = propagation_graph(size, false);
  const std::vector<int> offsets(o->a.offsets.data(), o->a.offsets.data() + o->a.rows + 1);
  o->sparse = Eigen::Map<const Eigen::SparseMatrix<float, Eigen::RowMajor>>(
      o->a.rows, o->a.cols, o->a.entries(), offsets.data(), o->a.indices.data(), o->a.values.data());
  o->x = uniform(o->a.cols, dim, 3);
  o->by_dream = room(o->a.rows, dim);
  o->by_eigen = room(o->a.rows, dim);
  HostWork work;
  work.dream = [=, &context] {
    spmm<float>(context, 1.0F, o->a.view(), std::as_const(o->x).view(), 0.0F, o->by_dream.view());
  };
  work.eigen = [=] { eigen(o->by_eigen).noalias() = o->sparse * eigen(std::as_const(o->x)); };
  const double entries = static_cast<double>(o->a.entries());
  work.bytes = 8 * entries + 8.0 * o->a.rows + 4.0 * dim * (o->a.rows + std::min(entries, 1.0 * o->a.cols));
  work.operations = 2 * entries * dim;
  work.check = [=] { expect_close("Y", o->by_dream, o->by_eigen, 1e-5); };
  return work;
}

/// Rows divided by their norms.
inline HostWork host_normalise(Context<Cpu>& context, index_t n, index_t d) {
  struct Operands {
    HostMatrix x, by_dream, by_eigen;
    Array<float, Cpu> inverse;
  };
  const auto o = std::make_shared<Operands>(Operands{uniform(n, d, 4), room(n, d), room(n, d), Array<float, Cpu>(n)});
  HostWork work;
  work.dream = [=, &context] {
    normalise_rows<float>(context, std::as_const(o->x).view(), o->by_dream.view(), o->inverse.view());
  };
  work.eigen = [=] { eigen(o->by_eigen) = eigen(std::as_const(o->x)).rowwise().normalized(); };
  work.bytes = 8.0 * n * d + 4.0 * n;
  work.check = [=] { expect_close("Y", o->by_dream, o->by_eigen, 1e-5); };
  return work;
}

/// A step of Adam on so many parameters.
inline HostWork host_adam(Context<Cpu>& context, index_t rows, index_t cols) {
  struct State {
    HostMatrix p, m, v;
    static State begin(index_t rows, index_t cols) {
      return {uniform(rows, cols, 5), uniform(rows, cols, 6), uniform(rows, cols, 7, 0, 1)};
    }
  };
  struct Operands {
    HostMatrix g;
    State by_dream, by_eigen;
  };
  const auto o =
      std::make_shared<Operands>(Operands{uniform(rows, cols, 8), State::begin(rows, cols), State::begin(rows, cols)});
  const AdamStep<float> step({}, 1e-3, 10);
  HostWork work;
  work.dream = [=, &context] {
    const auto flat = [](HostMatrix& m) { return VectorView<float>{m.data(), m.size()}; };
    State& s = o->by_dream;
    adam_update<float>(context, step, flat(o->g), flat(s.p), flat(s.m), flat(s.v));
  };
  work.eigen = [=] {
    using Values = Eigen::Map<Eigen::ArrayXf>;
    State& s = o->by_eigen;
    const auto size = static_cast<Eigen::Index>(o->g.size());
    Values p(s.p.data(), size), m(s.m.data(), size), v(s.v.data(), size);
    const Values g(o->g.data(), size);
    m = step.beta1 * m + (1 - step.beta1) * g;
    v = step.beta2 * v + (1 - step.beta2) * g.square();
    p -= step.step_size * m / (v.sqrt() * step.root_correction + step.epsilon);
  };
  work.bytes = 28.0 * rows * cols;
  work.check = [=] {
    expect_close("p", o->by_dream.p, o->by_eigen.p, 1e-6);
    expect_close("m", o->by_dream.m, o->by_eigen.m, 1e-6);
    expect_close("v", o->by_dream.v, o->by_eigen.v, 1e-6);
  };
  return work;
}

inline void add_host_product_cases() {
  const auto product = [](const std::string& name, Op op_a, Op op_b, index_t m, index_t k, index_t n) {
    add_host_case("product/" + name, [=](Context<Cpu>& context) { return host_product(context, op_a, op_b, m, k, n); });
  };
  product("7050x4096x64", Op::none, Op::none, 7050, 4096, 64);
  product("4096x7050x64_transposed", Op::transpose, Op::none, 4096, 7050, 64);
  product("2048x64x2048", Op::none, Op::transpose, 2048, 64, 2048);
  for (const index_t dim : {32, 64, 128, 256})
    add_host_case("spmm/baby/" + std::to_string(dim),
                  [dim](Context<Cpu>& context) { return host_spmm(context, graph_sizes[0], dim); });
  add_host_case("normalise/26495x64", [](Context<Cpu>& context) { return host_normalise(context, 26495, 64); });
  add_host_case("normalise/7050x4096", [](Context<Cpu>& context) { return host_normalise(context, 7050, 4096); });
  add_host_case("adam/26495x64", [](Context<Cpu>& context) { return host_adam(context, 26495, 64); });
  add_host_case("adam/7050x4480", [](Context<Cpu>& context) { return host_adam(context, 7050, 4480); });
}

}  // namespace dream_benchmarks
