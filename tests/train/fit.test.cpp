#include <dream/train/fit.hpp>

#include <cmath>
#include <limits>

#include <dream/data/synthetic.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/lightgcn.hpp>

#include "support/catch.hpp"

namespace dream_tests::train_fit {

using namespace dream;

namespace {

/// A user with training items, 10 valid items (0..9), 5 test items (10..14), and 10 more items.
Dataset scripted_data() {
  Dataset d;
  d.name = "scripted";
  d.users.count = 2;
  d.items.count = 30;
  const auto add = [](Pairs& pairs, index_t user, index_t item) {
    pairs.user.push_back(user);
    pairs.item.push_back(item);
  };
  for (index_t i = 25; i < 30; ++i) add(d.train, 0, i);
  add(d.train, 1, 24);
  for (index_t i = 0; i < 10; ++i) add(d.valid, 0, i);
  for (index_t i = 10; i < 15; ++i) add(d.test, 0, i);
  return d;
}

/// A model whose loss is slope * p, and whose k-th evaluation ranks hits[k] of the valid items in front and the others
/// last.
class Scripted {
 public:
  using value_type = double;
  using backend = Cpu;

  Scripted() {
    p = parameters_.add("p", 1, 1);
    Context<Cpu> context(1);
    parameters_.allocate(context);
    one_.fill(1);
  }
  Parameters<double, Cpu>& parameters() { return parameters_; }
  std::span<LargeParameter<double, Cpu>> large_parameters() { return {}; }
  void bind_large_gradients(const Tape<double, Cpu>&) {}
  Losses losses(Tape<double, Cpu>& tape, const Batch& batch) {
    batch_sizes.push_back(batch.size());
    const double slope = steps++ == bad_step ? bad_value : 1.0;
    const Var value = parameters_.on(tape, p), constant = tape.constant(one_.view());
    const auto scaled = [&](Var v, double weight) {
      return tape.apply_to_all(WeightedSum<double, Cpu>({weight}), std::span<const Var>(&v, 1));
    };
    sum_.start();
    sum_.add("steady", scaled(constant, 2.0), 0.5);
    sum_.add("slope", scaled(value, slope), 3.0);
    return sum_.finish(tape);
  }
  std::array<Var, 2> represent(Tape<double, Cpu>& tape, VectorView<const index_t> users,
                               VectorView<const index_t> items) {
    const int h = hits[std::min(evaluations++, hits.size() - 1)];
    user_vectors_.resize(static_cast<index_t>(users.size), 1);
    item_vectors_.resize(static_cast<index_t>(items.size), 1);
    user_vectors_.fill(1);
    for (std::int64_t i = 0; i < items.size; ++i)
      item_vectors_(static_cast<index_t>(i), 0) = i < h ? 2 : i < 10 ? 0 : 1;
    return {tape.constant(std::as_const(user_vectors_).view()), tape.constant(std::as_const(item_vectors_).view())};
  }

  ParameterId p;
  std::vector<int> hits{5};
  std::size_t evaluations = 0;
  int steps = 0, bad_step = -1;
  double bad_value = std::numeric_limits<double>::quiet_NaN();
  std::vector<index_t> batch_sizes;

 private:
  Parameters<double, Cpu> parameters_;
  LossSum<double, Cpu> sum_;
  Matrix<double, Cpu> one_{1, 1}, user_vectors_, item_vectors_;
};

FitOptions options(int epochs, int stopping_step = 20) {
  FitOptions o;
  o.epochs = epochs;
  o.stopping_step = stopping_step;
  o.top_k = {10};
  o.valid_metric = "recall@10";
  o.batch_size = 4;
  return o;
}

Dataset small_data() {
  return make_synthetic(
      {.users = 200, .items = 120, .interactions = 3000, .modalities = {{"image", 12}, {"text", 7}}, .groups = 6});
}

struct Trained {
  std::vector<float> parameters, users, items;
  std::vector<double> losses;
  double best = 0;

