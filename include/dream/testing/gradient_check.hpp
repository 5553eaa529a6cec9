// The contract of an op (autograd/tape.hpp), checked in double precision: what every op here passes, and yours should.
//
//   MyOp<double, Cpu> op;
//   const OpReport report = check_op(op, {x.view(), w.view()});
//   if (!report.ok()) std::puts(report.text().c_str());
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dream/autograd/tape.hpp>
#include <dream/backend/context.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>

namespace dream {

struct OpCheckOptions {
  /// Entries of each input whose derivative is taken one by one; larger inputs give evenly spread ones. All entries
  /// together are checked along two random directions besides.
  std::int64_t entries = 64;
  double step = 1e-4;  ///< of the differences, relative to entries larger than 1; their error goes with its 4th power
  double tolerance = 1e-6;  ///< relative to the input's largest derivative
  bool move_zero_rows =
      true;  ///< false: rows of zeros are left out of the differences (a norm has no derivative there)
  /// Inputs that may want a gradient; empty: all of them.
  std::vector<bool> differentiable = {};
  std::uint64_t seed = 1;
};

/// What check_op found: one sentence a failure.
struct OpReport {
  std::vector<std::string> failures;
  double largest_difference = 0;  ///< between a derivative and its finite difference, relative like the tolerance

  bool ok() const { return failures.empty(); }
  std::string text() const {
    std::string all;
    for (const std::string& failure : failures) all += failure + "\n";
    return all;
  }
};

namespace detail {

/// A matrix whose rows have gaps between them and a row's room before the first; gaps are NaN and must stay so.
class GuardedMatrix {
 public:
  GuardedMatrix(index_t rows, index_t cols)
      : rows_(rows), cols_(cols), values_((static_cast<std::size_t>(rows) + 2) * stride(), guard()) {}
  explicit GuardedMatrix(MatrixView<const double> from) : GuardedMatrix(from.rows, from.cols) {
    for (index_t i = 0; i < rows_; ++i) std::copy_n(from.row(i), cols_, view().row(i));
  }

  MatrixView<double> view() { return {values_.data() + stride(), rows_, cols_, static_cast<std::int64_t>(stride())}; }
  MatrixView<const double> view() const { return const_cast<GuardedMatrix*>(this)->view(); }
  void fill(double value) {
    for (index_t i = 0; i < rows_; ++i) std::fill_n(view().row(i), cols_, value);
  }
  bool finite() const {
    for (index_t i = 0; i < rows_; ++i)
      for (index_t j = 0; j < cols_; ++j)
        if (!std::isfinite(view()(i, j))) return false;
    return true;
  }
  /// Whether nothing was written outside the matrix.
  bool gaps_intact() const {
    for (std::size_t k = 0; k < values_.size(); ++k) {
      const std::size_t row = k / stride(), col = k % stride();
      const bool inside = row >= 1 && row <= static_cast<std::size_t>(rows_) && col < static_cast<std::size_t>(cols_);
      if (!inside && std::bit_cast<std::uint64_t>(values_[k]) != std::bit_cast<std::uint64_t>(guard())) return false;
    }
    return true;
  }
  bool same_bits(const GuardedMatrix& other) const {
    return std::equal(
        values_.begin(), values_.end(), other.values_.begin(), other.values_.end(),
        [](double a, double b) { return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b); });
  }

 private:
  static double guard() { return std::numeric_limits<double>::quiet_NaN(); }
  std::size_t stride() const { return static_cast<std::size_t>(cols_) + 3; }

  index_t rows_, cols_;
  std::vector<double> values_;
};

/// The number of inputs that the op's forward takes; 0: any number.
template <class Operation, class B>
constexpr std::size_t op_arity() {
  using In = MatrixView<const double>;
  using Out = MatrixView<double>;
  using C = Context<B>;
  if constexpr (requires(Operation & op, C & c, In a, Out o) { op.forward(c, a, o); }) return 1;
  if constexpr (requires(Operation & op, C & c, In a, Out o) { op.forward(c, a, a, o); }) return 2;
  if constexpr (requires(Operation & op, C & c, In a, Out o) { op.forward(c, a, a, a, o); }) return 3;
  if constexpr (requires(Operation & op, C & c, In a, Out o) { op.forward(c, a, a, a, a, o); }) return 4;
  if constexpr (requires(Operation & op, C & c, In a, Out o) { op.forward(c, a, a, a, a, a, o); }) return 5;
  if constexpr (requires(Operation & op, C & c, In a, Out o) { op.forward(c, a, a, a, a, a, a, o); }) return 6;
  return 0;
}

template <class Operation, class B>
class OpCheck {
 public:
  using In = MatrixView<const double>;
  using Contexts = std::vector<Context<B>*>;

