#include <cstdint>

#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/row_team.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_elementwise {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

/// y += 1 + the number of its row, in units of N values on a grid of any size, of which some blocks take part.
template <int N>
struct CountVisits {
  static constexpr int threads = Sweep::threads;
  struct Params {
    MatrixView<float> y;
    Sweep sweep;
    int blocks, taking_part;
  };
  struct Shared {};
  static int grid(const Params& p) { return p.blocks; }
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    sweep_units<N>(th, p.sweep, p.taking_part, [&]<int W>(std::int64_t row, std::int64_t col, Width<W>) {
      for (std::int64_t c = col; c < col + W && c < p.sweep.cols; ++c)
        *element(p.y, row, c) += 1 + static_cast<float>(row);
    });
  }
};

template <int N>
void check_visits(MatrixShape s, Layout layout, int blocks, int taking_part) {
  KernelMatrix<float> y(s.rows, s.cols, layout);
  y.fill([](auto, auto) { return 0; });
  const auto report = check_kernel<CountVisits<N>>([&](KernelBuffers& use) {
    const MatrixView<float> view = use.output(y.view());
    return typename CountVisits<N>::Params{view, Sweep::by_rows(view), blocks, taking_part};
  });
  REQUIRE(report.text() == "");
  CAPTURE(blocks);
  require_near(
      y, [](index_t i, index_t) { return 1 + i; }, 0);
}

/// sums[i] = the sum of row i, by teams on a grid of any size; y = row i, as the team reads and writes it.
template <class T, bool Wide>
struct SumRows {
  static constexpr int threads = team_threads;
  struct Params {
    MatrixView<const T> x;
    MatrixView<T> y;
    VectorView<T> sums;
    int blocks;
  };
  struct Shared {
    TeamScratch<T, Wide> sums;
  };
  static int grid(const Params& p) { return p.blocks; }
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const RowTeam<T, Wide> team(th, p.x.cols);
    team.for_each_row(th, p.x.rows, [&](index_t row, bool there) {
      T sum = 0;
      if (there)
        team.for_each_unit([&](std::int64_t col) {
          const auto unit = team.read(th, p.x.row(row), col, takes_packs(p.x));
          for (int k = 0; k < team.width; ++k) sum += unit[k];
          team.write(th, p.y.row(row), col, unit, T{0}, takes_packs(p.y));
        });
      sum = team.sum(th, sum, shared.sums);
      if (there && team.rank == team.size - 1) th.store(p.sums.data + row, sum);
    });
  }
};

template <class T, bool Wide>
void check_rows(MatrixShape s, Layout in, Layout out, int blocks) {
  auto x = KernelMatrix<T>::random(s.rows, s.cols, 1, in);
  KernelMatrix<T> y(s.rows, s.cols, out), sums(1, s.rows);
  const auto report = check_kernel<SumRows<T, Wide>>([&](KernelBuffers& use) {
    return
        typename SumRows<T, Wide>::Params{use.input(x.view()), use.output(y.view()), use.output(sums.vector()), blocks};
  });
  REQUIRE(report.text() == "");
  require_near(
      y, [&](index_t i, index_t j) { return x.at(i, j); }, 0);
  // A sum of numbers below 5, whose roundings walk at random.
  require_near(
      sums,
      [&](auto, index_t i) {
        double sum = 0;
        for (index_t j = 0; j < s.cols; ++j) sum += x.at(i, j);
        return sum;
      },
      rounding<T> * (10 + s.cols));
}

}  // namespace

TEST_CASE("A grid of any size visits every element once") {
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes)
    for (const int blocks : dream_test::sizes({1, 3}, {1, 2, 3, 7, 40})) {
      check_visits<4>(s, layouts[turn % 4], blocks, blocks);
      check_visits<1>(s, layouts[turn % 4], blocks + 2, blocks);
      ++turn;
    }
}

TEST_CASE("A grid of its own choice has work for every block") {
  for (const MatrixShape& s : matrix_shapes) {
    KernelMatrix<float> y(s.rows, s.cols);
    for (const Sweep& sweep : {Sweep::by_rows(y.view()), Sweep::flat(y.view()), Sweep::flat(y.vector())})
      for (const int most : {1, 5, 1 << 14}) {
        const int blocks = sweep.blocks(1, most);
        REQUIRE(blocks <= most);
        REQUIRE((blocks == 0) == (s.rows == 0));
        REQUIRE(blocks <= std::int64_t{s.rows} * s.cols);
      }
  }
}

TEST_CASE("Packs are taken where every row begins with one and none has a rest") {
  KernelMatrix<float> whole(3, 8), apart(3, 8, {4, 0}), odd(3, 8, {1, 0}), shifted(3, 8, {0, 1}), rest(3, 9, {3, 0});
  REQUIRE(Sweep::by_rows(whole.view()).packs);
  REQUIRE(Sweep::by_rows(whole.view(), apart.view()).packs);
  REQUIRE(!Sweep::by_rows(whole.view(), odd.view()).packs);
  REQUIRE(!Sweep::by_rows(shifted.view()).packs);
  REQUIRE(!Sweep::by_rows(rest.view()).packs);
  REQUIRE(Sweep::by_rows(whole.view(), MatrixView<float>{}).packs);
  REQUIRE(Sweep::flat(whole.view()).cols == 24);
  REQUIRE(Sweep::flat(whole.view(), apart.view()).cols == 8);
  REQUIRE(Sweep::flat(whole.view(), MatrixView<float>{}).rows == 1);
}

TEMPLATE_TEST_CASE("Teams of a grid of any size take every row once, and all their threads know its sum", "", float,
                   double) {
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes)
    for (const int blocks : {1, 3, 40}) {
      const Layout in = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
      if (s.cols <= wide_row) check_rows<TestType, false>(s, in, out, blocks);
      if (s.rows < 40) check_rows<TestType, true>(s, in, out, blocks);
      ++turn;
    }
}

}  // namespace dream_tests::kernels_elementwise
