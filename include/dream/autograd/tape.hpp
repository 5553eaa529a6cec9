// A minimal reverse-mode tape.
//
// An op is any object with
//   Shape shape(in...) const;
//   void forward(Context<B>&, in..., MatrixView<T> out);
//   void backward(Context<B>&, in..., MatrixView<const T> out, MatrixView<const T> d_out, GradView<T>... d_in);
// where every `in` is a MatrixView<const T>. What backward needs besides, the op keeps as members. An op that takes any
// number of inputs has std::span<const MatrixView<const T>> for `in...` and std::span<const GradView<T>> for `d_in...`.
// backward writes the gradients in the order of the inputs: those of a value that is an input twice share a buffer, in
// which the first one finds beta = 0 and the second one adds to it. check_op (testing/gradient_check.hpp) checks an op.
//
// The tape is rebuilt every step; clear() keeps all buffers, so training allocates in its first step only. Gradients
// are not zero-filled: the first writer is told beta = 0, later ones beta = 1.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/kernels/elementwise.cuh>

namespace dream {

/// Rows and columns of a result.
struct Shape {
  index_t rows = 0;
  index_t cols = 0;
};

/// Where an op's backward puts the gradient of one input: view = beta * view + gradient. With beta 0 the old contents
/// are not read. Not wanted: the input needs no gradient, and the view is empty.
template <class T>
struct GradView {
  MatrixView<T> view;
  T beta = T{0};
  bool is_wanted = false;

  bool wanted() const { return is_wanted; }
};

/// The same for a kernel.
template <class T>
kernels::GradientTarget<T> kernel_target(const GradView<T>& gradient) {
  return {gradient.wanted() ? gradient.view : MatrixView<T>{}, gradient.beta};
}

/// A value on a tape.
struct Var {
  int id = -1;

  bool valid() const { return id >= 0; }
};

template <class T, class B>
class Tape {
 public:
  explicit Tape(Context<B>& context) : context_(&context) {}

  Context<B>& context() const { return *context_; }

  /// A value that takes no gradient. The memory stays the caller's and must outlive the step.
  Var constant(MatrixView<const T> value) {
    Node& node = add_node();
    node.value = value;
    return last();
  }

  /// A value whose gradient backward() writes into `gradient` (all zeros when the loss does not depend on it). The same
  /// value and gradient again in a step are the same Var.
  Var input(MatrixView<const T> value, MatrixView<T> gradient) {
    DREAM_EXPECT(value.rows == gradient.rows && value.cols == gradient.cols, "tape input: value is ", shape(value),
                 ", gradient is ", shape(gradient));
    for (std::size_t i = 0; i < size_; ++i) {
      const Node& other = *nodes_[i];
      if (!other.is_input || other.gradient.data != gradient.data || gradient.empty()) continue;
      DREAM_EXPECT(other.value.data == value.data && other.value.rows == value.rows && other.value.cols == value.cols,
                   "tape input: two values share the memory of their gradients");
      return {static_cast<int>(i)};
    }
    Node& node = add_node();
    node.value = value;
    node.gradient = gradient;
    node.needs_gradient = true;
    node.is_input = true;
    return last();
  }

  /// Applies an op that the caller keeps alive until the tape is cleared (a component's member, with its buffers).
  template <class Operation, class... Vars>
  requires(std::is_lvalue_reference_v<Operation> && (std::is_same_v<Vars, Var> && ...)) Var
      apply(Operation&& op, Vars... inputs) {
    const std::array<Var, sizeof...(Vars)> ids{inputs...};
    return record<false>(op, std::span<const Var>(ids));
  }

  /// Applies an op that the tape keeps.
  template <class Operation, class... Vars>
  requires(!std::is_lvalue_reference_v<Operation> && (std::is_same_v<Vars, Var> && ...)) Var
      apply(Operation&& op, Vars... inputs) {
    const std::array<Var, sizeof...(Vars)> ids{inputs...};
    return record<false>(own(std::forward<Operation>(op)), std::span<const Var>(ids));
  }

  /// Applies an op on any number of inputs.
  template <class Operation>
  Var apply_to_all(Operation&& op, std::span<const Var> inputs) {
    if constexpr (std::is_lvalue_reference_v<Operation>)
      return record<true>(op, inputs);
    else
      return record<true>(own(std::forward<Operation>(op)), inputs);
  }

