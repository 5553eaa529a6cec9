// Training by the trainer where kernels run: drawn, captured and replayed on
// the device.
#include <limits>
#include <string>
#include <vector>

#include <dream/data/synthetic.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/testing/emulated.hpp>
#include <dream/train/checkpoint.hpp>
#include <dream/train/fit.hpp>

#include "data/folder.hpp"
#include "support/catch.hpp"

namespace dream_tests::train_emulated_fit {

using namespace dream;

namespace {

Dataset small_world() {
  return make_synthetic({.users = 50, .items = 40, .interactions = 450, .modalities = {{"image", 8}}});
}

/// What a run ends with.
struct Run {
  std::vector<EpochReport> reports;
  std::vector<double> users, items;
  double recall = 0;
};

std::vector<double> values_of(const Matrix<double, Cpu>& m) { return {m.data(), m.data() + m.size()}; }

template <class B>
Run train(Context<B>& context, const Dataset& dataset, int epochs, bool replay = true) {
  Context<Cpu> host(1);
  ModelDataOptions prepared;
  prepared.modal = false;
  const auto on_host = prepare_data<double>(host, dataset, prepared);
  const auto data = upload<double>(context, on_host);
  LightGcn<double, B> model(context, data, LightGcnOptions{.embedding_size = 8}, 1);
  FitOptions options;
  options.epochs = epochs;
  options.batch_size = 64;
  options.adam.learning_rate = 0.02;
  options.learning_rate_factor = 0.9;
  options.learning_rate_period = 1;
  options.replay_steps = replay;
  Trainer trainer(context, model, dataset, options);
  Run run;
  trainer.fit([&](const EpochReport& report) {
    run.reports.push_back(report);
    return true;
  });
  run.users = values_of(trainer.best_users());
  run.items = values_of(trainer.best_items());
  run.recall = trainer.evaluate(Split::test).at("recall@10");
  return run;
}

double worst(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double difference = std::abs(a[k] - b[k]);
    most = difference <= most ? most : difference;
  }
  return most;
}

}  // namespace

TEST_CASE(
    "A run where kernels run draws the same batches as on the host, and "
    "ends with its losses and metrics") {
  const Dataset dataset = small_world();
  Context<Cpu> host(1);
  Context<Emulated> device({.lock_memory = true});
  const Run expected = train(host, dataset, 3), found = train(device, dataset, 3);
  REQUIRE(found.reports.size() == expected.reports.size());
  for (std::size_t e = 0; e < expected.reports.size(); ++e) {
    for (std::size_t t = 0; t < expected.reports[e].losses.size(); ++t) {
      CHECK(found.reports[e].losses[t].first == expected.reports[e].losses[t].first);
      CHECK(std::abs(found.reports[e].losses[t].second - expected.reports[e].losses[t].second) < 1e-9);
    }
    CHECK(found.reports[e].valid.at("recall@20") == expected.reports[e].valid.at("recall@20"));
  }
  CHECK(worst(found.users, expected.users) < 1e-8);
  CHECK(worst(found.items, expected.items) < 1e-8);
  CHECK(found.recall == expected.recall);
}

TEST_CASE(
    "Steps that a graph replays give the same bits as steps launched one "
    "by one") {
  const Dataset dataset = small_world();
  Context<Emulated> context;
  const Run replayed = train(context, dataset, 2), launched = train(context, dataset, 2, false);
  CHECK(replayed.users == launched.users);
  CHECK(replayed.items == launched.items);
}

