// What an op gives on a backend, to be compared with what it gives on another.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <dream/autograd/tape.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/testing/emulated.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_test {

/// The value of an op on inputs from the host, then the gradient of each for a random gradient of the value. With beta
/// 0 gradients start as NaN, otherwise as random numbers.
template <class T, class B, class Operation>
std::vector<dream::Matrix<T, Cpu>> outcome_on(dream::Context<B>& context, Operation& op,
                                              const std::vector<dream::MatrixView<const T>>& inputs, T beta) {
  using namespace dream;
  std::vector<Matrix<T, B>> held, gradients;
  std::vector<MatrixView<const T>> in;
  std::vector<GradView<T>> wanted;
  for (const auto& x : inputs) {
    Matrix<T, Cpu> start = random_matrix<T>(x.rows, x.cols, 500 + held.size());
    if (beta == T{0}) start.fill(std::numeric_limits<T>::quiet_NaN());
    held.push_back(upload<T>(context, x));
    gradients.push_back(upload<T>(context, std::as_const(start).view()));
  }
  for (const auto& x : held) in.push_back(x.view());
  for (auto& g : gradients) wanted.push_back({g.view(), beta, true});
  std::vector<Matrix<T, Cpu>> outcome;
  const auto run = [&](auto&& values, auto&& grads) {
    const Shape s = op.shape(values);
    Matrix<T, B> out(context, s.rows, s.cols);
    const Matrix<T, Cpu> random = random_matrix<T>(s.rows, s.cols, 77);
    const Matrix<T, B> d_out = upload<T>(context, random.view());
    op.forward(context, values, out.view());
    op.backward(context, values, std::as_const(out).view(), d_out.view(), grads);
    outcome.push_back(download<T>(context, std::as_const(out).view()));
  };
  if constexpr (requires { op.shape(std::span<const MatrixView<const T>>(in)); })
    run(std::span<const MatrixView<const T>>(in), std::span<const GradView<T>>(wanted));
  else
    run(in[0], wanted[0]);
  for (const auto& g : gradients) outcome.push_back(download<T>(context, g.view()));
  return outcome;
}

/// The largest |a - b| over 1 + the largest |b|; infinite where shapes differ or only one is NaN.
template <class T>
double distance(const dream::Matrix<T, Cpu>& a, const dream::Matrix<T, Cpu>& b) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (a.rows() != b.rows() || a.cols() != b.cols()) return infinite;
  double most = 0, largest = 0;
  for (index_t i = 0; i < a.rows(); ++i)
    for (index_t j = 0; j < a.cols(); ++j) {
      if (std::isnan(a(i, j)) != std::isnan(b(i, j))) return infinite;
      if (std::isnan(b(i, j))) continue;
      most = std::max(most, std::abs(static_cast<double>(a(i, j)) - static_cast<double>(b(i, j))));
      largest = std::max(largest, std::abs(static_cast<double>(b(i, j))));
    }
  return most / (1 + largest);
}

/// The op that `make(B{})` makes gives the same on Emulated as on Cpu, within `tolerance`.
template <class T, class Make>
void require_same_by_kernels(Make&& make, const std::vector<dream::MatrixView<const T>>& inputs, double tolerance) {
  for (const T beta : {T{0}, T{1}}) {
    dream::Context<Cpu> host(1);
    dream::Context<dream::Emulated> device;
    auto on_host = make(Cpu{});
    auto on_device = make(dream::Emulated{});
    const auto expected = outcome_on<T>(host, on_host, inputs, beta);
    const auto found = outcome_on<T>(device, on_device, inputs, beta);
    for (std::size_t o = 0; o < expected.size(); ++o) {
      INFO("beta " << beta << (o == 0 ? ", value" : ", gradient of input ") << (o == 0 ? 0 : o - 1));
      REQUIRE(distance(found[o], expected[o]) <= tolerance);
    }
  }
}

}  // namespace dream_test
