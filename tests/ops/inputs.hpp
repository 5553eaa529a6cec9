// Inputs for tests of ops: random matrices, selections with duplicates, graphs with empty rows.
#pragma once

#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>
#include <dream/graph/csr.hpp>
#include <dream/ops/graph.hpp>

namespace dream_test {

using dream::Cpu;
using dream::index_t;

/// Standard normal entries; every `zero_every`-th row is zero (0: none).
template <class T = double>
dream::Matrix<T, Cpu> random_matrix(index_t rows, index_t cols, std::uint64_t seed, index_t zero_every = 0) {
  dream::Matrix<T, Cpu> m(rows, cols);
  const dream::RandomStream random{seed};
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < cols; ++j)
      m(i, j) = zero_every > 0 && i % zero_every == zero_every - 1
                    ? T{0}
                    : static_cast<T>(random.normal(static_cast<std::uint64_t>(i) * 100003u + j));
  return m;
}

/// `count` row numbers below `limit`, the first one repeated every fifth place.
inline std::vector<index_t> random_rows(index_t count, index_t limit, std::uint64_t seed) {
  const dream::RandomStream random{seed};
  std::vector<index_t> rows;
  for (index_t k = 0; k < count; ++k)
    rows.push_back(k % 5 == 4 ? rows[0]
                              : static_cast<index_t>(
                                    random.below(static_cast<std::uint64_t>(k), static_cast<std::uint64_t>(limit))));
  return rows;
}

inline dream::VectorView<const index_t> view(const std::vector<index_t>& rows) {
  return {rows.data(), static_cast<std::int64_t>(rows.size())};
}

/// A sparse matrix with normal values: about `per_row` entries a row, every seventh row empty, one row long.
template <class T = double>
dream::Csr<T, Cpu> random_csr(index_t rows, index_t cols, index_t per_row, std::uint64_t seed) {
  dream::Context<Cpu> context(1);
  const dream::RandomStream random{seed};
  std::vector<index_t> row, col;
  std::vector<T> value;
  for (index_t i = 0; i < rows; ++i) {
    const index_t count = i % 7 == 3 ? 0 : i == rows / 2 ? 3 * cols / 4 : per_row;
    for (index_t e = 0; e < count; ++e) {
      const std::uint64_t at = static_cast<std::uint64_t>(i) * 1000003u + e;
      row.push_back(i);
      col.push_back(static_cast<index_t>(random.below(2 * at, static_cast<std::uint64_t>(cols))));
      value.push_back(static_cast<T>(random.normal(2 * at + 1)));
    }
  }
  return dream::csr_from_triplets<T>(context, rows, cols, row, col, value);
}

template <class T = double>
dream::SparsePair<T, Cpu> random_pair(index_t rows, index_t cols, index_t per_row, std::uint64_t seed) {
  dream::Context<Cpu> context(1);
  dream::Csr<T, Cpu> a = random_csr<T>(rows, cols, per_row, seed);
  dream::Csr<T, Cpu> t = dream::transpose<T>(context, a.view());
  return {std::move(a), std::move(t)};
}

/// A sparse pair from a dense matrix.
inline dream::SparsePair<double, Cpu> pair_of(const dream::Matrix<double, Cpu>& dense) {
  dream::Context<Cpu> context(1);
  std::vector<index_t> row, col;
  std::vector<double> value;
  for (index_t i = 0; i < dense.rows(); ++i)
    for (index_t j = 0; j < dense.cols(); ++j)
      if (dense(i, j) != 0) {
        row.push_back(i);
        col.push_back(j);
        value.push_back(dense(i, j));
      }
  auto a = dream::csr_from_triplets<double>(context, dense.rows(), dense.cols(), row, col, value);
  auto t = dream::transpose<double>(context, a.view());
  return {std::move(a), std::move(t)};
}

inline dream::Matrix<double, Cpu> dense_of(dream::CsrView<double> a) {
  dream::Matrix<double, Cpu> m(a.rows, a.cols);
  m.fill(0);
  for (index_t i = 0; i < a.rows; ++i)
    for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) m(i, a.indices[e]) += a.values[e];
  return m;
}

}  // namespace dream_test
