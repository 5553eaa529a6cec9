// The behaviour line: LightGCN's propagation on the user-item graph (docs/components.md, 1; He et al., SIGIR 2020).
//
//   forward   X_0 = [E_U; E_I],  X_l = A_hat X_{l-1},  E_B = (X_0 + .. + X_L) / (L + 1),  out = E_B[rows]
//   backward  G = dE_B summed by row,  H_L = G,  H_{l-1} = G + A_hat H_l,  dX_0 = H_0 / (L + 1)   (A_hat is symmetric)
//
// A_hat = [[0, Rn], [Rn^T, 0]] is kept as Rn and its transpose. A training batch needs few rows of the last layer, and
// few rows of G are not zero: the last product forward and the first one backward touch only those.
#pragma once

#include <vector>

#include <dream/kernels/graph_propagation.cuh>
#include <dream/kernels/spmm_plan.cuh>
#include <dream/ops/graph.hpp>

namespace dream {

template <class T, class B>
class GraphPropagation {
 public:
  /// `graph` is Rn with its transpose (n x q) and must outlive this; `layers` is L >= 0.
  GraphPropagation(const SparsePair<T, B>& graph, int layers) : graph_(&graph), layers_(layers) {
    DREAM_EXPECT(layers >= 0, "a graph propagation cannot have ", layers, " layers");
  }

  /// The rows of the result: first the listed users', then the listed items'. The memory must outlive the step.
  void select(VectorView<const index_t> users, VectorView<const index_t> items) {
    users_ = users;
    items_ = items;
  }

  Shape shape(MatrixView<const T> users, MatrixView<const T>) const {
    return {row_count("graph propagation", users_.size + items_.size), users.cols};
  }

  void forward(Context<B>& context, MatrixView<const T> users, MatrixView<const T> items, MatrixView<T> out) {
    DREAM_EXPECT(users.rows == graph_->rows() && items.rows == graph_->cols() && users.cols == items.cols,
                 "graph propagation: users are ", shape_of(users), ", items ", shape_of(items), ", the graph joins ",
                 graph_->rows(), " to ", graph_->cols());
    check_rows(context, users_, users.rows);
    check_rows(context, items_, items.rows);
    user_layers_.resize(static_cast<std::size_t>(std::max(0, layers_ - 1)));
    item_layers_.resize(user_layers_.size());
    MatrixView<const T> xu = users, xi = items;
    for (std::size_t l = 0; l < user_layers_.size(); ++l) {
      user_layers_[l].resize(context, users.rows, users.cols);
      item_layers_[l].resize(context, items.rows, items.cols);
      spmm<T>(context, T{1}, graph_->forward, xi, T{0}, user_layers_[l].view());
      spmm<T>(context, T{1}, graph_->transposed, xu, T{0}, item_layers_[l].view());
      xu = user_layers_[l].view();
      xi = item_layers_[l].view();
    }
    const index_t count = static_cast<index_t>(users_.size);
    mean_rows(context, graph_->forward, users_, users, user_layers_, xi, out.middle_rows(0, count));
    mean_rows(context, graph_->transposed, items_, items, item_layers_, xu,
              out.middle_rows(count, static_cast<index_t>(items_.size)));
  }

  void backward(Context<B>& context, MatrixView<const T> users, MatrixView<const T> items, MatrixView<const T>,
                MatrixView<const T> d_out, GradView<T> d_users, GradView<T> d_items) {
    if (!d_users.wanted() && !d_items.wanted()) return;
    const index_t count = static_cast<index_t>(users_.size);
    user_groups_.build(context, users_, users.rows);
    item_groups_.build(context, items_, items.rows);
    sum_groups<T>(context, user_groups_, d_out.middle_rows(0, count),
                  resize_for_groups(context, user_sums_, user_groups_, users.cols));
    sum_groups<T>(context, item_groups_, d_out.middle_rows(count, static_cast<index_t>(items_.size)),
                  resize_for_groups(context, item_sums_, item_groups_, items.cols));
    const T share = T{1} / static_cast<T>(layers_ + 1);
    const Side user_side{graph_->forward, user_groups_.places(), user_sums_.view()};
    const Side item_side{graph_->transposed, item_groups_.places(), item_sums_.view()};
    // H_l of both sides, l = L-1 .. 0; the last one goes straight into the gradients.
    MatrixView<const T> hu, hi;
    for (int l = layers_ - 1; l >= 1; --l) {
      // The layers' memory is free again: what the forward pass kept there was needed only by the layer above.
      const MatrixView<T> to_users = user_layers_[static_cast<std::size_t>(l - 1)].view();
      const MatrixView<T> to_items = item_layers_[static_cast<std::size_t>(l - 1)].view();
      horner_step(context, user_side, item_side, hi, T{1}, T{0}, to_users);
      horner_step(context, item_side, user_side, hu, T{1}, T{0}, to_items);
      hu = to_users;
      hi = to_items;
    }
    if (d_users.wanted()) horner_step(context, user_side, item_side, hi, share, d_users.beta, d_users.view);
    if (d_items.wanted()) horner_step(context, item_side, user_side, hu, share, d_items.beta, d_items.view);
  }

 private:
  struct Side {
    const Csr<T, B>& graph;  // rows of this side, columns of the other
    VectorView<const index_t> places;
    MatrixView<const T> sums;  // G, compact
  };

