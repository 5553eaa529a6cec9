// Every model by the trainer where kernels run, its steps captured and replayed, against the same run on the host.
#include <cmath>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>
#include <dream/train/fit.hpp>

#include "models/ten_steps.hpp"
#include "support/catch.hpp"

namespace dream_tests::train_emulated_models_fit {

using namespace dream;
using namespace dream_test;

namespace {

/// The losses of some epochs, and the first metric after each that evaluates.
template <template <class, class> class Model, class B, class Options>
std::vector<double> run(Context<B>& context, const Dataset& dataset, const ModelDataOptions& data_options,
                        const Options& options, int eval_step) {
  Context<Cpu> host(1);
  const auto data = upload<double>(context, prepare_data<double>(host, dataset, data_options));
  Model<double, B> model(context, data, options, 1);
  FitOptions fit;
  fit.epochs = 4;
  fit.batch_size = 48;
  fit.eval_step = eval_step;
  Trainer trainer(context, model, dataset, fit);
  std::vector<double> numbers;
  trainer.fit([&](const EpochReport& report) {
    for (const auto& [name, value] : report.losses) numbers.push_back(value);
    if (report.evaluated) numbers.push_back(report.valid.values.front().second);
    return true;
  });
  return numbers;
}

/// With batches that are all whole, so that nothing but an evaluation comes between replays, and with a rest.
template <template <class, class> class Model, class Options>
void compare_runs(const std::string& name, ModelDataOptions data_options, Options options) {
  options.embedding_size = 16;
  if constexpr (requires { options.batch_size; }) options.batch_size = 48;
  if constexpr (requires { options.s3_target_norm; }) options.s3_target_norm = TargetNorm::exact;  // quicker to emulate
  Context<Cpu> host(1);
  Context<Emulated> device;
  for (const std::size_t pairs : {192, 200}) {
    Dataset dataset = small_world();
    dataset.train.user.resize(pairs);
    dataset.train.item.resize(pairs);
    for (const int eval_step : {1, 3}) {
      INFO(name << ", " << pairs << " pairs, an evaluation every " << eval_step);
      const auto expected = run<Model>(host, dataset, data_options, options, eval_step);
      const auto found = run<Model>(device, dataset, data_options, options, eval_step);
      REQUIRE(found.size() == expected.size());
      for (std::size_t k = 0; k < found.size(); ++k) {
        CAPTURE(k, found[k], expected[k]);
        CHECK(std::abs(found[k] - expected[k]) < 1e-7);
      }
    }
  }
}

}  // namespace

TEST_CASE("Runs of DREAM whose steps are replayed are those on the host", "[exhaustive]") {
  compare_runs<Dream>("DREAM", {}, DreamOptions{});
  DreamOptions frozen;
  frozen.train_features = false;
  frozen.modality_weights = ModalityWeights::learned;
  compare_runs<Dream>("DREAM, frozen", {}, frozen);
}
TEST_CASE("Runs of VBPR whose steps are replayed are those on the host", "[exhaustive]") {
  compare_runs<Vbpr>("VBPR", {.item_graph = ItemGraph::none}, VbprOptions{});
}
TEST_CASE("Runs of BM3 whose steps are replayed are those on the host", "[exhaustive]") {
  Bm3Options options;
  options.n_ui_layers = 2;
  options.dropout = 0.5;
  compare_runs<Bm3>("BM3", {.item_graph = ItemGraph::none}, options);
}
TEST_CASE("Runs of FREEDOM whose steps are replayed are those on the host, its graph drawn for every epoch",
          "[exhaustive]") {
  compare_runs<Freedom>("FREEDOM", {.item_graph = ItemGraph::binary}, FreedomOptions{});
}
TEST_CASE("Runs of MGCN whose steps are replayed are those on the host", "[exhaustive]") {
  MgcnOptions options;
  options.align = true;
  compare_runs<Mgcn>("MGCN", {}, options);
}

}  // namespace dream_tests::train_emulated_models_fit
