#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/graph_propagation.cuh>
#include <dream/kernels/row_gather.cuh>
#include <dream/kernels/row_groups.cuh>
#include <dream/kernels/sparse_products.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

using namespace dream;
using namespace dream::kernels;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

std::int64_t size_of(const auto& values) { return static_cast<std::int64_t>(values.size()); }

/// A matrix whose rows are `gap` values apart and begin `shift` values from a multiple of 16 bytes.
template <class T>
struct Dense {
  index_t rows, cols, gap, shift;
  std::vector<T> memory;

  Dense(index_t r, index_t c, index_t g = 0, index_t s = 0)
      : rows(r),
        cols(c),
        gap(g),
        shift(s),
        memory(static_cast<std::size_t>((c + g) * r + s), static_cast<T>(not_a_number)) {}
  MatrixView<T> view() { return {memory.data() + shift, rows, cols, cols + gap}; }
  MatrixView<const T> view() const { return {memory.data() + shift, rows, cols, cols + gap}; }
  T& operator()(index_t i, index_t j) { return view()(i, j); }
  T operator()(index_t i, index_t j) const { return view()(i, j); }
};

template <class T>
Dense<T> random_dense(index_t rows, index_t cols, std::uint32_t seed, index_t gap = 0, index_t shift = 0) {
  const RandomStream random{23, RandomUse::user, seed};
  Dense<T> m(rows, cols, gap, shift);
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < cols; ++j)
      m(i, j) = static_cast<T>(2 * random.uniform(static_cast<std::uint64_t>(std::int64_t{i} * cols + j)) - 1);
  return m;
}

/// A sparse matrix with rows of given lengths.
template <class T>
struct Graph {
  index_t rows = 0, cols = 0;
  std::vector<std::int64_t> offsets{0};
  std::vector<index_t> indices;
  std::vector<T> values;

  Graph(const std::vector<index_t>& lengths, index_t columns, std::uint32_t seed = 1, bool weighted = true)
      : rows(static_cast<index_t>(lengths.size())), cols(columns) {
    const RandomStream random{29, RandomUse::user, seed};
    for (const index_t length : lengths) {
      for (index_t e = 0; e < length; ++e) {
        const auto k = static_cast<std::uint64_t>(indices.size());
        indices.push_back(length == cols ? e
                                         : static_cast<index_t>(random.below(2 * k, static_cast<std::uint64_t>(cols))));
        if (weighted) values.push_back(static_cast<T>(random.uniform(2 * k + 1) + 0.1));
      }
      offsets.push_back(size_of(indices));
    }
  }
  CsrView<T> input(KernelBuffers& use) const {
    CsrView<T> a =
        use.input(CsrView<T>{rows, cols, offsets.data(), indices.data(), values.empty() ? nullptr : values.data()});
    if (values.empty()) a.values = nullptr;
    return a;
  }
};

/// Few long rows, many short ones: lengths fall with the power of the rank, in shuffled order.
std::vector<index_t> power_law(index_t rows, index_t longest) {
  std::vector<index_t> lengths(static_cast<std::size_t>(rows));
  const RandomStream random{31};
  for (index_t i = 0; i < rows; ++i)
    lengths[static_cast<std::size_t>(i)] = static_cast<index_t>(longest / std::pow(1.0 + i, 1.1));
  for (std::size_t i = lengths.size(); i > 1; --i) std::swap(lengths[i - 1], lengths[random.below(i, i)]);
  return lengths;
}
/// Rows of every kind: none, one, about a warp, all columns, thousands.
std::vector<index_t> all_kinds() { return {0, 1, 31, 4099, 32, 33, 0, 0, 257, 5, 300, 4096, 1, 2, 0}; }
constexpr index_t all_columns = 257;

/// A plan that makes the choice.
SpmmPlan plan_for(const auto& graph, bool balanced) {
  SpmmPlan plan = make_spmm_plan(graph.offsets.data(), graph.rows);
  plan.longest_row = balanced ? std::int64_t{1} << 40 : 0;
  return plan;
}

