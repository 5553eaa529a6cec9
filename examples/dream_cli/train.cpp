#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>

#include <dream/core/file.hpp>
#include <dream/data/fingerprint.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/serve/export.hpp>
#include <dream/train/checkpoint.hpp>
#include <dream/train/fit.hpp>

#include "commands.hpp"
#include "progress.hpp"
#include "run_folder.hpp"
#include "settings.hpp"
#include "table.hpp"

namespace dream_cli {

namespace {

using dream::Cpu;

volatile std::sig_atomic_t stop_asked = 0;

/// While it lives, the first SIGINT or SIGTERM asks training to stop; a second one ends the program.
class Signals {
 public:
  Signals() {
    struct sigaction action = {};
    action.sa_handler = [](int) { stop_asked = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(SIGINT, &action, &interrupt_);
    ::sigaction(SIGTERM, &action, &terminate_);
  }
  Signals(const Signals&) = delete;
  ~Signals() {
    ::sigaction(SIGINT, &interrupt_, nullptr);
    ::sigaction(SIGTERM, &terminate_, nullptr);
  }

 private:
  struct sigaction interrupt_ = {}, terminate_ = {};
};

/// File, --set and command line over the settings to start from.
Settings merged(Settings settings, const TrainArguments& arguments) {
  if (!arguments.config.empty()) {
    std::map<std::string, std::string> seen;
    for (const Given& given : read_config_file(arguments.config)) {
      const auto [first, is_first] = seen.emplace(own_name(given.key), given.place);
      DREAM_EXPECT(is_first, given.place, ": ", given.key, " sets ", first->first, ", which is already set at ",
                   first->second);
      apply(settings, given);
    }
  }
  for (const std::string& text : arguments.assignments) apply(settings, parse_assignment(text));
  if (arguments.model) settings.model_name = *arguments.model;
  if (arguments.backend) settings.backend = *arguments.backend;
  if (arguments.epochs) settings.fit.epochs = static_cast<int>(*arguments.epochs);
  if (arguments.seed) settings.fit.seed = static_cast<std::uint64_t>(*arguments.seed);
  const std::string metric = settings.fit.valid_metric;
  const int k = std::stoi(metric.substr(metric.find('@') + 1));
  const auto& ks = settings.fit.top_k;
  DREAM_EXPECT(std::find(ks.begin(), ks.end(), k) != ks.end(), "valid_metric ", metric, " needs ", k, " in topk");
  return settings;
}

/// A run goes on with what it began with; only its length may change.
void expect_same(const Settings& began, const Settings& now, const std::string& checkpoint) {
  const nlohmann::ordered_json a = to_json(began), b = to_json(now);
  for (const auto& [key, value] : b.items()) {
    if (key == "epochs" || key == "stopping_step") continue;
    DREAM_EXPECT(a.at(key) == value, checkpoint, ": the run began with ", key, " = ", a.at(key).dump(), ", not ",
                 value.dump(), "; leave it out to resume, or choose another --out");
  }
}

nlohmann::ordered_json metrics_json(const std::vector<std::pair<std::string, double>>& values) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : values) json[name] = value;
  return json;
}

/// The metrics; none where there was nobody to take means over.
nlohmann::ordered_json table_json(const dream::MetricTable& table) {
  return table.users > 0 ? metrics_json(table.values) : nlohmann::ordered_json::object();
}

nlohmann::ordered_json epoch_json(const dream::EpochReport& report) {
  nlohmann::ordered_json line;
  line["epoch"] = report.epoch;
  line["losses"] = metrics_json(report.losses);
  if (report.evaluated) line["valid"] = metrics_json(report.valid.values);
  line["seconds"] = report.train_seconds + report.eval_seconds;
  line["train_seconds"] = report.train_seconds;
  line["eval_seconds"] = report.eval_seconds;
  return line;
}

/// The test metrics as a table, for all, warm and cold items.
std::string result_text(const dream::Evaluation& test) {
  std::vector<Row> rows{{"test", "all items", "warm items", "cold items"}};
  for (const auto& [name, value] : test.all.values) {
    Row row{name, metric_text(value)};
    for (const dream::MetricTable* part : {&test.warm, &test.cold})
      row.push_back(part->users > 0 ? metric_text(part->at(name)) : "-");
    rows.push_back(row);
  }
  return table_text(rows);
}

/// Trains a model that is ready; everything that does not depend on what it is.
template <class Model>
int run(dream::Context<Cpu>& context, Model& model, const dream::Dataset& data, const Settings& settings,
        RunFolder& folder, std::uint64_t fingerprint, bool resume) {
  dream::FitOptions options = settings.fit;
  // Where training ends is decided here, so that a run in pieces evaluates at the same epochs as a run in one.
  options.epochs = std::numeric_limits<int>::max();
  dream::Trainer<Model> trainer(context, model, data, options);
  const dream::CheckpointOrigin origin{settings.model_name, to_json(settings).dump(), fingerprint};
  if (resume) dream::load_checkpoint(folder.checkpoint(), trainer, origin);
  if (trainer.sampler().users_without_negatives() > 0)
    std::fprintf(stderr, "note: %lld users have every item and are not trained on\n",
                 static_cast<long long>(trainer.sampler().users_without_negatives()));
  const Signals signals;
  folder.begin(to_json(settings), trainer.state().epoch);
  if (!resume) folder.save(trainer, origin, data);

  double ranking_loss = 0;
  const auto finished = [&] { return trainer.state().epoch >= settings.fit.epochs || trainer.finished(); };
  if (!finished()) {
    Progress progress(trainer.state().epoch + 1, settings.fit.epochs, trainer.sampler().size());
    bool saved = true;
    while (!finished() && !stop_asked) {
      const dream::EpochReport report = trainer.run_epoch([&](const dream::StepReport& step) {
        progress.step(step.epoch, step.interactions, step.loss);
        return !stop_asked;
      });
      if (trainer.state().epoch < report.epoch) break;  // interrupted within the epoch: its work is lost
      folder.add_epoch(epoch_json(report));
      ranking_loss = report.losses.front().second;
      const std::string& metric = settings.fit.valid_metric;
      progress.epoch_done(report.epoch, report.losses.back().second, report.train_seconds,
                          report.evaluated
                              ? metric + " " + metric_text(report.valid.at(metric)) + (report.improved ? " (best)" : "")
                              : "");
      saved = folder.save_when_due(trainer, origin, data);
      if (!saved && (finished() || stop_asked)) {
        folder.save(trainer, origin, data);
        saved = true;
      }
    }
  }
  if (stop_asked) {
    std::fprintf(stderr, "dream: interrupted; go on with: dream train --data ... --out %s --resume\n",
                 folder.path().c_str());
    return Exit::interrupted;
  }

  if (ranking_loss > 0.99 * std::log(2.0))
    std::fprintf(
        stderr,
        "note: the ranking loss ended at %.4f, where guessing has ln 2 = 0.6931. If more epochs do not lower it, "
        "reg_weight is too large for these data\n",
        ranking_loss);

  const dream::FitState& state = trainer.state();
  const bool has_best = state.best_epoch > 0;
  const auto last = has_best ? std::array<dream::MatrixView<const float>, 2>{} : trainer.represent();
  const dream::MatrixView<const float> users = has_best ? trainer.best_users().view() : last[0];
  const dream::MatrixView<const float> items = has_best ? trainer.best_items().view() : last[1];
  const int best_epoch = has_best ? state.best_epoch : state.epoch;
  nlohmann::ordered_json result;
  result["model"] = settings.model_name;
  result["seed"] = settings.fit.seed;
  result["best_epoch"] = best_epoch;
  result["epochs"] = state.epoch;
  if (has_best) {
    result["valid"] = metrics_json(state.best_valid);
  } else {
    result["valid"] = data.valid.size() > 0
                          ? table_json(trainer.evaluate_vectors(users, items, dream::Split::valid).all)
                          : nlohmann::ordered_json::object();
  }
  const dream::Evaluation test = trainer.evaluate_vectors(users, items, dream::Split::test);
  result["test"] = data.test.size() > 0 ? table_json(test.all) : nlohmann::ordered_json::object();
  if (data.test.size() > 0) {
    result["test_warm"] = table_json(test.warm);
    result["test_cold"] = table_json(test.cold);
    result["test_users"] = {{"all", test.all.users}, {"warm", test.warm.users}, {"cold", test.cold.users}};
  }
  folder.finish(result, origin, best_epoch, users, items, data);
  std::printf("%s: best epoch %d of %d\n", settings.model_name.c_str(), best_epoch, state.epoch);
  if (data.test.size() > 0) std::printf("\n%s", result_text(test).c_str());
  return Exit::success;
}

}  // namespace