TEST_CASE("A run where kernels run resumes from its checkpoint to the same bits", "[exhaustive]") {
  const Dataset dataset = small_world();
  const TemporaryFolder folder;
  Context<Cpu> host(1);
  Context<Emulated> context;
  ModelDataOptions prepared;
  prepared.modal = false;
  const auto data = upload<double>(context, prepare_data<double>(host, dataset, prepared));
  FitOptions options;
  options.epochs = 4;
  options.batch_size = 64;
  const CheckpointOrigin origin{"lightgcn", "{}", 1};
  const auto run = [&](bool save, bool load, int until) {
    LightGcn<double, Emulated> model(context, data, LightGcnOptions{.embedding_size = 8}, 1);
    Trainer trainer(context, model, dataset, options);
    if (load) load_checkpoint(folder / "c", trainer, origin);
    while (trainer.state().epoch < until) trainer.run_epoch();
    if (save) save_checkpoint(folder / "c", trainer, origin, dataset.users, dataset.items);
    const auto parameters = model.parameters().values();
    std::vector<double> all(static_cast<std::size_t>(parameters.size));
    download<double>(context, parameters.data, all);
    return all;
  };
  const std::vector<double> whole = run(false, false, 4);
  run(true, false, 2);
  CHECK(run(false, true, 4) == whole);
}

TEST_CASE(
    "A loss that is not finite where kernels run stops training with its "
    "name, and no parameter changes after") {
  const Dataset dataset = small_world();
  Context<Cpu> host(1);
  Context<Emulated> context;
  ModelDataOptions prepared;
  prepared.modal = false;
  const auto data = upload<double>(context, prepare_data<double>(host, dataset, prepared));
  LightGcn<double, Emulated> model(context, data, LightGcnOptions{.embedding_size = 8}, 1);
  FitOptions options;
  options.batch_size = 64;
  Trainer trainer(context, model, dataset, options);
  trainer.run_epoch();
  // One user's embedding becomes infinite; a graph is already there.
  const double bad = std::numeric_limits<double>::infinity();
  upload<double>(context, std::span(&bad, 1), model.parameters().values().data);
  std::vector<double> before(static_cast<std::size_t>(model.parameters().values().size)), after(before);
  download<double>(context, model.parameters().values().data, before);
  // Infinite or NaN, by the items that the user meets.
  REQUIRE_ERROR(trainer.run_epoch(), "training diverged: loss term 'bpr' became ");
  download<double>(context, model.parameters().values().data, after);
  CHECK(std::equal(before.begin() + 1, before.end(), after.begin() + 1));
}

TEST_CASE("Epochs that begin with a replayed step report the losses of the host's") {
  Dataset dataset = small_world();
  dataset.train.user.resize(256);  // whole batches alone
  dataset.train.item.resize(256);
  const auto losses_of = [&]<class B>(Context<B>& context) {
    Context<Cpu> host(1);
    const auto data = upload<double>(context, prepare_data<double>(host, dataset, {.modal = false}));
    LightGcn<double, B> model(context, data, LightGcnOptions{.embedding_size = 8}, 1);
    FitOptions options;
    options.batch_size = 64;
    options.eval_step = 3;  // nothing comes between the first epochs
    Trainer trainer(context, model, dataset, options);
    std::vector<std::vector<double>> losses;
    for (int epoch = 0; epoch < 4; ++epoch) {
      losses.emplace_back();
      const EpochReport report = trainer.run_epoch([&](const StepReport& step) {
        if (step.step == 1) losses.back().push_back(step.loss);
        return true;
      });
      for (const auto& [name, value] : report.losses) losses.back().push_back(value);
    }
    return losses;
  };
  Context<Cpu> host(1);
  Context<Emulated> device;
  const auto expected = losses_of(host), found = losses_of(device);
  for (std::size_t e = 0; e < 4; ++e) {
    CAPTURE(e);
    REQUIRE(expected[e].size() >= 3);  // the first step's, a term, the total
    REQUIRE(found[e].size() == expected[e].size());
    CHECK(worst(found[e], expected[e]) < 1e-9);
  }
}

TEST_CASE("A loss that is not finite in a replayed epoch's first step is named") {
  Dataset dataset = small_world();
  dataset.train.user.resize(256);
  dataset.train.item.resize(256);
  Context<Cpu> host(1);
  Context<Emulated> context;
  const auto data = upload<double>(context, prepare_data<double>(host, dataset, {.modal = false}));
  LightGcn<double, Emulated> model(context, data, LightGcnOptions{.embedding_size = 8}, 1);
  FitOptions options;
  options.batch_size = 64;
  options.eval_step = 10;
  Trainer trainer(context, model, dataset, options);
  trainer.run_epoch();
  std::vector<double> bad(static_cast<std::size_t>(model.parameters().values().size),
                          std::numeric_limits<double>::infinity());
  upload<double>(context, bad, model.parameters().values().data);
  REQUIRE_ERROR(trainer.run_epoch(), "training diverged: loss term 'bpr' became nan in epoch 2, step 1");
}