template <class T>
struct Workspace {
  std::vector<T> carries;
  std::vector<index_t> carry_rows;
  std::vector<std::int64_t> list_offsets;

  explicit Workspace(const RowSumSpace& space)
      : carries(static_cast<std::size_t>(space.carries), static_cast<T>(not_a_number)),
        carry_rows(static_cast<std::size_t>(space.carry_rows), -7),
        list_offsets(static_cast<std::size_t>(space.list_offsets), -7) {}
  RowSumWorkspace<T> output(KernelBuffers& use) {
    return {use.output(carries.data(), size_of(carries)), use.output(carry_rows.data(), size_of(carry_rows)),
            use.output(list_offsets.data(), size_of(list_offsets))};
  }
};

VectorView<const index_t> use_list(KernelBuffers& use, const std::vector<index_t>& list) {
  return use.input(VectorView<const index_t>{list.data(), size_of(list)});
}

/// A sum in double, with what bounds its rounding.
struct Sum {
  double value = 0, size = 0;
  int terms = 0;

  void add(double term) {
    value += term;
    size += std::abs(term);
    ++terms;
  }
  void scale(double by) {
    value *= by;
    size *= std::abs(by);
  }
  /// Any order of `terms` additions of rounded products errs by at most about terms + 3 roundings of the sum of sizes;
  /// twice, since this sum is rounded as well.
  template <class T>
  bool near(T other) const {
    const double bound = 2.0 * (terms + 8) * static_cast<double>(std::numeric_limits<T>::epsilon()) * size;
    return std::abs(static_cast<double>(other) - value) <= bound;
  }
};

/// scale (base + sum over row r of a) + beta old, where column c stands for row column_row(c) of x, negative: none.
template <class T>
Sum reference(const Graph<T>& a, index_t r, const Dense<T>& x, index_t j, const auto& column_row, double scale,
              double beta, double old, double base = 0) {
  Sum sum;
  sum.add(base);
  for (std::int64_t e = a.offsets[static_cast<std::size_t>(r)]; e < a.offsets[static_cast<std::size_t>(r) + 1]; ++e) {
    const index_t row = column_row(a.indices[static_cast<std::size_t>(e)]);
    if (row >= 0)
      sum.add((a.values.empty() ? 1.0 : static_cast<double>(a.values[static_cast<std::size_t>(e)])) *
              static_cast<double>(x(row, j)));
  }
  sum.scale(scale);
  if (beta != 0) sum.add(beta * old);
  return sum;
}
constexpr auto itself = [](index_t c) { return c; };
auto by(const std::vector<index_t>& places) {
  return [&places](index_t c) { return places[static_cast<std::size_t>(c)]; };
}

template <class T>
void require_near(const Dense<T>& y, const auto& expected) {
  int wrong = 0;
  for (index_t i = 0; i < y.rows; ++i)
    for (index_t j = 0; j < y.cols; ++j) {
      const Sum sum = expected(i, j);
      if (!sum.near(y(i, j)) && wrong++ == 0) {
        CAPTURE(i, j, sum.value, y(i, j), y.rows, y.cols);
        REQUIRE(sum.near(y(i, j)));
      }
    }
  REQUIRE(wrong == 0);
}

template <class T>
Dense<T> output_for(index_t rows, index_t cols, double beta, index_t gap = 0, index_t shift = 0) {
  return beta == 0 ? Dense<T>(rows, cols, gap, shift) : random_dense<T>(rows, cols, 99, gap, shift);
}

template <class T>
void check_spmm(const Graph<T>& a, index_t d, bool balanced, double alpha, double beta, index_t gap = 0,
                index_t shift = 0) {
  CAPTURE(a.rows, a.cols, d, balanced, alpha, beta, gap, shift);
  const auto x = random_dense<T>(a.cols, d, 2, gap, shift);
  auto y = output_for<T>(a.rows, d, beta, gap, shift);
  const auto old = y;
  const SpmmPlan plan = plan_for(a, balanced);
  Workspace<T> workspace(row_sum_workspace(plan, d));
  const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    spmm(context, SpmmArguments<T>{static_cast<T>(alpha), a.input(use), use.input(x.view()), static_cast<T>(beta),
                                   use.output(y.view()), plan, workspace.output(use)});
  });
  REQUIRE(report.text() == "");
  require_near(y, [&](index_t i, index_t j) {
    return reference(a, i, x, j, itself, alpha, beta, static_cast<double>(old(i, j)));
  });
}

