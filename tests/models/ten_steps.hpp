// Ten steps of a model on its kernels and on the host, from the same start.
#pragma once

#include <memory>
#include <type_traits>
#include <vector>

#include <dream/data/synthetic.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>
#include <dream/testing/emulated.hpp>
#include <dream/train/adam.hpp>
#include <dream/train/loss_monitor.hpp>
#include <dream/train/sampler.hpp>

#include "support/catch.hpp"
#include "support/differences.hpp"

namespace dream_test {

using namespace dream;

/// Training by hand on one backend: the losses of every step, and the parameters in the end.
template <class T, class B, class Model>
struct Trained {
  std::vector<std::vector<double>> losses;
  std::vector<double> parameters;

  Trained(Context<B>& context, Model& model, CsrView<T> interactions, PairSampler& sampler, int steps,
          index_t batch_size) {
    Context<Cpu> host(1);
    Adam<T, B> adam(context, model.parameters(), model.large_parameters(), {.learning_rate = 0.01});
    Tape<T, B> tape(context);
    for (int step = 0; step < steps; ++step) {
      const std::int64_t batches = sampler.batches(batch_size);
      if constexpr (requires { model.begin_epoch(context, host, interactions, 0u); })
        if (step % batches == 0)
          model.begin_epoch(context, host, interactions, static_cast<std::uint32_t>(step / batches));
      const Batch drawn = sampler.draw(host, static_cast<std::uint32_t>(step / batches), step % batches, batch_size);
      const auto users = upload<index_t>(context, std::span(drawn.users.data, drawn.users.data + drawn.users.size));
      const auto items = upload<index_t>(context, std::span(drawn.items.data, drawn.items.data + drawn.items.size));
      const auto number = upload<std::uint32_t>(context, std::span(&drawn.step, 1));
      const Batch batch{users.view(), items.view(), 0, number.data()};
      tape.clear();
      const Losses found = model.losses(tape, batch);
      LossMonitor<T, B> monitor(context);
      monitor.add(context, tape, found);
      auto& values = losses.emplace_back();
      for (const auto& [name, value] : monitor.collect(context)) values.push_back(value);
      tape.backward(found.total);
      model.bind_large_gradients(tape);
      adam.step(context);
    }
    const auto keep = [&](MatrixView<const T> m) {
      const Matrix<T, Cpu> values = download<T>(context, m);
      for (std::int64_t k = 0; k < values.size(); ++k) parameters.push_back(static_cast<double>(values.data()[k]));
    };
    for (int p = 0; p < model.parameters().count(); ++p) keep(model.parameters().value({p}));
    for (auto& large : model.large_parameters()) keep(large.value.view());
  }
};

inline Dataset small_world() {
  SyntheticOptions world{.users = 60, .items = 45, .interactions = 500, .modalities = {{"image", 12}, {"text", 7}}};
  world.groups = 4;
  world.cold_fraction = 0.1;
  world.missing_fraction = 0.15;
  return make_synthetic(world);
}

/// Ten steps on both backends from the same start; `make(context, data)` builds
/// the model. `locked`: the host is kept from the device's memory, which costs
/// two system calls an array and launch.
template <class T, class Make>
void compare_ten_steps(const Dataset& dataset, const ModelDataOptions& options, double tolerance, bool locked,
                       Make&& make) {
  Context<Cpu> host(1);
  const ModelData<T, Cpu> data = prepare_data<T>(host, dataset, options);
  const auto interactions = interaction_matrix<T>(host, dataset.train, dataset.user_count(), dataset.item_count());
  PairSampler sampler(interactions.view(), 3);
  const int steps = dream_test::exhaustive() ? 10 : 3;
  const index_t batch_size = 48;  // the epoch ends with a shorter batch

  auto model = make(host, data);
  const Trained<T, Cpu, std::decay_t<decltype(*model)>> expected(host, *model, interactions.view(), sampler, steps,
                                                                 batch_size);
  Context<Emulated> context({.lock_memory = locked});
  const ModelData<T, Emulated> uploaded = upload<T>(context, data);
  auto again = make(context, uploaded);
  const Trained<T, Emulated, std::decay_t<decltype(*again)>> found(context, *again, interactions.view(), sampler, steps,
                                                                   batch_size);
  for (std::size_t step = 0; step < expected.losses.size(); ++step) {
    INFO("step " << step);
    CHECK(worst(found.losses[step], expected.losses[step]) < tolerance);
  }
  CHECK(worst(found.parameters, expected.parameters) < tolerance);
}

/// In double, sums in another order differ by some 1e-16 of their terms; Adam
/// divides by the root of squares, which makes that of small gradients some
/// 1e-12.
inline constexpr double ten_steps_tolerance = 1e-9;

}  // namespace dream_test
