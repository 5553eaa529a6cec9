// Y = A X: spmm() by the plan, by its other mapping, cuSPARSE with its analysis kept, and a plain kernel.
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include <dream/kernels/sparse_products.cuh>
#include <dream/kernels/spmm_plan.cuh>

#include "cases.cuh"
#include "graphs.cuh"

namespace dream_benchmarks {

namespace {

/// A thread a value of Y.
__global__ void plain_product(CsrView<float> a, MatrixView<const float> x, MatrixView<float> y) {
  const std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (at >= y.size()) return;
  const auto row = static_cast<index_t>(at / y.cols), col = static_cast<index_t>(at % y.cols);
  float sum = 0;
  for (std::int64_t e = a.offsets[row]; e < a.offsets[row + 1]; ++e) sum += a.values[e] * x(a.indices[e], col);
  y(row, col) = sum;
}

/// A sparse matrix on the card; the one of the case before where it is the same.
std::shared_ptr<const Csr<float, Cuda>> on_card(const std::string& name, const std::function<Csr<float, Cpu>()>& make) {
  static std::pair<std::string, std::weak_ptr<const Csr<float, Cuda>>> last;
  if (last.first == name)
    if (auto held = last.second.lock()) return held;
  auto made = std::make_shared<const Csr<float, Cuda>>(upload(gpu(), make()));
  last = {name, made};
  return made;
}

Work product(const std::shared_ptr<const Csr<float, Cuda>>& a, index_t dim) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> x = inputs->uniform(a->cols, dim);
  const MatrixView<float> y = inputs->matrix(a->rows, dim), expected = inputs->matrix(a->rows, dim);

  kernels::SpmmArguments<float> by_plan, other;
  by_plan.a = a->view();
  by_plan.x = x;
  by_plan.y = y;
  by_plan.plan = a->plan;
  other = by_plan;
  const bool balanced = a->plan.balanced(a->plan.items());
  other.plan.longest_row = balanced ? 0 : std::numeric_limits<index_t>::max();
  for (auto* arguments : {&by_plan, &other}) {
    const kernels::RowSumSpace space = kernels::row_sum_workspace(arguments->plan, dim);
    arguments->workspace = {inputs->room<float>(space.carries), inputs->room<index_t>(space.carry_rows), nullptr};
  }
  const auto repeatable = std::make_shared<CusparseMatrix<float>>(context, a->view(), a->entries());
  const auto unordered =
      std::make_shared<CusparseMatrix<float>>(context, a->view(), a->entries(), SparseProducts::unordered);
  const auto by_library = [&context, a, x, expected](const std::shared_ptr<CusparseMatrix<float>>& matrix) {
    return [&context, a, x, expected, matrix] { matrix->multiply(context, 1.0F, x, 0.0F, expected); };
  };

  Work work;
  work.inputs = inputs;
  work.shared = a;
  work.contenders = {
      {"dream", [&context, a, by_plan] { kernels::spmm(context, by_plan); }},
      {"dream_other_mapping", [&context, a, other] { kernels::spmm(context, other); }},
      {"cusparse_repeatable", by_library(repeatable)},
      {"cusparse_unordered", by_library(unordered)},
      {"naive",
       [&context, a, x, expected] {
         plain_product<<<static_cast<unsigned>((expected.size() + 255) / 256), 256, 0, context.stream()>>>(a->view(), x,
                                                                                                           expected);
         DREAM_CUDA_TRY(cudaGetLastError());
       }},
  };
  // Rows of X that are used at all are read once where the cache holds them: that is the floor.
  const double entries = static_cast<double>(a->entries()), value = sizeof(float);
  const double used_rows = std::min(static_cast<double>(a->cols), entries);
  work.bytes = entries * (4 + value) + a->rows * 8.0 + (used_rows + a->rows) * dim * value;
  work.operations = 2 * entries * dim;
  work.numbers = {{"entries", entries},
                  {"longest_row", static_cast<double>(a->plan.longest_row)},
                  {"balanced", balanced ? 1.0 : 0.0},
                  {"bytes_without_cache", entries * (4 + value + dim * value) + a->rows * (8.0 + dim * value)}};
  work.check = [&context, y, expected, run = work.contenders[1].run, library = work.contenders[2].run] {
    library();
    expect_close(context, "Y", y, expected, 1e-5);
    run();
    expect_close(context, "Y by the other mapping", y, expected, 1e-5);
  };
  return work;
}

}  // namespace

void add_sparse_product_cases() {
  const std::vector<std::string> who{"dream", "dream_other_mapping", "cusparse_repeatable", "cusparse_unordered",
                                     "naive"};
  for (const GraphSize& size : graph_sizes)
    for (const bool transposed : {false, true})
      for (const index_t dim : {32, 64, 128, 256}) {
        const std::string graph = size.name + (transposed ? "_items" : "_users");
        add_case("spmm/" + graph + "/" + std::to_string(dim), who, [size, transposed, dim, graph] {
          return product(on_card(graph, [&] { return propagation_graph(size, transposed); }), dim);
        });
      }

  for (const std::int64_t millions : {1, 10, 100}) {
    const std::int64_t entries = millions * 1'000'000, users = entries / 20, items = users / 2;
    const GraphSize size{"power_law_" + std::to_string(millions) + "M", static_cast<index_t>(users),
                         static_cast<index_t>(items), entries};
    for (const index_t dim : {32, 64, 128, 256}) {
      // Offsets, indices, values, cuSPARSE's copies and three dense matrices.
      const std::int64_t needed = 16 * entries + 32 * users + 4 * std::int64_t{dim} * (2 * users + items);
      const std::string name = "spmm/" + size.name + "/" + std::to_string(dim);
      if (!has_room(name, needed)) continue;
      // One thread of the plain kernel would walk a row of a hundredth of all entries.
      const std::vector<std::string> contenders(who.begin(), who.end() - (millions > 10 ? 1 : 0));
      add_case(name, contenders,
               [size, dim] { return product(on_card(size.name, [&] { return power_law(size); }), dim); });
    }
  }
}

}  // namespace dream_benchmarks