/// Places for `total` rows: about one in `every` has one, as many as there are.
std::vector<index_t> random_places(index_t total, int every, index_t& count) {
  const RandomStream random{37};
  std::vector<index_t> places(static_cast<std::size_t>(total), -1);
  count = 0;
  for (std::size_t i = 0; i < places.size(); ++i)
    if (random.below(i, static_cast<std::uint64_t>(every)) == 0) places[i] = count++;
  return places;
}

const index_t common_dims[] = {1, 3, 31, 32, 33, 64, 100, 128, 256};

}  // namespace

TEST_CASE(
    "Both mappings of the sparse product agree with plain loops for rows of every kind and every number of columns") {
  const Graph<double> a(all_kinds(), all_columns);
  for (const bool balanced : {false, true})
    for (const index_t d : common_dims) check_spmm(a, d, balanced, 1, 0);
}

TEST_CASE("Both mappings of the sparse product agree with plain loops on power laws of every size") {
  for (const bool balanced : {false, true})
    for (const index_t rows : {0, 1, 31, 32, 33, 127, 128, 129, 257})
      check_spmm(Graph<double>(power_law(rows, 900), 200, static_cast<std::uint32_t>(rows)), 6, balanced, -1.5, 0.5);
}

TEST_CASE("Matrices of empty rows, of one row and of one column are summed by both mappings") {
  for (const bool balanced : {false, true}) {
    for (const double beta : {0.0, 1.0}) {
      check_spmm(Graph<double>(std::vector<index_t>(70, 0), 10), 8, balanced, 1, beta);
      check_spmm(Graph<double>({9000}, 20), 8, balanced, 1, beta);
      check_spmm(Graph<double>(std::vector<index_t>(500, 1), 1), 8, balanced, 1, beta);
      std::vector<index_t> last_is_long(100, 0);
      last_is_long.back() = 3000;
      check_spmm(Graph<double>(last_is_long, 50), 8, balanced, 1, beta);
      std::reverse(last_is_long.begin(), last_is_long.end());
      check_spmm(Graph<double>(last_is_long, 50), 8, balanced, 1, beta);
    }
    check_spmm(Graph<double>(all_kinds(), all_columns), 0, balanced, 1, 0);
  }
}

TEST_CASE("Gaps between rows and addresses off 16 bytes change nothing but the way") {
  const Graph<double> a(power_law(60, 400), 100);
  const Graph<float> b(power_law(60, 400), 100);
  for (const bool balanced : {false, true})
    for (const index_t gap : {0, 1, 3, 4})
      for (const index_t shift : {0, 1}) {
        check_spmm(a, 64, balanced, 1, 0.5, gap, shift);
        check_spmm(b, 36, balanced, 1, 0.5, gap, shift);
      }
}

TEST_CASE("Without values entries count as ones, in float as in double") {
  for (const bool balanced : {false, true}) {
    check_spmm(Graph<float>(all_kinds(), all_columns, 5, false), 64, balanced, 0.5, 0);
    check_spmm(Graph<float>(all_kinds(), all_columns, 5, true), 64, balanced, 1, 1);
    check_spmm(Graph<double>(power_law(129, 700), 300, 5, false), 5, balanced, 1, 1);
  }
}

