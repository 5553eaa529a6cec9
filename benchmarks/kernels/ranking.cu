// Selection: the best items of all users over all items, against a product by cuBLAS and a sort of each tile; the
// nearest rows in a tile of similarities, against the sort alone; and the metrics of ranked lists.
#include <cub/device/device_segmented_sort.cuh>

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <dream/kernels/ranking_metrics.cuh>
#include <dream/kernels/top_k.cuh>

#include "cases.cuh"
#include "graphs.cuh"

namespace dream_benchmarks {

namespace {

/// Scores of seen items in a tile, -infinity; a block a user.
__global__ void mask_seen(MatrixView<float> tile, CsrView<float> seen, index_t first) {
  const auto row = static_cast<index_t>(blockIdx.x);
  for (std::int64_t e = seen.offsets[first + row] + threadIdx.x; e < seen.offsets[first + row + 1]; e += blockDim.x)
    tile(row, seen.indices[e]) = -INFINITY;
}

/// Every row of a tile, sorted by cub with the numbers of its columns; the best k go to lists.
class SortedTile {
 public:
  SortedTile(Inputs& inputs, index_t rows, index_t cols)
      : context_(&inputs.context()),
        keys_(inputs.matrix(rows, cols)),
        sorted_(inputs.matrix(rows, cols)),
        order_(inputs.matrix<index_t>(rows, cols)) {
    std::vector<index_t> numbers(static_cast<std::size_t>(keys_.size()));
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<index_t>(i) % cols;
    std::vector<index_t> begins(static_cast<std::size_t>(rows) + 1);
    for (std::size_t i = 0; i < begins.size(); ++i) begins[i] = static_cast<index_t>(i) * cols;
    numbers_ = inputs.copied<index_t>(numbers).data;
    begins_ = inputs.copied<index_t>(begins).data;
    sort(nullptr, rows);
    memory_ = inputs.room<std::byte>(static_cast<std::int64_t>(bytes_));
  }

  /// What is to be sorted.
  MatrixView<float> keys() const { return keys_; }
  /// The best of the tile's first rows into rows of the lists.
  void select(MatrixView<float> values, MatrixView<index_t> indices) {
    sort(memory_, values.rows);
    copy(sorted_.data, values);
    copy(order_.data, indices);
  }

 private:
  void sort(void* memory, index_t rows) {
    DREAM_CUDA_TRY(cub::DeviceSegmentedSort::SortPairsDescending(
        memory, bytes_, static_cast<const float*>(keys_.data), sorted_.data, static_cast<const index_t*>(numbers_),
        order_.data, std::int64_t{rows} * keys_.cols, rows, static_cast<const index_t*>(begins_),
        static_cast<const index_t*>(begins_ + 1), context_->stream()));
  }
  template <class T>
  void copy(const T* from, MatrixView<T> to) {
    DREAM_CUDA_TRY(cudaMemcpy2DAsync(to.data, static_cast<std::size_t>(to.stride) * sizeof(T), from,
                                     static_cast<std::size_t>(keys_.cols) * sizeof(T),
                                     static_cast<std::size_t>(to.cols) * sizeof(T), static_cast<std::size_t>(to.rows),
                                     cudaMemcpyDeviceToDevice, context_->stream()));
  }

