// Times of building graphs and of full-ranking evaluation, beside the matrix product that bounds them.
//
// Interactions are those of the set named "baby" in the folder that DREAM_DATA points to, or random ones of the same
// counts. Arguments of each benchmark are its sizes. Rates count the multiply-adds the method needs (a symmetric
// product once), so they compare with the rate of the bare product.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <dream/core/random.hpp>
#include <dream/eval/ranking.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/graph/cooccurrence.hpp>
#include <dream/graph/knn_approximate.hpp>
#include <dream/graph/relation.hpp>

namespace {

using namespace dream;

constexpr index_t users = 19445, items = 7050;
constexpr std::int64_t pairs = 118551;

Matrix<float, Cpu> random_matrix(index_t rows, index_t cols, std::uint64_t seed) {
  Matrix<float, Cpu> m(rows, cols);
  const RandomStream random{seed};
  for (std::int64_t e = 0; e < m.size(); ++e)
    m.data()[e] = static_cast<float>(random.uniform(static_cast<std::uint64_t>(e)) - 0.4);
  return m;
}

Pairs interactions() {
  Pairs train;
  const char* folder = std::getenv("DREAM_DATA");
  std::ifstream file(std::filesystem::path(folder ? folder : "") / "baby" / "baby.inter");
  std::string header;
  if (folder && std::getline(file, header) && header.rfind("userID\titemID\tx_label", 0) == 0) {
    index_t user, item;
    int label;
    while (file >> user >> item >> label)
      if (label == 0) {
        train.user.push_back(user);
        train.item.push_back(item);
      }
    return train;
  }
  const RandomStream random{1};
  for (std::uint64_t e = 0; e < static_cast<std::uint64_t>(pairs); ++e) {
    const double u = random.uniform(2 * e + 1);
    train.user.push_back(static_cast<index_t>(random.below(2 * e, users)));
    train.item.push_back(static_cast<index_t>(u * u * u * items));
  }
  return train;
}

const Csr<float, Cpu>& train() {
  static const Csr<float, Cpu> matrix = [] {
    Context<Cpu> context;
    return interaction_matrix<float>(context, interactions(), users, items);
  }();
  return matrix;
}

void rate(benchmark::State& state, double flop) {
  state.counters["flop"] = benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
}

void product(benchmark::State& state) {
  Context<Cpu> context;
  const index_t m = static_cast<index_t>(state.range(0)), n = static_cast<index_t>(state.range(1)),
                k = static_cast<index_t>(state.range(2));
  const auto a = random_matrix(m, k, 1), b = random_matrix(n, k, 2);
  Matrix<float, Cpu> c(m, n);
  for (auto _ : state) gemm<float>(context, Op::none, Op::transpose, 1.0f, a.view(), b.view(), 0.0f, c.view());
  rate(state, 2.0 * m * n * k);
}
BENCHMARK(product)->Args({2304, 2304, 1024})->Args({19445, 7050, 64})->Unit(benchmark::kMillisecond)->UseRealTime();

void bipartite(benchmark::State& state) {
  Context<Cpu> context;
  const Pairs given = interactions();
  for (auto _ : state) {
    const auto r = interaction_matrix<float>(context, given, users, items);
    benchmark::DoNotOptimize(bipartite_graph(context, r.view()).item_user.values.data());
  }
}
BENCHMARK(bipartite)->Unit(benchmark::kMillisecond)->UseRealTime();

void item_neighbours(benchmark::State& state) {
  Context<Cpu> context;
  const index_t rows = static_cast<index_t>(state.range(0)), dim = static_cast<index_t>(state.range(1));
  const auto x = random_matrix(rows, dim, 3);
  for (auto _ : state) benchmark::DoNotOptimize(knn_graph<float>(context, x.view(), {}).values.data());
  rate(state, 1.0 * rows * rows * dim);
}
BENCHMARK(item_neighbours)->Args({7050, 384})->Args({7050, 4096})->Unit(benchmark::kMillisecond)->UseRealTime();

void both_relation_graphs(benchmark::State& state) {
  Context<Cpu> context;
  const index_t dim = static_cast<index_t>(state.range(0));
  const auto x = random_matrix(items, dim, 3);
  const auto mean = user_mean_operator(context, train().view());
  for (auto _ : state)
    benchmark::DoNotOptimize(relation_graphs<float>(context, x.view(), mean.view()).user.values.data());
  rate(state, 1.0 * items * items * dim + 2.0 * static_cast<double>(mean.entries()) * (users + items));
}
BENCHMARK(both_relation_graphs)->Arg(384)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();

void approximate(benchmark::State& state) {
  Context<Cpu> context;
  const index_t rows = static_cast<index_t>(state.range(0)), dim = static_cast<index_t>(state.range(1)), centres = 2000;
  auto x = random_matrix(rows, dim, 4);
  const auto centre = random_matrix(centres, dim, 5);
  for (index_t i = 0; i < rows; ++i)
    for (index_t c = 0; c < dim; ++c) x.view()(i, c) += centre.view()(i % centres, c);
  Neighbours<float> found;
  for (auto _ : state)
    found = approximate_neighbours<float>(context, x.view(), {.probes = static_cast<index_t>(state.range(2))});
  state.counters["recall"] = knn_recall<float>(context, x.view(), found, 500);
}
BENCHMARK(approximate)->Args({100000, 128, 8})->Args({100000, 128, 32})->Iterations(1)->UseRealTime();

void cooccurrence(benchmark::State& state) {
  Context<Cpu> context;
  const auto transposed = transpose(context, train().view());
  for (auto _ : state)
    benchmark::DoNotOptimize(
        cooccurrence_graph(context, train().view(), transposed.view(), static_cast<index_t>(state.range(0)))
            .values.data());
}
BENCHMARK(cooccurrence)->Arg(20)->Unit(benchmark::kMillisecond)->UseRealTime();

void full_ranking(benchmark::State& state) {
  Context<Cpu> context;
  const index_t dim = static_cast<index_t>(state.range(0)), k = static_cast<index_t>(state.range(1));
  const auto u = random_matrix(users, dim, 6), v = random_matrix(items, dim, 7);
  Matrix<index_t, Cpu> found(users, k);
  for (auto _ : state) top_k<float>(context, u.view(), v.view(), train().view(), {.k = k}, found.view());
  rate(state, 2.0 * users * items * dim);
}
BENCHMARK(full_ranking)->Args({64, 20})->Args({64, 50})->Unit(benchmark::kMillisecond)->UseRealTime();

void evaluation(benchmark::State& state) {
  Context<Cpu> context;
  const auto u = random_matrix(users, 64, 6), v = random_matrix(items, 64, 7);
  for (auto _ : state)
    benchmark::DoNotOptimize(evaluate<float>(context, u.view(), v.view(), train().view(), train().view()).all.users);
}
BENCHMARK(evaluation)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