TEST_CASE("A row that no entry refers to may hold anything") {
  const Graph<double> a({3, 700, 0, 9}, 50);
  Dense<double> x = random_dense<double>(50, 4, 3);
  std::vector<index_t> places(50);
  std::iota(places.begin(), places.end(), 0);
  Graph<double> infinite = a;
  for (std::size_t e = 0; e < a.indices.size(); ++e)
    if (a.indices[e] % 5 == 0) infinite.values[e] = std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < 50; c += 5) places[c] = -1;
  for (index_t c = 0; c < 50; c += 5) x(c, 1) = not_a_number;
  for (const bool balanced : {false, true}) {
    Dense<double> y(4, 4);
    const SpmmPlan plan = plan_for(a, balanced);
    Workspace<double> workspace(row_sum_workspace(plan, 4));
    const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      spmm_places(context,
                  SpmmPlacesArguments<double>{1, infinite.input(use), use_list(use, places), use.input(x.view()), 0,
                                              use.output(y.view()), plan, workspace.output(use)});
    });
    REQUIRE(report.text() == "");
    require_near(y, [&](index_t i, index_t j) { return reference(infinite, i, x, j, by(places), 1, 0, 0); });
  }
}

TEST_CASE("A compact matrix is multiplied by its places") {
  for (const int every : {1, 3, 40})
    for (const bool balanced : {false, true})
      for (const double beta : {0.0, 1.0, -0.5})
        for (const index_t d : {3, 64}) {
          CAPTURE(every, balanced, beta, d);
          const Graph<double> a(all_kinds(), all_columns);
          index_t count = 0;
          const std::vector<index_t> places = random_places(a.cols, every, count);
          const auto s = random_dense<double>(count, d, 4);
          auto y = output_for<double>(a.rows, d, beta);
          const auto old = y;
          const SpmmPlan plan = plan_for(a, balanced);
          Workspace<double> workspace(row_sum_workspace(plan, d));
          const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
            spmm_places(context,
                        SpmmPlacesArguments<double>{2, a.input(use), use_list(use, places), use.input(s.view()), beta,
                                                    use.output(y.view()), plan, workspace.output(use)});
          });
          REQUIRE(report.text() == "");
          require_near(y, [&](index_t i, index_t j) { return reference(a, i, s, j, by(places), 2, beta, old(i, j)); });
        }
}

TEST_CASE("Only the listed rows of a product are computed, in any order and again and again") {
  const Graph<double> a(all_kinds(), all_columns);
  const RandomStream random{41};
  for (const bool balanced : {false, true})
    for (const std::int64_t listed : {0, 1, 31, 32, 33, 127, 128, 129, 257}) {
      CAPTURE(balanced, listed);
      const index_t d = listed == 33 ? 64 : 4;
      std::vector<index_t> rows(static_cast<std::size_t>(listed));
      for (std::size_t k = 0; k < rows.size(); ++k)
        rows[k] = static_cast<index_t>(random.below(k, k % 16 == 1 ? 15u : 3u));  // the two long rows a few times
      const auto x = random_dense<double>(a.cols, d, 6);
      Dense<double> y(static_cast<index_t>(listed), d);
      const SpmmPlan plan = plan_for(a, balanced);
      Workspace<double> workspace(listed_row_sum_workspace(plan, listed, d));
      const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
        spmm_rows(context, SpmmRowsArguments<double>{a.input(use), use_list(use, rows), use.input(x.view()),
                                                     use.output(y.view()), plan, workspace.output(use)});
      });
      REQUIRE(report.text() == "");
      require_near(y, [&](index_t k, index_t j) {
        return reference(a, rows[static_cast<std::size_t>(k)], x, j, itself, 1, 0, 0);
      });
    }
}

TEST_CASE("A list of more rows than a block scans at a time is summed") {
  std::vector<index_t> lengths(400, 0);
  lengths[1] = 1;
  lengths[2] = 300;
  lengths[3] = 7;
  const Graph<float> a(lengths, 40);
  std::vector<index_t> rows(8192 + 33);
  for (std::size_t k = 0; k < rows.size(); ++k) rows[k] = k % 1000 == 3 ? 2 : static_cast<index_t>(k * 7 % 5 % 2 * 3);
  const auto x = random_dense<float>(a.cols, 4, 6);
  Dense<float> y(static_cast<index_t>(rows.size()), 4);
  const SpmmPlan plan = plan_for(a, true);
  Workspace<float> workspace(listed_row_sum_workspace(plan, size_of(rows), 4));
  const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    spmm_rows(context, SpmmRowsArguments<float>{a.input(use), use_list(use, rows), use.input(x.view()),
                                                use.output(y.view()), plan, workspace.output(use)});
  });
  REQUIRE(report.text() == "");
  require_near(
      y, [&](index_t k, index_t j) { return reference(a, rows[static_cast<std::size_t>(k)], x, j, itself, 1, 0, 0); });
}