  /// Cuts x by rows into pieces, without copying. x itself must not be used as an input afterwards.
  template <std::size_t N>
  std::array<Var, N> split_rows(Var x, const std::array<index_t, N>& counts) {
    std::array<Var, N> pieces;
    index_t first = 0;
    DREAM_EXPECT(at(x).uses == 0 && !at(x).is_input && !at(x).is_split,
                 "tape: a value can be split only once and before any other use of it");
    for (std::size_t i = 0; i < N; ++i) {
      DREAM_EXPECT(counts[i] >= 0, "tape: a piece cannot have ", counts[i], " rows");
      DREAM_EXPECT(counts[i] <= at(x).value.rows - first, "tape: pieces have more rows than the ", shape(at(x).value),
                   " that is split");
      Node& node = add_node();
      node.value = at(x).value.middle_rows(first, counts[i]);
      node.needs_gradient = at(x).needs_gradient;
      node.parent = x.id;
      node.first_row = first;
      pieces[i] = last();
      first += counts[i];
    }
    DREAM_EXPECT(first == at(x).value.rows, "tape: pieces cover ", first, " rows of the ", shape(at(x).value),
                 " that is split");
    at(x).is_split = true;
    return pieces;
  }

  MatrixView<const T> value(Var x) const { return at(x).value; }
  /// The gradient of the last backward() with respect to x; empty where it needed none.
  MatrixView<const T> gradient(Var x) const { return at(x).gradient; }
  bool needs_gradient(Var x) const { return at(x).needs_gradient; }

  /// Computes d loss / d input for every input; loss is 1 x 1.
  void backward(Var loss) {
    DREAM_EXPECT(at(loss).value.rows == 1 && at(loss).value.cols == 1, "backward starts at a 1 x 1 loss, not at ",
                 shape(at(loss).value));
    for (std::size_t i = 0; i < size_; ++i) {
      Node& node = *nodes_[i];
      node.written = false;
      if (!node.is_input) node.gradient = {};
    }
    if (at(loss).needs_gradient) {
      prepare_gradient(at(loss));
      fill(*context_, at(loss).gradient, T{1});
      at(loss).written = true;
    }
    for (int id = loss.id; id >= 0; --id) {
      Node& node = *nodes_[static_cast<std::size_t>(id)];
      if (!node.needs_gradient || node.is_input) continue;
      if (node.is_split) gather_pieces(id);
      if (node.written && node.backward) node.backward(*this, node);
    }
    for (std::size_t i = 0; i < size_; ++i) {
      Node& node = *nodes_[i];
      if (node.is_input && !node.written) fill(*context_, node.gradient, T{0});
    }
  }

  /// Forgets the step and keeps the buffers.
  void clear() { size_ = 0; }

  /// Bytes of the memory that the tape holds for values and gradients.
  std::int64_t bytes() const {
    std::int64_t total = 0;
    for (const auto& node : nodes_)
      total += (node->value_memory.capacity() + node->gradient_memory.capacity()) * sizeof(T);
    return total;
  }

 private:
  struct OwnedOp {
    virtual ~OwnedOp() = default;
  };
  template <class Operation>
  struct Owned final : OwnedOp {
    explicit Owned(Operation&& o) : op(std::move(o)) {}
    Operation op;
  };

  struct Node {
    MatrixView<const T> value;
    MatrixView<T> gradient;
    Array<T, B> value_memory;
    Array<T, B> gradient_memory;
    std::vector<int> inputs;
    std::vector<MatrixView<const T>> input_values;  // for ops on any number of inputs
    std::vector<GradView<T>> input_gradients;
    void* op = nullptr;
    void (*backward)(Tape&, Node&) = nullptr;
    std::unique_ptr<OwnedOp> owned;
    int parent = -1;  // of a piece
    index_t first_row = 0;
    int uses = 0;
    bool needs_gradient = false;
    bool is_input = false;
    bool is_split = false;
    bool written = false;
  };

  Node& at(Var x) {
    DREAM_EXPECT(x.id >= 0 && static_cast<std::size_t>(x.id) < size_, "tape: no value with number ", x.id);
    return *nodes_[static_cast<std::size_t>(x.id)];
  }
  const Node& at(Var x) const { return const_cast<Tape*>(this)->at(x); }
  Var last() const { return {static_cast<int>(size_) - 1}; }

  Node& add_node() {
    if (size_ == nodes_.size()) nodes_.push_back(std::make_unique<Node>());
    Node& node = *nodes_[size_++];
    node.value = {};
    node.gradient = {};
    node.inputs.clear();
    node.op = nullptr;
    node.backward = nullptr;
    node.parent = -1;
    node.uses = 0;
    node.needs_gradient = node.is_input = node.is_split = node.written = false;
    return node;
  }

  // The op moves into the node that record() will add next, in place of the one that the node kept before.
  // It is made anew in every step, so one that owned memory of a backend would allocate while a step is captured: such
  // ops are members of their model.
  template <class Operation>
  Operation& own(Operation&& op) {
    if (size_ == nodes_.size()) nodes_.push_back(std::make_unique<Node>());
    auto& place = nodes_[size_]->owned;
    place = std::make_unique<Owned<Operation>>(std::forward<Operation>(op));
    return static_cast<Owned<Operation>*>(place.get())->op;
  }

