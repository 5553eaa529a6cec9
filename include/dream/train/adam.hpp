// Adam (Kingma and Ba, ICLR 2015) as one pass over all parameters: with g the gradient and t the step from 1,
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).
// A pass reads p, g, m, v and writes p, m, v: 28 bytes a float. The gradient of a large parameter is multiplied out a
// few rows at a time into the cache and never reaches memory: 24 bytes a float.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include <dream/backend/gemm.hpp>
#include <dream/kernels/adam.cuh>
#include <dream/models/model.hpp>

namespace dream {

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

/// The scalars of one Adam step.
template <class T>
struct AdamStep {
  T beta1, beta2, epsilon, step_size, root_correction;

  AdamStep(const AdamOptions& o, double learning_rate, std::int64_t t)
      : beta1(static_cast<T>(o.beta1)),
        beta2(static_cast<T>(o.beta2)),
        epsilon(static_cast<T>(o.epsilon)),
        step_size(static_cast<T>(learning_rate / (1 - std::pow(o.beta1, static_cast<double>(t))))),
        root_correction(static_cast<T>(1 / std::sqrt(1 - std::pow(o.beta2, static_cast<double>(t))))) {}

  void update(T* p, const T* g, T* m, T* v, std::int64_t count) const {
    for (std::int64_t i = 0; i < count; ++i) {
      m[i] = beta1 * m[i] + (T{1} - beta1) * g[i];
      v[i] = beta2 * v[i] + (T{1} - beta2) * g[i] * g[i];
      p[i] -= step_size * m[i] / (std::sqrt(v[i]) * root_correction + epsilon);
    }
  }
};

/// p, m and v of one Adam step, from the gradient g.
template <class T>
void adam_update(Context<Cpu>& context, const AdamStep<T>& step, VectorView<const T> g, VectorView<T> p,
                 VectorView<T> m, VectorView<T> v) {
  context.parallel_blocks(p.size, 16384, [&](std::int64_t begin, std::int64_t end) {
    step.update(p.data + begin, g.data + begin, m.data + begin, v.data + begin, end - begin);
  });
}

/// The same for a matrix whose gradient is left * right^T.
template <class T>
void adam_update_factored(Context<Cpu>& context, const AdamStep<T>& step, MatrixView<const T> left,
                          MatrixView<const T> right, MatrixView<T> p, MatrixView<T> m, MatrixView<T> v,
                          Array<T, Cpu>& workspace) {
  DREAM_EXPECT(left.rows == p.rows && right.rows == p.cols && left.cols == right.cols, "large parameter ", shape(p),
               ": its gradient's factors are ", shape(left), " and ", shape(right));
  constexpr index_t cols = cpu::tile_cols<T>;
  const index_t d = left.cols, panels = (p.cols + cols - 1) / cols;
  const std::int64_t stride = std::int64_t{panels} * cols;
  workspace.resize(stride * d);
  context.parallel_for(panels, [&](std::int64_t q) {
    const index_t first = static_cast<index_t>(q) * cols;
    cpu::detail::pack_columns<T>(d, std::min(cols, p.cols - first), {right.row(first), 1, right.stride},
                                 workspace.data() + q * cols * d);
  });
  const std::int64_t fit = (std::int64_t{1} << 19) / static_cast<std::int64_t>(sizeof(T)) / stride;
  const index_t block = cpu::tile_rows * static_cast<index_t>(std::clamp<std::int64_t>(fit / cpu::tile_rows, 1, 20));
  context.parallel_blocks(p.rows, block, [&](std::int64_t begin, std::int64_t end) {
    T* g = context.scratch<T>(6, block * stride);
    for (index_t q = 0; q < panels; ++q)
      for (std::int64_t i = begin; i < end; i += cpu::tile_rows)
        cpu::detail::gemm_tile_rows<T>(static_cast<index_t>(std::min<std::int64_t>(cpu::tile_rows, end - i)), d, T{1},
                                       {left.row(static_cast<index_t>(i)), left.stride, 1},
                                       workspace.data() + std::int64_t{q} * cols * d, cols, T{0},
                                       g + (i - begin) * stride + std::int64_t{q} * cols, stride);
    for (index_t i = static_cast<index_t>(begin); i < end; ++i)
      step.update(p.row(i), g + (i - begin) * stride, m.row(i), v.row(i), p.cols);
  });
}

/// The same by kernels, with the step's scalars in device memory.
template <class T, KernelBackend B>
void adam_update(Context<B>& context, const kernels::AdamScalars<T>* step, VectorView<const T> g, VectorView<T> p,
                 VectorView<T> m, VectorView<T> v) {
  launch<kernels::AdamUpdate<T>>(context, {step, g, p, m, v});
}
template <class T, KernelBackend B>
void adam_update_factored(Context<B>& context, const kernels::AdamScalars<T>* step, MatrixView<const T> left,
                          MatrixView<const T> right, MatrixView<T> p, MatrixView<T> m, MatrixView<T> v, Array<T, B>&) {
  DREAM_EXPECT(left.rows == p.rows && right.rows == p.cols && left.cols == right.cols, "large parameter ", shape(p),
               ": its gradient's factors are ", shape(left), " and ", shape(right));
  launch<kernels::AdamUpdateFactored<T>>(context, {step, left, right, p, m, v});
}

/// Adam over a model's parameters, with the moments it keeps.
template <class T, class B>
class Adam {
 public:
  Adam(Context<B>& context, Parameters<T, B>& parameters, std::span<LargeParameter<T, B>> large, AdamOptions options)
      : options_(options), parameters_(&parameters), large_(large) {
    for (auto* moment : {&m_, &v_}) {
      moment->resize(context, parameters.values().size);
      fill(context, moment->view(), T{0});
    }
    for (const auto& p : large)
      for (auto* moments : {&large_m_, &large_v_})
        fill(context, moments->emplace_back(context, p.value.rows(), p.value.cols()).view(), T{0});
  }