TEST_CASE("A listed row that is outside the matrix gives NaN and leaves the others alone") {
  const Graph<double> a(all_kinds(), all_columns);
  const std::vector<index_t> rows{3, -1, 4, a.rows, std::numeric_limits<index_t>::max(), 11, -1};
  const auto bad = [&](index_t k) {
    return rows[static_cast<std::size_t>(k)] < 0 || rows[static_cast<std::size_t>(k)] >= a.rows;
  };
  const index_t d = 6, listed = static_cast<index_t>(rows.size());
  const auto x = random_dense<double>(a.cols, d, 6), ego = random_dense<double>(a.rows, d, 7);
  for (const bool balanced : {false, true}) {
    Dense<double> y(listed, d), gathered(listed, d), mean(listed, d);
    const SpmmPlan plan = plan_for(a, balanced);
    Workspace<double> workspace(listed_row_sum_workspace(plan, listed, d));
    const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      const CsrView<double> graph = a.input(use);
      const VectorView<const index_t> list = use_list(use, rows);
      const RowSumWorkspace<double> space = workspace.output(use);
      spmm_rows(context,
                SpmmRowsArguments<double>{graph, list, use.input(x.view()), use.output(y.view()), plan, space});
      launch<GatherRows<double>>(context, {use.input(ego.view()), list, use.output(gathered.view())});
      PropagatedMeanRowsArguments<double> p;
      p.layers = 1;
      p.graph = graph;
      p.rows = list;
      p.ego = use.input(ego.view());
      p.last = use.input(x.view());
      p.out = use.output(mean.view());
      p.plan = plan;
      p.workspace = space;
      propagated_mean_rows(context, p);
    });
    REQUIRE(report.text() == "");
    for (index_t k = 0; k < listed; ++k)
      for (index_t j = 0; j < d; ++j) {
        CAPTURE(balanced, k, j);
        REQUIRE(std::isnan(y(k, j)) == bad(k));
        REQUIRE(std::isnan(gathered(k, j)) == bad(k));
        REQUIRE(std::isnan(mean(k, j)) == bad(k));
        if (!bad(k)) REQUIRE(reference(a, rows[static_cast<std::size_t>(k)], x, j, itself, 1, 0, 0).near(y(k, j)));
      }
  }
}

TEST_CASE("Gathered rows are copies") {
  const RandomStream random{43};
  for (const index_t listed : {0, 1, 31, 32, 33, 127, 128, 129, 257, 1500})
    for (const index_t d : common_dims) {
      if (listed > 129 && d != 64) continue;
      for (const index_t shift : {0, 1}) {
        std::vector<index_t> rows(static_cast<std::size_t>(listed));
        for (std::size_t k = 0; k < rows.size(); ++k) rows[k] = static_cast<index_t>(random.below(k, 90));
        const auto x = random_dense<float>(90, d, 8, 4, shift);
        Dense<float> y(listed, d, 8);
        const KernelReport report = check_kernel<GatherRows<float>>([&](KernelBuffers& use) {
          return GatherRows<float>::Params{use.input(x.view()), use_list(use, rows), use.output(y.view())};
        });
        REQUIRE(report.text() == "");
        bool equal = true;
        for (index_t k = 0; k < listed; ++k)
          for (index_t j = 0; j < d; ++j) equal = equal && y(k, j) == x(rows[static_cast<std::size_t>(k)], j);
        CAPTURE(listed, d, shift);
        REQUIRE(equal);
      }
    }
}