  bool operator==(const Trained&) const = default;
};

Trained train(const Dataset& dataset, int threads, std::uint64_t model_seed, std::uint64_t seed, index_t batch_size,
              bool everything) {
  Context<Cpu> context(threads);
  DreamOptions model_options;
  model_options.embedding_size = 16;
  if (everything) {
    model_options.train_features = true;
    model_options.modality_weights = ModalityWeights::learned;
    model_options.alignment.intra = Intra::modalities;
    model_options.alignment.inter_directions = Directions::both;
  }
  const auto data = prepare_data<float>(context, dataset, model_options.data);
  Dream<float, Cpu> model(context, data, model_options, model_seed);
  FitOptions o;
  o.epochs = 2;
  o.batch_size = batch_size;
  o.seed = seed;
  Trainer trainer(context, model, dataset, o);
  Trained result;
  trainer.fit([&](const EpochReport& report) {
    for (const auto& [name, value] : report.losses) result.losses.push_back(value);
    return true;
  });
  const auto values = model.parameters().values();
  result.parameters.assign(values.begin(), values.end());
  for (auto& z : model.large_parameters())
    result.parameters.insert(result.parameters.end(), z.value.data(), z.value.data() + z.value.size());
  result.users.assign(trainer.best_users().data(), trainer.best_users().data() + trainer.best_users().size());
  result.items.assign(trainer.best_items().data(), trainer.best_items().data() + trainer.best_items().size());
  result.best = trainer.state().best_value;
  return result;
}

}  // namespace

TEST_CASE(
    "Training stops when more evaluations in a row than allowed bring no strict gain, and keeps the best vectors") {
  const Dataset dataset = scripted_data();
  for (const int patience : {0, 1, 2, 3}) {
    Context<Cpu> context(1);
    Scripted model;
    model.hits = {1, 3, 3, 2, 3, 4, 4, 4, 4, 4};  // a tie is no gain
    Trainer trainer(context, model, dataset, options(100, patience));
    std::vector<bool> improved;
    trainer.fit([&](const EpochReport& report) {
      CHECK(report.evaluated);
      CHECK(report.epoch == static_cast<int>(improved.size()) + 1);
      improved.push_back(report.improved);
      return true;
    });
    INFO("stopping_step " << patience);
    const int best = patience < 3 ? 2 : 6, last = best + patience + 1;
    CHECK(trainer.state().epoch == last);
    CHECK(trainer.state().best_epoch == best);
    CHECK(trainer.state().best_value == Approx(patience < 3 ? 0.3 : 0.4));
    CHECK(trainer.state().evaluations_without_gain == patience + 1);
    CHECK(trainer.finished());
    for (std::size_t e = 0; e < improved.size(); ++e)
      CHECK(improved[e] == (e == 0 || e == 1 || (patience == 3 && e == 5)));
    double in_front = 0;
    for (index_t i = 0; i < 10; ++i) in_front += trainer.best_items()(i, 0) == 2;
    CHECK(in_front == (patience < 3 ? 3 : 4));
    CHECK(trainer.evaluate(Split::valid).at("recall@10") == Approx(patience < 3 ? 0.3 : 0.4));
    CHECK(trainer.state().best_valid == trainer.evaluate(Split::valid).all.values);
  }
}

TEST_CASE("The first evaluation is the best so far even when it finds nothing, and falling values stop training") {
  Context<Cpu> context(1);
  Scripted model;
  model.hits = {0};
  const Dataset dataset = scripted_data();
  Trainer trainer(context, model, dataset, options(100, 4));
  trainer.fit();
  CHECK(trainer.state().best_epoch == 1);
  CHECK(trainer.state().best_value == 0.0);
  CHECK(trainer.state().epoch == 6);
}

TEST_CASE("Without anybody to rank for on valid, training runs to its last epoch and calls none the best") {
  Context<Cpu> context(1);
  Dataset without_items = scripted_data(), without_training = scripted_data();
  without_items.valid = {};
  for (index_t& user : without_training.valid.user) user = 2;
  without_training.users.count = 3;
  for (const Dataset* dataset : {&without_items, &without_training}) {
    Scripted model;
    Trainer trainer(context, model, *dataset, options(30, 2));
    trainer.fit([](const EpochReport& report) {
      CHECK_FALSE(report.evaluated);
      return true;
    });
    CHECK(trainer.state().epoch == 30);
    CHECK(trainer.state().best_epoch == 0);
  }
}

TEST_CASE("Evaluations come every eval_step epochs and after the last one") {
  Context<Cpu> context(1);
  Scripted model;
  const Dataset dataset = scripted_data();
  FitOptions o = options(7);
  o.eval_step = 3;
  Trainer trainer(context, model, dataset, o);
  std::vector<int> evaluated;
  trainer.fit([&](const EpochReport& report) {
    if (report.evaluated) evaluated.push_back(report.epoch);
    return true;
  });
  CHECK(evaluated == std::vector<int>{3, 6, 7});
  CHECK(trainer.state().epoch == 7);

  Trainer none(context, model, dataset, options(0));
  CHECK(none.finished());
  none.fit([](const EpochReport&) -> bool { throw std::logic_error("an epoch was run"); });
  CHECK(none.evaluate(Split::valid).at("recall@10") == 0.5);  // of the present parameters
}

TEST_CASE("The learning rate falls by the factor, a power of it between periods") {
  Context<Cpu> context(1);
  Scripted model;
  const Dataset dataset = scripted_data();
  FitOptions o = options(4);
  o.adam.learning_rate = 0.1;
  o.learning_rate_factor = 0.5;
  o.learning_rate_period = 2;
  Trainer trainer(context, model, dataset, o);
  double before = 0;
  for (int epoch = 0; epoch < 4; ++epoch) {
    const EpochReport report = trainer.run_epoch();
    const double after = model.parameters().value(model.p)(0, 0);
    // With a steady gradient every Adam step is the learning rate; an epoch has two steps.
    CHECK(before - after == Approx(2 * 0.1 * std::pow(0.5, epoch / 2.0)).epsilon(1e-6));
    before = after;
    CHECK(report.losses.size() == 3);
    CHECK(report.losses[0].first == "steady");
    CHECK(report.losses[0].second == 2.0);  // before its weight
    CHECK(report.losses[2].first == "total");
    CHECK(report.losses[2].second == Approx(1.0 + 3 * report.losses[1].second));
  }
  CHECK(model.batch_sizes == std::vector<index_t>{4, 2, 4, 2, 4, 2, 4, 2});  // the short batch is kept
}

TEST_CASE("A loss term that is not finite stops training with its name, and parameters stay as before the step") {
  const Dataset dataset = scripted_data();
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    Context<Cpu> context(1);
    Scripted model;
    model.bad_step = 3;  // the second step of the second epoch
    model.bad_value = bad;
    Trainer trainer(context, model, dataset, options(10));
    trainer.run_epoch();
    double before = 0;
    std::string message;
    try {
      trainer.run_epoch([&](const StepReport&) {
        before = model.parameters().value(model.p)(0, 0);
        return true;
      });
    } catch (const error& e) {
      message = e.what();
    }
    INFO(message);
    CHECK(message.find("loss term 'slope' became") != std::string::npos);
    CHECK(message.find("in epoch 2, step 2") != std::string::npos);
    CHECK(before != 0.0);
    CHECK(model.parameters().value(model.p)(0, 0) == before);
    CHECK(trainer.optimiser().steps() == 3);
    CHECK(trainer.state().epoch == 1);
  }
}