  /// One step with the present gradients. `factor` scales the learning rate. Where kernels run, `stop` may point at a
  /// number in their memory: if it is not negative then, nothing changes.
  void step(Context<B>& context, double factor = 1.0, const std::int32_t* stop = nullptr) {
    if constexpr (KernelBackend<B>) set_rate(context, factor);
    const auto scalars = next_step(context, factor, stop);
    // First the large ones: their gradients contain other parameters at their old values.
    for (std::size_t i = 0; i < large_.size(); ++i)
      adam_update_factored<T>(context, scalars, large_[i].left, large_[i].right, large_[i].value.view(),
                              large_m_[i].view(), large_v_[i].view(), workspace_);
    adam_update<T>(context, scalars, parameters_->gradients(), parameters_->values(), m_.view(), v_.view());
  }

  /// Where kernels run: the factor of the learning rate from now on, for steps that a graph replays.
  void set_rate(Context<B>& context, double factor) requires KernelBackend<B> {
    if (clock_.steps.empty()) {
      clock_.steps = upload<std::int64_t>(context, std::span<const std::int64_t>(&steps_, 1));
      clock_.rate.resize(context, 1);
      clock_.scalars.resize(context, 1);
      clock_.factor = factor + 1;
    }
    if (clock_.factor == factor) return;
    clock_.factor = factor;
    const double rate = options_.learning_rate * factor;
    upload<double>(context, std::span(&rate, 1), clock_.rate.data());
  }
  /// To be called where a graph has done a step.
  void count_replay() { ++steps_; }

  /// Steps done so far.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) {
    steps_ = steps;
    clock_ = {};
  }
  VectorView<T> first_moments() { return m_.view(); }
  VectorView<T> second_moments() { return v_.view(); }
  Matrix<T, B>& large_first_moments(std::size_t i) { return large_m_[i]; }
  Matrix<T, B>& large_second_moments(std::size_t i) { return large_v_[i]; }

 private:
  /// What a step reads where kernels run, in their memory.
  struct Clock {
    Array<std::int64_t, B> steps;
    Array<double, B> rate;
    Array<kernels::AdamScalars<T>, B> scalars;
    double factor = 0;  // of the rate
  };

  auto next_step(Context<B>& context, double factor, const std::int32_t* stop) {
    ++steps_;
    if constexpr (KernelBackend<B>) {
      launch<kernels::AdvanceAdam<T>>(context, {options_.beta1, options_.beta2, options_.epsilon, clock_.rate.data(),
                                                clock_.steps.data(), stop, clock_.scalars.data()});
      return static_cast<const kernels::AdamScalars<T>*>(clock_.scalars.data());
    } else {
      (void)context;
      (void)stop;
      return AdamStep<T>(options_, options_.learning_rate * factor, steps_);
    }
  }

  AdamOptions options_;
  Clock clock_;
  Parameters<T, B>* parameters_;
  std::span<LargeParameter<T, B>> large_;
  Array<T, B> m_, v_;
  std::vector<Matrix<T, B>> large_m_, large_v_;
  Array<T, B> workspace_;
  std::int64_t steps_ = 0;
};

}  // namespace dream