TEST_CASE("The mean of propagated layers has all of them, at the listed rows") {
  const Graph<double> a(all_kinds(), all_columns);
  for (const int layers : {0, 1, 3, inner_layer_limit + 1})
    for (const bool balanced : {false, true})
      for (const index_t d : {5, 64})
        for (const index_t gap : {0, 1}) {
          CAPTURE(layers, balanced, d, gap);
          const std::vector<index_t> rows{11, 0, 3, 3, 9, 14, 1};
          const auto ego = random_dense<double>(a.rows, d, 10, gap), last = random_dense<double>(a.cols, d, 11, gap);
          std::vector<Dense<double>> inner;
          for (int l = 0; l + 1 < layers; ++l)
            inner.push_back(random_dense<double>(a.rows, d, static_cast<std::uint32_t>(12 + l), gap));
          Dense<double> out(static_cast<index_t>(rows.size()), d);
          const SpmmPlan plan = plan_for(a, balanced);
          Workspace<double> workspace(listed_row_sum_workspace(plan, size_of(rows), d));
          const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
            PropagatedMeanRowsArguments<double> p;
            p.layers = layers;
            p.graph = a.input(use);
            p.rows = use_list(use, rows);
            p.ego = use.input(ego.view());
            for (std::size_t l = 0; l < inner.size(); ++l) p.inner[l] = use.input(std::as_const(inner[l]).view());
            p.last = use.input(last.view());
            p.out = use.output(out.view());
            p.plan = plan;
            p.workspace = workspace.output(use);
            propagated_mean_rows(context, p);
          });
          REQUIRE(report.text() == "");
          require_near(out, [&](index_t k, index_t j) {
            const index_t r = rows[static_cast<std::size_t>(k)];
            double base = ego(r, j);
            for (const auto& layer : inner) base += layer(r, j);
            const auto column = [&](index_t c) { return layers > 0 ? c : -1; };
            Sum sum = reference(a, r, last, j, column, 1.0 / (layers + 1), 0, 0, base);
            sum.size += layers + 1;  // base is itself a sum of values below 1
            return sum;
          });
        }
}

TEST_CASE("More layers than the kernels can add are an error") {
  Context<Emulated> context;
  PropagatedMeanRowsArguments<double> p;
  p.layers = inner_layer_limit + 2;
  REQUIRE_ERROR(propagated_mean_rows(context, p), "the mean of 10 propagated layers, of which at most 9");
}

TEST_CASE("A step of the propagated gradient adds the compact gradient to the product") {
  const Graph<double> a(all_kinds(), all_columns);
  enum class Other { none, compact, dense };
  for (const Other other : {Other::none, Other::compact, Other::dense})
    for (const bool balanced : {false, true})
      for (const double beta : {0.0, 1.0, 0.25})
        for (const index_t d : {7, 64}) {
          CAPTURE(static_cast<int>(other), balanced, beta, d);
          index_t count = 0, other_count = 0;
          const std::vector<index_t> places = random_places(a.rows, 3, count);
          const std::vector<index_t> other_places = random_places(a.cols, 5, other_count);
          const auto sums = random_dense<double>(count, d, 13), other_sums = random_dense<double>(other_count, d, 14);
          const auto h = random_dense<double>(a.cols, d, 15);
          auto out = output_for<double>(a.rows, d, beta);
          const auto old = out;
          const double scale = 1.0 / 3;
          const SpmmPlan plan = plan_for(a, balanced);
          Workspace<double> workspace(row_sum_workspace(plan, d));
          const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
            PropagatedGradientArguments<double> p;
            p.layers = other == Other::none ? 0 : 2;
            p.graph = a.input(use);
            p.places = use_list(use, places);
            p.sums = use.input(sums.view());
            p.other_places = use_list(use, other_places);
            p.other_sums = use.input(other_sums.view());
            if (other == Other::dense) p.h = use.input(h.view());
            p.scale = scale;
            p.beta = beta;
            p.out = use.output(out.view());
            p.plan = plan;
            p.workspace = workspace.output(use);
            propagated_gradient(context, p);
          });
          REQUIRE(report.text() == "");
          require_near(out, [&](index_t i, index_t j) {
            const index_t place = places[static_cast<std::size_t>(i)];
            const double base = place >= 0 ? sums(place, j) : 0;
            const auto column = [&](index_t c) {
              return other == Other::dense ? c : other == Other::none ? -1 : other_places[static_cast<std::size_t>(c)];
            };
            return reference(a, i, other == Other::dense ? h : other_sums, j, column, scale, beta, old(i, j), base);
          });
        }
}