  template <bool Any, class Operation>
  Var record(Operation& op, std::span<const Var> inputs) {
    Node& node = add_node();
    for (const Var x : inputs) {
      Node& in = at(x);
      DREAM_EXPECT(!in.is_split, "tape: a value that was split cannot be an input; use its pieces");
      ++in.uses;
      node.inputs.push_back(x.id);
      node.needs_gradient |= in.needs_gradient;
    }
    node.op = &op;
    const auto run = [&](auto&&... in) {
      const Shape s = op.shape(in...);
      node.value_memory.resize(*context_, std::int64_t{s.rows} * s.cols);
      const MatrixView<T> out{node.value_memory.data(), s.rows, s.cols, s.cols};
      op.forward(*context_, in..., out);
      node.value = out;
    };
    if constexpr (Any) {
      node.backward = &backward_any<Operation>;
      node.input_values.clear();
      for (const int id : node.inputs) node.input_values.push_back(nodes_[static_cast<std::size_t>(id)]->value);
      run(std::span<const MatrixView<const T>>(node.input_values));
    } else {
      with_arity<Operation>(node, run);
    }
    return last();
  }

  // Calls run(in...) with as many views as the node has inputs, and remembers the matching backward.
  template <class Operation, class Run>
  void with_arity(Node& node, const Run& run) {
    switch (node.inputs.size()) {
      case 1:
        return bind<Operation, 1>(node, run);
      case 2:
        return bind<Operation, 2>(node, run);
      case 3:
        return bind<Operation, 3>(node, run);
      case 4:
        return bind<Operation, 4>(node, run);
      case 5:
        return bind<Operation, 5>(node, run);
      case 6:
        return bind<Operation, 6>(node, run);
      default:
        fail("tape: an op takes 1 to 6 inputs here, not ", node.inputs.size(), "; use apply_to_all");
    }
  }

  template <class Operation, std::size_t N, class Run>
  void bind(Node& node, const Run& run) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      constexpr bool fits = requires(Operation & op, Context<B> & c, MatrixView<const T> in, MatrixView<T> out) {
        op.forward(c, ((void)I, in)..., out);
      };
      if constexpr (fits) {
        node.backward = &backward_fixed<Operation, N>;
        run(nodes_[static_cast<std::size_t>(node.inputs[I])]->value...);
      } else {
        fail("tape: the op does not take ", N, " inputs");
      }
    }
    (std::make_index_sequence<N>{});
  }

  template <class Operation, std::size_t N>
  static void backward_fixed(Tape& tape, Node& node) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      std::array<GradView<T>, N> grads{tape.grad_view(node.inputs[I])...};
      static_cast<Operation*>(node.op)->backward(*tape.context_,
                                                 tape.nodes_[static_cast<std::size_t>(node.inputs[I])]->value...,
                                                 node.value, MatrixView<const T>(node.gradient), grads[I]...);
    }
    (std::make_index_sequence<N>{});
  }

  template <class Operation>
  static void backward_any(Tape& tape, Node& node) {
    node.input_gradients.clear();
    for (const int id : node.inputs) node.input_gradients.push_back(tape.grad_view(id));
    static_cast<Operation*>(node.op)->backward(*tape.context_, std::span<const MatrixView<const T>>(node.input_values),
                                               node.value, MatrixView<const T>(node.gradient),
                                               std::span<const GradView<T>>(node.input_gradients));
  }

  // The caller will write: the next writer of the same gradient must add.
  GradView<T> grad_view(int id) {
    Node& node = *nodes_[static_cast<std::size_t>(id)];
    if (!node.needs_gradient) return {};
    prepare_gradient(node);
    const T beta = node.written ? T{1} : T{0};
    node.written = true;
    return {node.gradient, beta, true};
  }

  void prepare_gradient(Node& node) {
    if (node.written || node.is_input) return;
    if (node.parent >= 0) {
      Node& parent = *nodes_[static_cast<std::size_t>(node.parent)];
      prepare_gradient(parent);
      parent.written = true;
      node.gradient = parent.gradient.middle_rows(node.first_row, node.value.rows);
      return;
    }
    node.gradient_memory.resize(*context_, node.value.size());
    node.gradient = {node.gradient_memory.data(), node.value.rows, node.value.cols, node.value.cols};
  }

  // Pieces that nobody wrote count as zero, once any piece has been written.
  void gather_pieces(int id) {
    Node& node = *nodes_[static_cast<std::size_t>(id)];
    if (!node.written) return;
    for (std::size_t i = static_cast<std::size_t>(id) + 1; i < size_; ++i) {
      Node& piece = *nodes_[i];
      if (piece.parent == id && !piece.written)
        fill(*context_, node.gradient.middle_rows(piece.first_row, piece.value.rows), T{0});
    }
  }

  Context<B>* context_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::size_t size_ = 0;
};

}  // namespace dream