TEST_CASE("An epoch that is given up ends at once, and the trainer says so when it is used again") {
  Context<Cpu> context(1);
  Scripted model;
  const Dataset dataset = scripted_data();
  FitOptions o = options(10);
  o.batch_size = 1;
  Trainer trainer(context, model, dataset, o);
  std::vector<std::int64_t> steps;
  const EpochReport report = trainer.run_epoch([&](const StepReport& step) {
    CHECK(step.steps == 6);
    CHECK(step.interactions == step.step);
    steps.push_back(step.step);
    return step.step < 4;
  });
  CHECK(steps == std::vector<std::int64_t>{1, 2, 3, 4});
  CHECK_FALSE(report.evaluated);
  CHECK(trainer.state().epoch == 0);
  REQUIRE_ERROR(trainer.run_epoch(), "stopped within an epoch");

  Scripted other;
  Trainer stopped(context, other, dataset, options(10));
  stopped.fit([](const EpochReport& r) { return r.epoch < 3; });
  CHECK(stopped.state().epoch == 3);
}

TEST_CASE(
    "Test items are ranked with the training items masked, and with the valid items too where that is asked for") {
  const Dataset dataset = scripted_data();
  for (const bool mask : {false, true}) {
    Context<Cpu> context(1);
    Scripted model;
    model.hits = {10};  // all ten valid items stand before the test items
    FitOptions o = options(1);
    o.mask_valid_in_test = mask;
    Trainer trainer(context, model, dataset, o);
    trainer.fit();
    CHECK(trainer.evaluate(Split::valid).at("recall@10") == 1.0);  // never masked for their own split
    CHECK(trainer.evaluate(Split::test).at("recall@10") == (mask ? 1.0 : 0.0));
  }
}

TEST_CASE("Wrong options of training are errors") {
  Context<Cpu> context(1);
  Scripted model;
  const Dataset dataset = scripted_data();
  const auto with = [&](auto&& change) {
    FitOptions o = options(2);
    change(o);
    Trainer trainer(context, model, dataset, o);
    trainer.fit();
  };
  REQUIRE_ERROR(with([](FitOptions& o) { o.batch_size = 0; }), "train_batch_size must be positive, not 0");
  REQUIRE_ERROR(with([](FitOptions& o) { o.epochs = -1; }), "epochs cannot be -1");
  REQUIRE_ERROR(with([](FitOptions& o) { o.eval_step = 0; }), "eval_step must be positive, not 0");
  REQUIRE_ERROR(with([](FitOptions& o) { o.valid_metric = "recall@7"; }), "recall@7");
  REQUIRE_ERROR(with([](FitOptions& o) { o.top_k = {31}; }), "k is 31 and there are 30 items");
}