  OpCheck(Operation& op, const std::vector<In>& inputs, const OpCheckOptions& options) : op_(op), options_(options) {
    DREAM_EXPECT(!inputs.empty(), "check_op: no inputs");
    DREAM_EXPECT(arity == 0 || arity == inputs.size(), "check_op: the op takes ", arity, " inputs, not ",
                 inputs.size());
    DREAM_EXPECT(options.differentiable.empty() || options.differentiable.size() == inputs.size(),
                 "check_op: `differentiable` has ", options.differentiable.size(), " flags for ", inputs.size(),
                 " inputs");
    for (const In x : inputs) {
      originals_.emplace_back(x);
      inputs_.emplace_back(x);
    }
    for (const GuardedMatrix& x : std::as_const(inputs_)) views_.push_back(x.view());
    wanted_ = options.differentiable.empty() ? std::vector<bool>(inputs.size(), true) : options.differentiable;
  }

  /// With the first context all checks are made; the others must give its bits.
  OpReport run(const Contexts& contexts) {
    const Shape shape = with_inputs([&](auto&&... in) { return op_.shape(in...); });
    GuardedMatrix d_out(shape.rows, shape.cols);
    const RandomStream random{options_.seed};
    for (std::int64_t k = 0; k < d_out.view().size(); ++k)
      d_out.view()(static_cast<index_t>(k / shape.cols), static_cast<index_t>(k % shape.cols)) =
          random.normal(static_cast<std::uint64_t>(k)) + (shape.rows * shape.cols == 1 ? 2.0 : 0.0);
    d_out_ = &d_out;

    Context<B>& one = *contexts.front();
    GuardedMatrix out = forward(one, shape);
    expect(out.gaps_intact(), "forward writes outside its result");
    expect(out.finite(), "forward leaves results unwritten, or they are not finite");
    const Gradients gradients = backward(one, out, wanted_, 0.0, nullptr);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!wanted_[i]) continue;
      expect(gradients[i].gaps_intact(), "backward writes outside the gradient of input ", i);
      expect(gradients[i].finite(), "with beta 0 the gradient of input ", i,
             " is not written completely, reads what was there, or is not finite");
    }
    if (!report_.ok()) return report_;

    expect(same(gradients, backward(one, out, wanted_, 0.0, nullptr)), "a second backward gives other bits");
    check_adding(one, out, gradients);
    check_unwanted(one, out, gradients);
    check_same_value_twice(one, shape);
    for (std::size_t c = 0; c < contexts.size(); ++c) {
      const GuardedMatrix again = forward(*contexts[c], shape);
      expect(again.same_bits(out), "forward gives other bits the second time, ", way(*contexts[c], c));
      expect(same(gradients, backward(*contexts[c], again, wanted_, 0.0, nullptr)),
             "backward gives other bits after a second forward, ", way(*contexts[c], c));
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      expect(inputs_[i].same_bits(originals_[i]), "input ", i, " was changed");
    check_derivatives(one, shape, gradients);
    return report_;
  }

 private:
  using Gradients = std::vector<GuardedMatrix>;
  static constexpr std::size_t arity = op_arity<Operation, B>();

  static std::string way(const Context<B>& context, std::size_t number) {
    if constexpr (requires { context.threads(); })
      return concat("on ", context.threads(), " threads");
    else
      return concat("in context ", number);
  }

  template <class... Parts>
  void expect(bool holds, const Parts&... parts) {
    if (!holds) report_.failures.push_back(concat(parts...));
  }

  template <class F>
  decltype(auto) with_inputs(const F& f) const {
    if constexpr (arity == 0)
      return f(std::span<const In>(views_));
    else
      return [&]<std::size_t... I>(std::index_sequence<I...>)->decltype(auto) { return f(views_[I]...); }
    (std::make_index_sequence<arity>{});
  }

  GuardedMatrix forward(Context<B>& context, Shape shape) const {
    GuardedMatrix out(shape.rows, shape.cols);
    with_inputs([&](auto&&... in) { op_.forward(context, in..., out.view()); });
    return out;
  }

  /// Inputs whose gradients go to the first one's buffer.
  struct Shared {
    std::size_t first = 0, second = 0;
  };

  // Gradient buffers start as NaN where beta is 0, as `start` where it is 1.
  Gradients backward(Context<B>& context, const GuardedMatrix& out, const std::vector<bool>& wanted, double beta,
                     const Gradients* start, Shared shared = {}) const {
    Gradients buffers;
    std::vector<GradView<double>> grads;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      buffers.emplace_back(views_[i].rows, views_[i].cols);
      if (start) buffers[i] = (*start)[i];
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      grads.push_back(wanted[i] ? GradView<double>{buffers[i].view(), beta, true} : GradView<double>{});
    if (shared.first != shared.second) grads[shared.second] = {buffers[shared.first].view(), 1.0, true};
    const In value = out.view(), d_value = std::as_const(*d_out_).view();
    with_inputs([&](auto&&... in) {
      if constexpr (arity == 0)
        op_.backward(context, in..., value, d_value, std::span<const GradView<double>>(grads));
      else
        [&]<std::size_t... I>(std::index_sequence<I...>) { op_.backward(context, in..., value, d_value, grads[I]...); }
      (std::make_index_sequence<arity>{});
    });
    return buffers;
  }