  Context<Cuda>* context_;
  MatrixView<float> keys_, sorted_;
  MatrixView<index_t> order_;
  const index_t* numbers_ = nullptr;
  const index_t* begins_ = nullptr;
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Lists agree where their values do; an index may differ where neighbours in a list have nearly the same value.
void expect_same_lists(Context<Cuda>& context, MatrixView<const float> values, MatrixView<const index_t> indices,
                       MatrixView<const float> expected, MatrixView<const index_t> expected_indices) {
  expect_close(context, "the values", values, expected, 1e-5);
  const auto found = on_host(context, indices.data, indices.size()),
             wanted = on_host(context, expected_indices.data, expected_indices.size());
  std::int64_t other = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    DREAM_EXPECT(found[i] >= 0, "an index is missing");
    other += found[i] != wanted[i];
  }
  DREAM_EXPECT(1000 * other <= static_cast<std::int64_t>(found.size()), other, " of ", found.size(),
               " indices are others than the sort's");
}

Work top_k(const GraphSize& size, index_t dim, index_t k) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const Csr<float, Cpu>& interactions = interactions_of(size);
  const auto seen = std::make_shared<const Csr<float, Cuda>>(upload(context, interactions));
  const index_t users = interactions.rows, items = interactions.cols;
  kernels::TopKArguments<float> a;
  a.users = inputs->uniform(users, dim);
  a.items = inputs->uniform(items, dim);
  a.seen = seen->view();
  a.indices = inputs->matrix<index_t>(users, k);
  a.scores = inputs->matrix(users, k);
  const kernels::TopKWorkspace space = kernels::top_k_workspace(a);
  a.list_values = inputs->room<float>(space.values);
  a.list_indices = inputs->room<index_t>(space.indices);

  const index_t tile_rows = std::min<index_t>(users, std::max<index_t>(64, (1 << 25) / items));
  const auto tile = std::make_shared<SortedTile>(*inputs, tile_rows, items);
  const MatrixView<float> scores = inputs->matrix(users, k);
  const MatrixView<index_t> indices = inputs->matrix<index_t>(users, k);
  const auto products = [=, &context](bool selects) {
    for (index_t first = 0; first < users; first += tile_rows) {
      const index_t rows = std::min(tile_rows, users - first);
      const MatrixView<float> keys = tile->keys().middle_rows(0, rows);
      gemm<float>(context, Op::none, Op::transpose, 1.0F, a.users.middle_rows(first, rows), a.items, 0.0F, keys);
      if (!selects) continue;
      mask_seen<<<static_cast<unsigned>(rows), 64, 0, context.stream()>>>(keys, a.seen, first);
      DREAM_CUDA_TRY(cudaGetLastError());
      tile->select(scores.middle_rows(first, rows), indices.middle_rows(first, rows));
    }
  };
  Work work;
  work.inputs = inputs;
  work.contenders = {{"dream", [&context, a, seen] { kernels::top_k(context, a); }},
                     {"cublas_and_cub_sort", [products] { products(true); }, true},
                     {"cublas_products", [products] { products(false); }}};
  work.operations = 2.0 * users * items * dim;
  work.bytes = 4.0 * (1.0 * users + items) * dim + 8.0 * users * k;
  work.check = [=, &context] {
    products(true);
    expect_same_lists(context, a.scores, a.indices, scores, indices);
  };
  return work;
}

Work tile_selection(index_t rows, index_t cols, index_t k) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const auto sorted = std::make_shared<SortedTile>(*inputs, rows, cols);
  launch<FillUniform>(context, {{sorted->keys().data, sorted->keys().size()}, 5, -1, 1});
  kernels::TopKRowsArguments<float> a;
  a.tile = sorted->keys();
  a.values = inputs->matrix(rows, k);
  a.indices = inputs->matrix<index_t>(rows, k);
  a.fresh = true;
  const MatrixView<float> values = inputs->matrix(rows, k);
  const MatrixView<index_t> indices = inputs->matrix<index_t>(rows, k);
  Work work;
  work.inputs = inputs;
  work.bytes = 4.0 * rows * cols;
  work.contenders = {{"dream", [=, &context] { kernels::top_k_rows(context, a); }},
                     {"cub_sort", [=] { sorted->select(values, indices); }, true},
                     copy_of(*inputs, work.bytes)};
  work.check = [=, &context] {
    sorted->select(values, indices);
    expect_same_lists(context, a.values, a.indices, values, indices);
  };
  return work;
}

