// Sparse matrices by rows: made from triplets, sorted and transposed, in time linear in the entries.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <dream/backend/matrix.hpp>

namespace dream {

namespace detail {

/// Drops the values behind the first `size`.
template <class T>
void shorten(Array<T, Cpu>& a, std::int64_t size) {
  if (size == a.size()) return;
  Array<T, Cpu> kept(size);
  std::copy_n(a.data(), size, kept.data());
  a = std::move(kept);
}

}  // namespace detail

/// An owned copy.
template <class T>
Csr<T, Cpu> clone(CsrView<T> a) {
  Csr<T, Cpu> out;
  out.rows = a.rows;
  out.cols = a.cols;
  out.offsets.resize(std::int64_t{a.rows} + 1);
  out.offsets[0] = 0;
  if (a.rows > 0) std::copy_n(a.offsets, std::int64_t{a.rows} + 1, out.offsets.data());
  out.indices.resize(a.entries());
  out.values.resize(a.entries());
  std::copy_n(a.indices, a.entries(), out.indices.data());
  std::copy_n(a.values, a.entries(), out.values.data());
  return out;
}

/// A^T. One counting pass and one placing pass; columns of the result ascend because rows are visited in order.
template <class T>
Csr<T, Cpu> transpose(Context<Cpu>&, CsrView<T> a) {
  Csr<T, Cpu> t;
  t.rows = a.cols;
  t.cols = a.rows;
  t.offsets.resize(std::int64_t{t.rows} + 1);
  t.offsets.fill(0);
  t.indices.resize(a.entries());
  t.values.resize(a.entries());
  for (std::int64_t e = 0; e < a.entries(); ++e) ++t.offsets[std::int64_t{a.indices[e]} + 1];
  for (index_t j = 0; j < t.rows; ++j) t.offsets[std::int64_t{j} + 1] += t.offsets[j];
  // The start of row j serves as its cursor; afterwards the starts have moved up by one row.
  for (index_t i = 0; i < a.rows; ++i)
    for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      const std::int64_t place = t.offsets[a.indices[e]]++;
      t.indices[place] = i;
      t.values[place] = a.values[e];
    }
  for (index_t j = t.rows; j > 0; --j) t.offsets[j] = t.offsets[std::int64_t{j} - 1];
  t.offsets[0] = 0;
  return t;
}

/// Puts every row's entries in ascending column order; equal columns keep their order.
template <class T>
void sort_rows(Context<Cpu>& context, Csr<T, Cpu>& a) {
  context.parallel_blocks(a.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::pair<index_t, T>> row;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = a.offsets[i], last = a.offsets[i + 1];
      if (std::is_sorted(a.indices.data() + first, a.indices.data() + last)) continue;
      row.clear();
      for (std::int64_t e = first; e < last; ++e) row.emplace_back(a.indices[e], a.values[e]);
      std::stable_sort(row.begin(), row.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
      for (std::int64_t e = first; e < last; ++e) {
        a.indices[e] = row[static_cast<std::size_t>(e - first)].first;
        a.values[e] = row[static_cast<std::size_t>(e - first)].second;
      }
    }
  });
}

/// What happens to triplets with the same row and column.
enum class Duplicates { sum, keep_first };

/// A rows x cols matrix from entries (row[e], col[e]) with the given values, or ones where `values` is empty. A place
/// outside the matrix is an error.
template <class T>
Csr<T, Cpu> csr_from_triplets(Context<Cpu>& context, index_t rows, index_t cols, std::span<const index_t> row,
                              std::span<const index_t> col, std::span<const T> values = {},
                              Duplicates duplicates = Duplicates::sum) {
  DREAM_EXPECT(rows >= 0 && cols >= 0, "a matrix cannot be ", rows, " x ", cols);
  DREAM_EXPECT(row.size() == col.size() && (values.empty() || values.size() == row.size()), "triplets: ", row.size(),
               " rows, ", col.size(), " columns, ", values.size(), " values");
  const std::int64_t entries = static_cast<std::int64_t>(row.size());
  Csr<T, Cpu> a;
  a.rows = rows;
  a.cols = cols;
  a.offsets.resize(std::int64_t{rows} + 1);
  a.offsets.fill(0);
  for (std::size_t e = 0; e < row.size(); ++e) {
    DREAM_EXPECT(row[e] >= 0 && row[e] < rows && col[e] >= 0 && col[e] < cols, "triplet ", e, ": (", row[e], ", ",
                 col[e], ") is outside a matrix of ", rows, " x ", cols);
    ++a.offsets[std::int64_t{row[e]} + 1];
  }
  for (index_t i = 0; i < rows; ++i) a.offsets[std::int64_t{i} + 1] += a.offsets[i];
  a.indices.resize(entries);
  a.values.resize(entries);
  for (std::size_t e = 0; e < row.size(); ++e) {
    const std::int64_t place = a.offsets[row[e]]++;
    a.indices[place] = col[e];
    a.values[place] = values.empty() ? T{1} : values[e];
  }
  for (index_t i = rows; i > 0; --i) a.offsets[i] = a.offsets[std::int64_t{i} - 1];
  a.offsets[0] = 0;
  sort_rows(context, a);

  std::int64_t kept = 0;
  for (index_t i = 0; i < rows; ++i) {
    const std::int64_t first = a.offsets[i], last = a.offsets[std::int64_t{i} + 1], start = kept;
    a.offsets[i] = start;
    for (std::int64_t e = first; e < last; ++e) {
      if (kept > start && a.indices[kept - 1] == a.indices[e]) {
        if (duplicates == Duplicates::sum) a.values[kept - 1] += a.values[e];
        continue;
      }
      a.indices[kept] = a.indices[e];
      a.values[kept] = a.values[e];
      ++kept;
    }
  }
  a.offsets[rows] = kept;
  detail::shorten(a.indices, kept);
  detail::shorten(a.values, kept);
  return a;
}

}  // namespace dream
