// InfoNCE, S3 and full ranking of the host, beside the usual ways in Eigen, which keep the whole matrix of similarities
// or a block of scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <dream/backend/algebra.hpp>
#include <dream/components/batch_similarity_loss.hpp>
#include <dream/components/contrastive_alignment.hpp>
#include <dream/eval/top_k.hpp>

#include "../kernels/graphs.cuh"
#include "cases.hpp"

namespace dream_benchmarks {

inline HostMatrix unit_rows(index_t rows, index_t cols, std::uint64_t seed) {
  HostMatrix m = uniform(rows, cols, seed);
  eigen(m).rowwise().normalize();
  return m;
}

/// A loss and its gradients with respect to X and Y.
struct LossAndGradients {
  HostMatrix loss, dx, dy;
  LossAndGradients(index_t b, index_t d) : loss(room(1, 1)), dx(room(b, d)), dy(room(b, d)) {}
};

/// InfoNCE in one direction, loss and both gradients.
inline HostWork host_info_nce(Context<Cpu>& context, index_t b, index_t d) {
  constexpr float temperature = 0.2F;
  struct Operands {
    HostMatrix x, y;
    LossAndGradients by_dream, by_eigen;
    Array<float, Cpu> workspace;
    RowMajor s;
  };
  const auto o = std::make_shared<Operands>(
      Operands{unit_rows(b, d, 1), unit_rows(b, d, 2), {b, d}, {b, d}, Array<float, Cpu>(), RowMajor(b, b)});
  // Y near X, as in training: the diagonal stands out.
  eigen(o->y) = (eigen(o->x) + eigen(o->y)).rowwise().normalized();
  HostWork work;
  work.dream = [=, &context] {
    info_nce<float>(context, Directions::one, temperature, std::as_const(o->x).view(), std::as_const(o->y).view(),
                    o->by_dream.loss.view(), o->by_dream.dx.view(), o->by_dream.dy.view(), o->workspace);
  };
  work.eigen = [=] {
    const auto x = eigen(std::as_const(o->x)), y = eigen(std::as_const(o->y));
    RowMajor& s = o->s;
    s.noalias() = x * y.transpose() / temperature;
    const Eigen::VectorXf own = s.diagonal(), largest = s.rowwise().maxCoeff();
    s = (s.colwise() - largest).array().exp();
    const Eigen::VectorXf sums = s.rowwise().sum();
    double loss = 0;
    for (index_t a = 0; a < b; ++a) loss += static_cast<double>(largest[a] - own[a] + std::log(sums[a]));
    o->by_eigen.loss(0, 0) = static_cast<float>(loss / b);
    s.array().colwise() /= sums.array();
    s.diagonal().array() -= 1;
    const float share = 1 / (temperature * static_cast<float>(b));
    eigen(o->by_eigen.dx).noalias() = share * s * y;
    eigen(o->by_eigen.dy).noalias() = share * s.transpose() * x;
  };
  work.bytes = 16.0 * b * d;
  work.operations = 3 * 2.0 * b * b * d;
  work.check = [=] {
    expect_close("the loss", o->by_dream.loss, o->by_eigen.loss, 1e-5);
    expect_close("dX", o->by_dream.dx, o->by_eigen.dx, 1e-4);
    expect_close("dY", o->by_dream.dy, o->by_eigen.dy, 1e-4);
  };
  return work;
}

/// S3 of unit rows to the features of a batch: the trace form with its constant from samples, as in training; in Eigen
/// by the b x b differences.
inline HostWork host_s3(Context<Cpu>& context, index_t b, index_t d, index_t width) {
  struct Operands {
    HostMatrix a, features;
    Array<float, Cpu> inverse;
    std::vector<index_t> rows;
    LossAndGradients by_dream, by_eigen;  // dy is not used
    SimilarityWorkspace<float, Cpu> workspace;
    RowMajor c, difference;
    void run(Context<Cpu>& context, TargetNorm target_norm) {
      BatchSimilarityOptions options;
      options.target_norm = target_norm;
      const SimilarityTargets<float> targets{
          std::as_const(features).view(), std::as_const(inverse).view(), {rows.data(), std::int64_t{a.rows()}}};
      batch_similarity<float>(context, options, targets, std::as_const(a).view(), by_dream.loss.view(),
                              by_dream.dx.view(), workspace);
    }
  };
  const index_t items = 7050;
  const auto o = std::make_shared<Operands>(Operands{unit_rows(b, d, 1),
                                                     uniform(items, width, 2, -0.5F, 1),
                                                     Array<float, Cpu>(items),
                                                     {},
                                                     {b, d},
                                                     {b, d},
                                                     {},
                                                     RowMajor(b, width),
                                                     RowMajor(b, b)});
  inverse_row_norms<float>(context, std::as_const(o->features).view(), o->inverse.view());
  const RandomStream random{3};
  for (index_t k = 0; k < b; ++k) o->rows.push_back(static_cast<index_t>(random.below(k, items)));
  HostWork work;
  work.dream = [=, &context] { o->run(context, TargetNorm::sampled); };
  work.eigen = [=] {
    const auto a = eigen(std::as_const(o->a)), features = eigen(std::as_const(o->features));
    for (index_t k = 0; k < b; ++k) {
      const index_t row = o->rows[static_cast<std::size_t>(k)];
      o->c.row(k) = features.row(row) * o->inverse[row];
    }
    o->difference.noalias() = a * a.transpose();
    o->difference.noalias() -= o->c * o->c.transpose();
    const float squared = static_cast<float>(b) * static_cast<float>(b);
    o->by_eigen.loss(0, 0) = o->difference.squaredNorm() / squared;
    eigen(o->by_eigen.dx).noalias() = 4 / squared * o->difference * a;
  };
  work.bytes = 4.0 * (3.0 * b * width + 3.0 * b * d);  // gather: read and written; read again
  work.operations = 4.0 * b * d * (width + d);
  work.check = [=, &context] {
    expect_close("dA", o->by_dream.dx, o->by_eigen.dx, 1e-3);
    o->run(context, TargetNorm::exact);
    expect_close("the loss", o->by_dream.loss, o->by_eigen.loss, 1e-3);
  };
  return work;
}

/// The k best unseen items of every user.
inline HostWork host_top_k(Context<Cpu>& context, const GraphSize& size, index_t dim, index_t k) {
  struct Operands {
    const Csr<float, Cpu>& seen;
    HostMatrix users, items, scores, by_eigen;
    Matrix<index_t, Cpu> indices, expected;
  };
  const Csr<float, Cpu>& seen = interactions_of(size);
  const index_t users = seen.rows, items = seen.cols, block = 1024;
  const auto o = std::make_shared<Operands>(Operands{seen, uniform(users, dim, 1), uniform(items, dim, 2),
                                                     room(users, k), room(users, k), Matrix<index_t, Cpu>(users, k),
                                                     Matrix<index_t, Cpu>(users, k)});
  HostWork work;
  work.dream = [=, &context] {
    top_k<float>(context, std::as_const(o->users).view(), std::as_const(o->items).view(), o->seen.view(), {.k = k},
                 o->indices.view(), o->scores.view());
  };
  work.eigen = [=, &context] {
    const auto u = eigen(std::as_const(o->users)), v = eigen(std::as_const(o->items));
    RowMajor scores;
    for (index_t first = 0; first < users; first += block) {
      const index_t rows = std::min(block, users - first);
      scores.noalias() = u.middleRows(first, rows) * v.transpose();
      context.parallel_for(rows, [&](std::int64_t r) {
        const std::int64_t user = first + r;
        float* const row = scores.row(r).data();
        for (std::int64_t e = o->seen.offsets[user]; e < o->seen.offsets[user + 1]; ++e)
          row[o->seen.indices[e]] = -std::numeric_limits<float>::infinity();
        std::vector<index_t> order(static_cast<std::size_t>(items));
        std::iota(order.begin(), order.end(), index_t{0});
        std::partial_sort(order.begin(), order.begin() + k, order.end(),
                          [row](index_t a, index_t b) { return row[a] > row[b] || (row[a] == row[b] && a < b); });
        for (index_t j = 0; j < k; ++j) {
          const index_t item = order[static_cast<std::size_t>(j)];
          o->expected(static_cast<index_t>(user), j) = item;
          o->by_eigen(static_cast<index_t>(user), j) = row[item];
        }
      });
    }
  };
  work.bytes = 4.0 * (1.0 * users + items) * dim + 8.0 * users * k;
  work.operations = 2.0 * users * items * dim;
  work.check = [=] {
    expect_close("the scores", o->scores, o->by_eigen, 1e-5);
    std::int64_t other = 0;  // scores that nearly tie may change places
    for (std::int64_t e = 0; e < o->indices.size(); ++e) other += o->indices.data()[e] != o->expected.data()[e];
    DREAM_EXPECT(1000 * other <= o->indices.size(), other, " of ", o->indices.size(), " items are others");
  };
  return work;
}

inline void add_host_loss_cases() {
  add_host_case("info_nce/2048/64", [](Context<Cpu>& context) { return host_info_nce(context, 2048, 64); });
  for (const index_t width : {384, 4096})
    add_host_case("s3/2048/" + std::to_string(width),
                  [width](Context<Cpu>& context) { return host_s3(context, 2048, 64, width); });
  add_host_case("top_k/baby/64", [](Context<Cpu>& context) { return host_top_k(context, graph_sizes[0], 64, 20); });
}

}  // namespace dream_benchmarks