TEST_CASE("The same seeds give the same bits on any number of threads, other seeds others", "[sizes]") {
  const Dataset dataset = small_data();
  for (const bool everything : dream_test::sizes<bool>({true}, {false, true})) {
    const Trained one = train(dataset, 1, 1, 2, 1024, everything);
    for (const float v : one.parameters) REQUIRE(std::isfinite(v));
    CHECK(train(dataset, 1, 1, 2, 1024, everything) == one);
    CHECK(train(dataset, 2, 1, 2, 1024, everything) == one);
    CHECK(train(dataset, 1, 1, 3, 1024, everything).parameters != one.parameters);
    CHECK(train(dataset, 1, 4, 2, 1024, everything).parameters != one.parameters);
  }
}

TEST_CASE("A batch larger than the data is the data") {
  const Dataset dataset = small_data();
  const index_t size = static_cast<index_t>(dataset.train.size());
  CHECK(train(dataset, 1, 1, 2, 1000000, false) == train(dataset, 1, 1, 2, size, false));
}

TEST_CASE("On planted data DREAM and LightGCN rank far better than popularity, and DREAM finds cold items") {
  const Dataset dataset = make_synthetic({.users = 600,
                                          .items = 300,
                                          .interactions = 12000,
                                          .modalities = {{"image", 24}, {"text", 16}},
                                          .cold_fraction = 0.1,
                                          .groups = 12});
  Context<Cpu> context(1);
  FitOptions o;
  o.epochs = 12;
  o.batch_size = 512;
  o.adam.learning_rate = 1e-2;
  DreamOptions of_dream;
  of_dream.embedding_size = 32;
  const auto data = prepare_data<float>(context, dataset, of_dream.data);
  Dream<float, Cpu> dream(context, data, of_dream, 1);
  Trainer trainer(context, dream, dataset, o);
  trainer.fit();
  const Evaluation found = trainer.evaluate(Split::test);

  LightGcn<float, Cpu> lightgcn(context, data, {.embedding_size = 32}, 1);
  Trainer baseline(context, lightgcn, dataset, o);
  baseline.fit();
  const Evaluation of_lightgcn = baseline.evaluate(Split::test);

  Matrix<float, Cpu> users(600, 1), items(300, 1);
  users.fill(1);
  items.fill(0);
  for (const index_t i : dataset.train.item) items(i, 0) += 1;
  const double popularity = trainer.evaluate_vectors(users.view(), items.view(), Split::test).at("recall@20");
  INFO("recall@20: popularity " << popularity << ", LightGCN " << of_lightgcn.at("recall@20") << ", DREAM "
                                << found.at("recall@20") << "; among cold items "
                                << found.cold_among_cold.at("recall@10"));
  CHECK(of_lightgcn.at("recall@20") > 1.5 * popularity);
  CHECK(found.at("recall@20") > 1.5 * popularity);
  CHECK(found.cold_items > 20);
  CHECK(found.cold_among_cold.at("recall@10") > 1.5 * of_lightgcn.cold_among_cold.at("recall@10"));
}

TEST_CASE("Equal weights change nothing, and larger ones pull their interactions up") {
  Dataset data = make_synthetic({.users = 40, .items = 30, .interactions = 300, .modalities = {}});
  const auto vectors = [&](std::vector<float> weights) {
    data.train.weight = std::move(weights);
    Context<Cpu> context(2);
    ModelDataOptions prepared;
    prepared.modal = false;
    const auto model_data = prepare_data<float>(context, data, prepared);
    LightGcn<float, Cpu> model(context, model_data, LightGcnOptions{.embedding_size = 8, .reg_weight = 0}, 1);
    FitOptions options;
    options.epochs = 20;
    options.batch_size = 64;
    options.adam.learning_rate = 0.02;
    options.top_k = {5};
    options.valid_metric = "recall@5";
    Trainer trainer(context, model, data, options);
    while (!trainer.finished()) trainer.run_epoch([](const StepReport&) { return true; });
    const auto rows = trainer.represent();
    double first = 0, all = 0;  // mean scores of the first user's interactions, and of all
    for (std::size_t i = 0; i < data.train.user.size(); ++i) {
      double score = 0;
      for (index_t j = 0; j < 8; ++j)
        score +=
            static_cast<double>(rows[0](data.train.user[i], j)) * static_cast<double>(rows[1](data.train.item[i], j));
      (data.train.user[i] == data.train.user[0] ? first : all) += score;
    }
    return std::array<double, 2>{first, all};
  };
  const std::size_t count = data.train.user.size();
  const auto plain = vectors({}), equal = vectors(std::vector<float>(count, 3.0F));
  CHECK(plain == equal);
  std::vector<float> weights(count, 1.0F);
  for (std::size_t i = 0; i < count; ++i)
    if (data.train.user[i] == data.train.user[0]) weights[i] = 20.0F;
  const auto pulled = vectors(weights);
  CHECK(pulled[0] > 1.2 * plain[0]);
}

}  // namespace dream_tests::train_fit