Work metrics(index_t users, index_t items, index_t depth) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const Csr<float, Cpu> held_out = power_law({"held out", users, items, std::int64_t{users} * 3});
  std::vector<index_t> lists(static_cast<std::size_t>(users) * static_cast<std::size_t>(depth));
  // Distinct items: a walk with a step that is prime to their number, from where a held-out item can be hit.
  index_t step = 1 + items / 3;
  while (std::gcd(items, step) != 1) ++step;
  for (index_t u = 0; u < users; ++u) {
    index_t item = held_out.indices[held_out.offsets[u]];
    for (index_t j = 0; j < depth; ++j, item = (item + step) % items)
      lists[static_cast<std::size_t>(u) * static_cast<std::size_t>(depth) + static_cast<std::size_t>((j + u) % depth)] =
          item;
  }
  // Without repeats, as the kernel wants them.
  std::vector<std::int64_t> offsets{0};
  std::vector<index_t> items_of;
  for (index_t u = 0; u < users; ++u) {
    const std::set<index_t> distinct(held_out.indices.data() + held_out.offsets[u],
                                     held_out.indices.data() + held_out.offsets[u + 1]);
    items_of.insert(items_of.end(), distinct.begin(), distinct.end());
    offsets.push_back(static_cast<std::int64_t>(items_of.size()));
  }
  kernels::RankingMetricsArguments a;
  a.ranked = {inputs->copied<index_t>(lists).data, users, depth, depth};
  a.held_out_offsets = inputs->copied<std::int64_t>(offsets).data;
  a.held_out_indices = inputs->copied<index_t>(items_of).data;
  a.cutoffs[0] = 10;
  a.cutoffs[1] = 20;
  a.cutoffs[2] = depth;
  a.cutoff_count = 3;
  a.table = inputs->room<double>(kernels::ranking_metrics_table(3));
  a.pieces = inputs->room<double>(kernels::ranking_metrics_workspace(users, 3));
  Work work;
  work.inputs = inputs;
  work.bytes = 4.0 * users * depth + 8.0 * users + 4.0 * static_cast<double>(items_of.size());
  work.contenders = {{"dream", [=, &context] { kernels::ranking_metrics(context, a); }}, copy_of(*inputs, work.bytes)};
  work.check = [=, &context] {
    const auto table = on_host<double>(context, a.table, kernels::ranking_metrics_table(3));
    for (int c = 0; c < 3; ++c) {
      double recall = 0;
      for (index_t u = 0; u < users; ++u) {
        const auto begin = items_of.begin() + offsets[static_cast<std::size_t>(u)],
                   end = items_of.begin() + offsets[static_cast<std::size_t>(u) + 1];
        double hits = 0;
        for (index_t j = 0; j < a.cutoffs[c]; ++j)
          hits += std::binary_search(begin, end, lists[static_cast<std::size_t>(u * depth + j)]);
        recall += hits / static_cast<double>(end - begin) / users;
      }
      Difference difference;
      difference.add(table[static_cast<std::size_t>(c * kernels::ranking_metric_count)], recall);
      difference.expect_below(1e-9, "recall");
    }
  };
  return work;
}

}  // namespace

void add_ranking_cases() {
  std::vector<GraphSize> sizes(std::begin(graph_sizes), std::end(graph_sizes));
  sizes.push_back({"100k_x_20k", 100000, 20000, 2000000});
  for (const GraphSize& size : sizes)
    add_case("top_k/" + size.name + "/64", {"dream", "cublas_and_cub_sort", "cublas_products"},
             [size] { return top_k(size, 64, 20); });
  struct Tile {
    index_t rows, cols, k;
  };
  for (const Tile t : {Tile{4096, 7050, 10}, Tile{4096, 7050, 50}, Tile{1024, 100000, 20}})
    add_case("knn_tile/" + std::to_string(t.rows) + "x" + std::to_string(t.cols) + "/" + std::to_string(t.k),
             {"dream", "cub_sort", "copy"}, [t] { return tile_selection(t.rows, t.cols, t.k); });
  add_case("ranking_metrics/20k/50", {"dream", "copy"}, [] { return metrics(19445, 7050, 50); });
}

}  // namespace dream_benchmarks