int train(const TrainArguments& arguments) {
  dream::expect_no_dataset(arguments.out);
  RunFolder folder(arguments.out);
  const bool resume = arguments.resume && folder.has_checkpoint();
  DREAM_EXPECT(arguments.resume || !folder.has_checkpoint(), folder.checkpoint(),
               ": there is a checkpoint already; --resume goes on from it, another --out starts anew");
  Settings settings;
  if (resume) {
    const std::string stored = dream::checkpoint_origin(folder.checkpoint()).config;
    const Settings began =
        settings_from_json(nlohmann::json::parse(stored, nullptr, false), folder.checkpoint() + ": config");
    settings = merged(began, arguments);
    expect_same(began, settings, folder.checkpoint());
  } else {
    settings = merged(Settings{}, arguments);
    if (arguments.resume)
      std::fprintf(stderr, "note: %s: no checkpoint yet, starting from the beginning\n", arguments.out.c_str());
  }

  dream::Context<Cpu> context(arguments.threads);
  dream::Dataset data = dream::read_dataset(arguments.data, settings.read);
  const std::uint64_t fingerprint = dream::fingerprint(data);
  for (const std::string& note : data.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  const int largest_k = *std::max_element(settings.fit.top_k.begin(), settings.fit.top_k.end());
  DREAM_EXPECT(largest_k <= data.item_count(), "topk asks for ", largest_k, " items, but ", arguments.data, " has ",
               data.item_count(), " items");
  if (resume) {
    DREAM_EXPECT(dream::checkpoint_origin(folder.checkpoint()).data == fingerprint, folder.checkpoint(),
                 ": was trained on other data than ", arguments.data, " (their fingerprints differ)");
  }
  folder.make();

  const bool is_dream = settings.model_name == "dream";
  dream::DreamOptions& options = settings.model;
  options.batch_size = settings.fit.batch_size;
  dream::ModelDataOptions prepared = options.data;
  prepared.modal = is_dream && options.modal_line;
  prepared.user_similarity = options.s3_weight > 0 && options.s3_user_weight > 0;
  DREAM_EXPECT(!prepared.modal || !data.modalities.empty(), arguments.data,
               ": has no features for the modal line of dream; add *_feat.npy, or set modal_line=false, or use --model "
               "lightgcn");
  const auto model_data = dream::prepare_data_releasing_features<float>(context, data, prepared);
  if (!prepared.modal) data.modalities.clear();
  if (is_dream) {
    dream::DreamOptions used = options;
    used.data = prepared;
    dream::Dream<float, Cpu> model(context, model_data, used, settings.fit.seed);
    return run(context, model, data, settings, folder, fingerprint, resume);
  }
  if (settings.model_name == "mf") {
    dream::MatrixFactorisationOptions used = settings.mf;
    used.embedding_size = options.embedding_size;
    used.batch_size = settings.fit.batch_size;
    dream::MatrixFactorisation<float, Cpu> model(context, model_data, used, settings.fit.seed);
    return run(context, model, data, settings, folder, fingerprint, resume);
  }
  dream::LightGcnOptions used = settings.lightgcn;
  used.embedding_size = options.embedding_size;
  used.n_ui_layers = options.n_ui_layers;
  dream::LightGcn<float, Cpu> model(context, model_data, used, settings.fit.seed);
  return run(context, model, data, settings, folder, fingerprint, resume);
}

}  // namespace dream_cli