TEST_CASE("Rows are summed by group and scattered back, however large a group is") {
  const RandomStream random{47};
  for (const index_t listed : {0, 1, 31, 32, 33, 127, 128, 129, 257, 5000})
    for (const index_t d : {3, 64}) {
      const index_t total = 200, room = listed + 3;
      std::vector<index_t> rows(static_cast<std::size_t>(listed));
      for (std::size_t k = 0; k < rows.size(); ++k)  // half of them one row
        rows[k] = k % 2 == 0 ? 120 : static_cast<index_t>(random.below(k, static_cast<std::uint64_t>(total)));
      const auto dy = random_dense<double>(listed, d, 16);
      Dense<double> sums(room, d);
      const auto old = random_dense<double>(total, d, 17);
      Dense<double> written(total, d), added = old, scaled = old;
      std::vector<index_t> group_rows(static_cast<std::size_t>(room)), positions(rows.size()), places(total), count(1);
      std::vector<std::int64_t> offsets(static_cast<std::size_t>(room) + 1);
      Workspace<double> workspace(sum_groups_workspace(listed, d));
      const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
        const RowGroupsView groups{use.output(VectorView<index_t>{group_rows.data(), room}),
                                   use.output(offsets.data(), room + 1), use.output(positions.data(), listed),
                                   use.output(VectorView<index_t>{places.data(), total}), use.output(count.data(), 1)};
        build_row_groups(context, {use_list(use, rows), groups, false, nullptr});
        const MatrixView<double> s = use.output(sums.view());
        sum_groups(context, SumGroupsArguments<double>{groups.count,
                                                       groups.offsets,
                                                       {groups.positions, listed},
                                                       use.input(dy.view()),
                                                       s,
                                                       workspace.output(use)});
        for (auto [beta, dx] : {std::pair{0.0, &written}, {1.0, &added}, {-2.0, &scaled}})
          launch<ScatterGroups<double>>(
              context, {groups.count, groups.group_rows, groups.places, s, beta, use.output(dx->view())});
      });
      CAPTURE(listed, d);
      REQUIRE(report.text() == "");
      const auto gradient = [&](index_t r, index_t j, double beta) {
        Sum sum;
        for (index_t k = 0; k < listed; ++k)
          if (rows[static_cast<std::size_t>(k)] == r) sum.add(dy(k, j));
        if (beta != 0) sum.add(beta * old(r, j));
        return sum;
      };
      require_near(written, [&](index_t r, index_t j) { return gradient(r, j, 0); });
      require_near(added, [&](index_t r, index_t j) { return gradient(r, j, 1); });
      require_near(scaled, [&](index_t r, index_t j) { return gradient(r, j, -2); });
      for (index_t g = 0; g < room; ++g) REQUIRE(std::isnan(sums(g, 0)) == (g >= count[0]));
    }
}

