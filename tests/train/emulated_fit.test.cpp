// Training by the trainer where kernels run: drawn, captured and replayed on
// the device.
#include <limits>
#include <string>
#include <vector>

#include <dream/data/synthetic.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/testing/emulated.hpp>
#include <dream/train/checkpoint.hpp>
#include <dream/train/fit.hpp>

#include "data/folder.hpp"
#include "support/catch.hpp"

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

TEST_CASE("A run where kernels run resumes from its checkpoint to the same bits") {
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
  REQUIRE_ERROR(trainer.run_epoch(), "training diverged: loss term 'bpr' became nan in epoch 2, step 1");
  download<double>(context, model.parameters().values().data, after);
  CHECK(std::equal(before.begin() + 1, before.end(), after.begin() + 1));
}