  bool same(const Gradients& a, const Gradients& b) const {
    for (std::size_t i = 0; i < a.size(); ++i)
      if (wanted_[i] && !a[i].same_bits(b[i])) return false;
    return true;
  }

  void check_adding(Context<B>& context, const GuardedMatrix& out, const Gradients& gradients) {
    Gradients start;
    const RandomStream random{options_.seed, RandomUse::user, 1};
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      start.emplace_back(views_[i]);
      for (index_t r = 0; r < views_[i].rows; ++r)
        for (index_t c = 0; c < views_[i].cols; ++c)
          start[i].view()(r, c) =
              random.uniform(static_cast<std::uint64_t>(r) * 1000003u + static_cast<std::uint64_t>(c));
    }
    const Gradients added = backward(context, out, wanted_, 1.0, &start);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!wanted_[i]) continue;
      double worst = 0, scale = 1;
      for (index_t r = 0; r < views_[i].rows; ++r)
        for (index_t c = 0; c < views_[i].cols; ++c) {
          const double expected = start[i].view()(r, c) + gradients[i].view()(r, c);
          const double difference = std::abs(added[i].view()(r, c) - expected);
          scale = std::max(scale, std::abs(expected));
          worst = std::max(worst, difference == difference ? difference : std::numeric_limits<double>::infinity());
        }
      expect(worst <= 1e-12 * scale, "with beta 1 the gradient of input ", i, " is not added: off by ", worst);
      expect(added[i].gaps_intact(), "with beta 1 backward writes outside the gradient of input ", i);
    }
  }

  // Every input alone, and every input left out.
  void check_unwanted(Context<B>& context, const GuardedMatrix& out, const Gradients& gradients) {
    for (std::size_t chosen = 0; chosen < inputs_.size(); ++chosen)
      for (const bool alone : {true, false}) {
        std::vector<bool> wanted(inputs_.size());
        for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = wanted_[i] && ((i == chosen) == alone);
        const Gradients some = backward(context, out, wanted, 0.0, nullptr);
        for (std::size_t i = 0; i < wanted.size(); ++i)
          if (wanted[i])
            expect(some[i].same_bits(gradients[i]), "the gradient of input ", i, " changes when ",
                   alone ? "no other is wanted" : concat("that of input ", chosen, " is not wanted"));
      }
  }

  // One value as two inputs: the second gradient adds to the first one's, in the order of the inputs.
  void check_same_value_twice(Context<B>& context, Shape shape) {
    for (std::size_t j = 1; j < inputs_.size(); ++j)
      for (std::size_t i = 0; i < j; ++i) {
        if (!wanted_[i] || !wanted_[j] || views_[i].rows != views_[j].rows || views_[i].cols != views_[j].cols)
          continue;
        const In own = views_[j];
        views_[j] = views_[i];
        const GuardedMatrix out = forward(context, shape);
        const Gradients apart = backward(context, out, wanted_, 0.0, nullptr);
        const GuardedMatrix together = std::move(backward(context, out, wanted_, 0.0, nullptr, {i, j})[i]);
        double worst = 0, scale = 1;
        for (index_t r = 0; r < own.rows; ++r)
          for (index_t c = 0; c < own.cols; ++c) {
            const double expected = apart[i].view()(r, c) + apart[j].view()(r, c);
            const double difference = std::abs(together.view()(r, c) - expected);
            scale = std::max(scale, std::abs(expected));
            worst = std::max(worst, difference == difference ? difference : std::numeric_limits<double>::infinity());
          }
        expect(worst <= 1e-12 * scale, "with one value as inputs ", i, " and ", j,
               " its gradient is not the sum of both (is the second written before the first?): off by ", worst);
        views_[j] = own;
      }
  }

  bool moves(In x, index_t row) const {
    return options_.move_zero_rows || std::any_of(x.row(row), x.row(row) + x.cols, [](double v) { return v != 0; });
  }

  double loss(Context<B>& context, Shape shape) const {
    const GuardedMatrix out = forward(context, shape);
    double sum = 0;
    for (index_t i = 0; i < shape.rows; ++i)
      for (index_t j = 0; j < shape.cols; ++j) sum += out.view()(i, j) * std::as_const(*d_out_).view()(i, j);
    return sum;
  }

  // d loss / dt at t = 0 of inputs moved by t * direction: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h.
  template <class Move>
  double derivative(Context<B>& context, Shape shape, double h, const Move& move) {
    const auto at = [&](double t) {
      move(t);
      return loss(context, shape);
    };
    const double near = at(h) - at(-h), far = at(2 * h) - at(-2 * h);
    move(0.0);
    return (8 * near - far) / (12 * h);
  }

  void compare(std::size_t input, double expected, double found, double scale, const std::string& where) {
    // Below this the difference quotient is mostly rounding: about 1e-16 of the loss, divided by the step.
    const double floor = 1e-8 / options_.step * std::max(1.0, std::abs(loss_));
    const double difference = std::abs(expected - found) / std::max(scale, floor);
    report_.largest_difference = std::max(report_.largest_difference, difference);
    expect(difference <= options_.tolerance, "the gradient of input ", input, " is ", found, where,
           ", finite differences say ", expected);
  }

  void check_derivatives(Context<B>& context, Shape shape, const Gradients& gradients) {
    const RandomStream random{options_.seed, RandomUse::user, 2};
    loss_ = loss(context, shape);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!wanted_[i] || views_[i].empty()) continue;
      const In x = std::as_const(originals_[i]).view(), g = gradients[i].view();
      const MatrixView<double> moving = inputs_[i].view();
      double largest = 0, squares = 0;
      for (index_t r = 0; r < x.rows; ++r)
        for (index_t c = 0; c < x.cols; ++c) {
          largest = std::max(largest, std::abs(g(r, c)));
          squares += g(r, c) * g(r, c);
        }
      const std::int64_t count = std::min(options_.entries, x.size());
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t e = k * x.size() / count;
        const index_t r = static_cast<index_t>(e / x.cols), c = static_cast<index_t>(e % x.cols);
        if (!moves(x, r)) continue;
        const double h = options_.step * std::max(1.0, std::abs(x(r, c)));
        const double expected = derivative(context, shape, h, [&](double t) { moving(r, c) = x(r, c) + t; });
        compare(i, expected, g(r, c), largest, concat(" at (", r, ", ", c, ")"));
      }
      for (std::uint64_t d = 0; d < 2; ++d) {
        const auto component = [&](index_t r, index_t c) {
          const std::uint64_t place =
              static_cast<std::uint64_t>(r) * static_cast<std::uint64_t>(x.cols) + static_cast<std::uint64_t>(c);
          return moves(x, r) ? 2 * random.uniform(2 * place + d) - 1 : 0.0;
        };
        double along = 0;
        for (index_t r = 0; r < x.rows; ++r)
          for (index_t c = 0; c < x.cols; ++c) along += component(r, c) * g(r, c);
        const double expected = derivative(context, shape, options_.step / 4, [&](double t) {
          for (index_t r = 0; r < x.rows; ++r)
            for (index_t c = 0; c < x.cols; ++c) moving(r, c) = t == 0 ? x(r, c) : x(r, c) + t * component(r, c);
        });
        compare(i, expected, along, std::sqrt(squares), concat(" along random direction ", d));
      }
    }
  }

  Operation& op_;
  OpCheckOptions options_;
  std::vector<GuardedMatrix> originals_, inputs_;
  std::vector<In> views_;
  std::vector<bool> wanted_;
  GuardedMatrix* d_out_ = nullptr;
  double loss_ = 0;
  OpReport report_;
};

}  // namespace detail

/// Checks an op on Cpu in double with these inputs: results and gradients are written completely and nowhere else,
/// beta 0 reads nothing and beta 1 adds, unwanted gradients are left alone and change no other, a value that is two
/// inputs of equal shape gets the sum of both gradients, inputs stay, every run on 1, 2 and 3 threads gives the same
/// bits, and every gradient agrees with finite differences. The op's constants and row selections are set before.
template <class Operation>
OpReport check_op(Operation& op, const std::vector<MatrixView<const double>>& inputs,
                  const OpCheckOptions& options = {}) {
  Context<Cpu> one(1), two(2), three(3);
  return detail::OpCheck<Operation, Cpu>(op, inputs, options).run({&one, &two, &three});
}

/// The same on a backend whose kernels reach the host's memory, as Emulated's do: with the first context, and to the
/// same bits with the others, which may run their threads in another order.
template <class B, class Operation>
OpReport check_op(const std::vector<Context<B>*>& contexts, Operation& op,
                  const std::vector<MatrixView<const double>>& inputs, const OpCheckOptions& options = {}) {
  DREAM_EXPECT(!contexts.empty(), "check_op: no contexts");
  return detail::OpCheck<Operation, B>(op, inputs, options).run(contexts);
}

}  // namespace dream