  static std::string shape_of(MatrixView<const T> m) { return dream::shape(m); }

  void mean_rows(Context<B>& context, const Csr<T, B>& graph, VectorView<const index_t> rows, MatrixView<const T> ego,
                 const std::vector<Matrix<T, B>>& layers, MatrixView<const T> last, MatrixView<T> out) const {
    propagated_mean_rows(context, layers_, graph, rows, ego, layers, last, out);
  }

  // out = scale * (G + A_hat H) + beta out on one side; h empty: H is G itself, compact.
  void horner_step(Context<B>& context, const Side& side, const Side& other, MatrixView<const T> h, T scale, T beta,
                   MatrixView<T> out) const {
    propagated_gradient(context, layers_, side.graph, side.places, side.sums, other.places, other.sums, h, scale, beta,
                        out);
  }

  const SparsePair<T, B>* graph_;
  int layers_;
  VectorView<const index_t> users_, items_;
  RowGroups<B> user_groups_, item_groups_;
  std::vector<Matrix<T, B>> user_layers_, item_layers_;
  Matrix<T, B> user_sums_, item_sums_;
};

/// out[k] = (ego[r] + sum of layers[.][r] + A[r] last) / (L + 1) for r = rows[k]; L = 0 has no product.
template <class T>
void propagated_mean_rows(Context<Cpu>& context, int layers, const Csr<T, Cpu>& a, VectorView<const index_t> rows,
                          MatrixView<const T> ego, const std::vector<Matrix<T, Cpu>>& inner, MatrixView<const T> last,
                          MatrixView<T> out) {
  const CsrView<T> graph = a.view();
  const T share = T{1} / static_cast<T>(layers + 1);
  context.parallel_blocks(rows.size, cpu::rows_per_task, [&](std::int64_t begin, std::int64_t end) {
    for (index_t k = static_cast<index_t>(begin); k < end; ++k) {
      const index_t r = rows[k];
      T* to = out.row(k);
      std::copy_n(ego.row(r), ego.cols, to);
      for (const auto& layer : inner) {
        const T* from = layer.view().row(r);
        for (index_t j = 0; j < ego.cols; ++j) to[j] += from[j];
      }
      const std::int64_t first = graph.offsets[r], entries = layers > 0 ? graph.offsets[r + 1] - first : 0;
      cpu::sum_rows<T>(entries, graph.indices + first, graph.values + first, last, to, share, T{0}, to);
    }
  });
}

/// One row after the other of scale * (G + A H) + beta out, see GraphPropagation.
template <class T>
void propagated_gradient(Context<Cpu>& context, int layers, const Csr<T, Cpu>& a, VectorView<const index_t> places,
                         MatrixView<const T> sums, VectorView<const index_t> other_places,
                         MatrixView<const T> other_sums, MatrixView<const T> h, T scale, T beta, MatrixView<T> out) {
  const CsrView<T> graph = a.view();
  context.parallel_blocks(out.rows, cpu::rows_per_task, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const T* base = places[i] >= 0 ? sums.row(places[i]) : nullptr;
      const std::int64_t first = graph.offsets[i];
      if (layers == 0)
        cpu::sum_rows<T>(0, nullptr, nullptr, out, base, scale, beta, out.row(i));
      else if (h.data == nullptr)
        cpu::sum_placed_rows<T>(graph, i, other_places, other_sums, base, scale, beta, out.row(i));
      else
        cpu::sum_rows<T>(graph.offsets[i + 1] - first, graph.indices + first, graph.values + first, h, base, scale,
                         beta, out.row(i));
    }
  });
}

// The same by kernels.

template <class T, KernelBackend B>
void propagated_mean_rows(Context<B>& context, int layers, const Csr<T, B>& graph, VectorView<const index_t> rows,
                          MatrixView<const T> ego, const std::vector<Matrix<T, B>>& inner, MatrixView<const T> last,
                          MatrixView<T> out) {
  DREAM_EXPECT(inner.size() <= kernels::inner_layer_limit, "graph propagation: ", layers, " layers, kernels take ",
               kernels::inner_layer_limit + 1);
  kernels::PropagatedMeanRowsArguments<T> a;
  a.layers = layers;
  a.graph = graph.view();
  a.rows = rows;
  a.ego = ego;
  for (std::size_t l = 0; l < inner.size(); ++l) a.inner[l] = inner[l].view();
  a.last = last;
  a.out = out;
  a.plan = graph.plan;
  a.workspace = row_sum_scratch<T>(context, kernels::listed_row_sum_workspace(graph.plan, rows.size, out.cols));
  kernels::propagated_mean_rows(context, a);
}

template <class T, KernelBackend B>
void propagated_gradient(Context<B>& context, int layers, const Csr<T, B>& graph, VectorView<const index_t> places,
                         MatrixView<const T> sums, VectorView<const index_t> other_places,
                         MatrixView<const T> other_sums, MatrixView<const T> h, T scale, T beta, MatrixView<T> out) {
  kernels::propagated_gradient(
      context, kernels::PropagatedGradientArguments<T>{
                   layers, graph.view(), places, sums, other_places, other_sums, h, scale, beta, out, graph.plan,
                   row_sum_scratch<T>(context, kernels::row_sum_workspace(graph.plan, out.cols))});
}

}  // namespace dream
