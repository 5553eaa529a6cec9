// Compiled for two instruction sets. UNIT_NAME() is how far products are from plain loops; 1 where a selection is
// wrong.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/selection.hpp>
#include <dream/core/random.hpp>

namespace {

double worst_difference() {
  using namespace dream;
  Context<Cpu> context(2);
  constexpr index_t rows = 150, cols = 70, depth = 90;
  Matrix<float, Cpu> a(rows, depth), b(cols, depth), c(rows, cols);
  const RandomStream random{7};
  for (std::int64_t i = 0; i < a.size(); ++i)
    a.data()[i] = static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
  for (std::int64_t i = 0; i < b.size(); ++i)
    b.data()[i] = static_cast<float>(random.normal(100000 + static_cast<std::uint64_t>(i)));
  gemm<float>(context, Op::none, Op::transpose, 1.0F, a.view(), b.view(), 0.0F, c.view());
  double worst = 0;
  for (index_t i = 0; i < rows; ++i) {
    index_t best = 0;
    for (index_t j = 0; j < cols; ++j) {
      double sum = 0;
      for (index_t k = 0; k < depth; ++k) sum += double{a(i, k)} * double{b(j, k)};
      worst = std::max(worst, std::abs(sum - double{c(i, j)}));
      if (c(i, j) > c(i, best)) best = j;
    }
    RowSelection<float> selection(1, 1);
    selection.offer_row(0, &c(i, 0), cols, 0);
    if (selection.finish(0) != 1 || selection.selected(0)->index != best) worst = 1;
  }
  return worst;
}

}  // namespace

double UNIT_NAME();
double UNIT_NAME() { return worst_difference(); }