TEST_CASE("A graph that is drawn anew for an epoch may need more memory than the captured step had", "[exhaustive]") {
  // One item is in every user's list, so that its row is long enough for the balanced product in some draws alone.
  Dataset dataset = make_synthetic({.users = 300, .items = 60, .interactions = 2000, .modalities = {{"image", 8}}});
  dataset.train.user.clear();
  dataset.train.item.clear();
  for (index_t u = 0; u < 300; ++u) {
    for (const index_t i : {0, 1 + u * 7 % 29, 30 + u * 13 % 30}) {
      dataset.train.user.push_back(u);
      dataset.train.item.push_back(i);
    }
  }
  Context<Cpu> host(1);
  const auto on_host = prepare_data<double>(host, dataset, {.item_graph = ItemGraph::binary});
  const auto rows = interaction_matrix<double>(host, dataset.train, dataset.user_count(), dataset.item_count());
  FreedomOptions model_options;
  model_options.embedding_size = 8;
  const auto longest = [&](std::uint64_t seed, std::uint32_t epoch) {
    const auto kept = static_cast<std::int64_t>(static_cast<double>(rows.entries()) * (1 - model_options.edge_dropout));
    const auto drawn = sample_interactions<double>(host, rows.view(), kept, {seed, RandomUse::edges, epoch});
    return std::count(drawn.indices.data(), drawn.indices.data() + drawn.entries(), 0);
  };
  std::uint64_t seed = 0;
  for (model_options.edge_dropout = 0.2; seed == 0 && model_options.edge_dropout < 0.9;
       model_options.edge_dropout += 0.01)
    for (std::uint64_t s = 1; seed == 0 && s < 20; ++s)
      if (longest(s, 0) <= 128 && longest(s, 1) > 128) seed = s;
  model_options.edge_dropout -= 0.01;
  REQUIRE(seed > 0);
  FitOptions options;
  options.batch_size = 128;
  options.eval_step = 5;
  const auto users_after = [&]<class B>(Context<B>& context) {
    const auto data = upload<double>(context, on_host);
    Freedom<double, B> model(context, data, model_options, seed);
    Trainer trainer(context, model, dataset, options);
    for (int epoch = 0; epoch < 3; ++epoch) trainer.run_epoch();
    const auto vectors = trainer.represent()[0];
    return values_of(download<double>(context, vectors));
  };
  Context<Emulated> device;
  CHECK(worst(users_after(device), users_after(host)) < 1e-8);
}

TEST_CASE("A batch with a row that the model does not have is an error, on every backend alike") {
  const Dataset dataset = small_world();
  const auto step = [&]<class B>(Context<B>& context, std::vector<index_t> items) {
    Context<Cpu> host(1);
    const auto data = upload<double>(context, prepare_data<double>(host, dataset, {}));
    DreamOptions options;
    options.embedding_size = 8;
    Dream<double, B> model(context, data, options, 1);
    Trainer trainer(context, model, dataset, {});
    const std::vector<index_t> users{1, 2};
    const auto on_device = [&](const std::vector<index_t>& v) { return upload(context, std::span<const index_t>(v)); };
    const auto user_rows = on_device(users), item_rows = on_device(items);
    trainer.step({user_rows.view(), item_rows.view()});
  };
  Context<Cpu> host(1);
  Context<Emulated> device;
  for (const index_t wrong : {40, -1}) {
    const std::string text = "row " + std::to_string(wrong) + " at place 2 of a batch is outside 0 .. 39";
    REQUIRE_ERROR(step(host, {0, 1, wrong, 3}), text);
    REQUIRE_ERROR(step(device, {0, 1, wrong, 3}), text);
  }
  REQUIRE_NOTHROW(step(device, {0, 1, 2, 3}));
}

}  // namespace dream_tests::train_emulated_fit