TEST_CASE("Each kernel of a balanced sum reads only what it does not write") {
  const Graph<float> a(power_law(40, 600), 100);
  const std::vector<index_t> rows{5, 1, 30, 39, 5, 5, 0, 17};
  const auto x = random_dense<float>(a.cols, 36, 18);
  const auto listed = static_cast<index_t>(rows.size());
  std::vector<std::int64_t> list_offsets(rows.size() + 1);
  const KernelReport scanned = check_kernel<ListOffsets>([&](KernelBuffers& use) {
    return ListOffsets::Params{use_list(use, rows), use.input(a.offsets.data(), size_of(a.offsets)), a.rows,
                               use.output(list_offsets.data(), size_of(list_offsets))};
  });
  REQUIRE(scanned.text() == "");
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const auto r = static_cast<std::size_t>(rows[k]);
    REQUIRE(list_offsets[k + 1] - list_offsets[k] == a.offsets[r + 1] - a.offsets[r]);
  }
  Dense<float> y(listed, 36), carries(20, 36);
  std::vector<index_t> carry_rows(20);
  const auto params = [&](KernelBuffers& use, bool second) {
    ChunkedRowSum<float> p;
    p.sum.a = a.input(use);
    p.sum.x = use.input(x.view());
    p.sum.rows = use_list(use, rows).data;
    p.sum.y = use.output(y.view());
    p.offsets = use.input(list_offsets.data(), size_of(list_offsets));
    p.chunks = 20;
    // The second pass only reads the parts, which its Params hold as memory to write.
    const auto parts = std::as_const(carries).view();
    const auto& part_rows = std::as_const(carry_rows);
    p.carries =
        second ? MatrixView<float>{const_cast<float*>(use.input(parts).data), 20, 36, 36} : use.output(carries.view());
    p.carry_rows = second ? const_cast<index_t*>(use.input(part_rows.data(), 20)) : use.output(carry_rows.data(), 20);
    return p;
  };
  const KernelReport first =
      check_kernel<BalancedRowSums<float>>([&](KernelBuffers& use) { return params(use, false); });
  REQUIRE(first.text() == "");
  const KernelReport last = check_kernel<AddCarries<float>>([&](KernelBuffers& use) { return params(use, true); });
  REQUIRE(last.text() == "");
  const auto expected = [&](index_t k, index_t j) {
    return reference(a, rows[static_cast<std::size_t>(k)], x, j, itself, 1, 0, 0);
  };
  require_near(y, expected);
  const KernelReport by_rows = check_kernel<RowSums<float>>([&](KernelBuffers& use) { return params(use, false).sum; });
  REQUIRE(by_rows.text() == "");
  require_near(y, expected);
}

TEST_CASE("Balanced sums are planned where one row is long beside a device's share, and only they need memory") {
  const auto plan_of = [](const std::vector<index_t>& lengths) {
    return make_spmm_plan(Graph<float>(lengths, 100).offsets.data(), static_cast<index_t>(lengths.size()));
  };
  REQUIRE(plan_of({}).longest_row == 0);
  REQUIRE(plan_of({}).entries == 0);
  const SpmmPlan even = plan_of(std::vector<index_t>(300, 20)), skewed = plan_of(power_law(300, 900));
  REQUIRE(even.entries == 6000);
  REQUIRE(even.longest_row == 20);
  REQUIRE(skewed.longest_row == 900);
  REQUIRE(!even.balanced(even.items()));
  REQUIRE(skewed.balanced(skewed.items()));
  REQUIRE(row_sum_workspace(even, 64).carries == 0);
  REQUIRE(listed_row_sum_workspace(even, 1000, 64).list_offsets == 0);
  REQUIRE(row_sum_workspace(skewed, 64).carries == 64 * ((skewed.items() + 31) / 32));
  REQUIRE(listed_row_sum_workspace(skewed, 1000, 64).list_offsets == 1001);
  // A hundred million entries keep every worker busy longer than a row of 5000 does.
  REQUIRE(!SpmmPlan{1000000, 100000000, 5000}.balanced(101000000));
  REQUIRE(SpmmPlan{1000000, 100000000, 50000}.balanced(101000000));
  REQUIRE(SpmmPlan::chunks(101000000) == 32768);
  // A short last batch is balanced where the whole ones are not: their workspace serves it.
  const SpmmPlan middling{1000, 50000, 150};
  const std::int64_t batch = 40000;
  REQUIRE(!middling.balanced(middling.items_of_list(batch)));
  REQUIRE(middling.balanced(middling.items_of_list(100)));
  REQUIRE(listed_row_sum_workspace(middling, batch, 8).list_offsets == batch + 1);
  REQUIRE(listed_row_sum_workspace(middling, batch, 8).carries >= listed_row_sum_workspace(middling, 100, 8).carries);
}
