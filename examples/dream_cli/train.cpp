#include "activity.hpp"
#include "backends.hpp"
#include "folder_lock.hpp"
#include "memory.hpp"
#include "messages.hpp"
#include "outputs.hpp"
#include "stored_run.hpp"
#include "training_run.hpp"

#include <filesystem>

#include <dream/core/file.hpp>
#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>

namespace dream_cli {

namespace {

using dream::Cpu;

/// File, --set and command line over the settings to start from.
Settings merged(Settings settings, const TrainArguments& arguments) {
  for (const Given& given : given_in_file(arguments.config)) apply(settings, given);
  for (const std::string& text : arguments.assignments) apply(settings, parse_assignment(text));
  if (arguments.model) settings.model_name = *arguments.model;
  if (arguments.bma) apply(settings, {"bma", *arguments.bma, "--bma"});
  if (arguments.backend) settings.backend = *arguments.backend;
  if (arguments.epochs) settings.fit.epochs = static_cast<int>(*arguments.epochs);
  if (arguments.seed) settings.fit.seed = static_cast<std::uint64_t>(*arguments.seed);
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

}  // namespace

nlohmann::ordered_json metrics_json(const std::vector<std::pair<std::string, double>>& values) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : values) json[name] = value;
  return json;
}

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

nlohmann::ordered_json diagnostics_json(const dream::Diagnostics& found) {
  nlohmann::ordered_json json;
  if (!found.forgetting.empty()) json["forgetting"] = metrics_json(found.forgetting);
  if (!found.shares.empty()) json["shares"] = metrics_json(found.shares);
  const auto apart = [&](const char* name, const dream::Misalignment& m) {
    if (m.entities > 0) json["misalignment"][name] = {{"mean_cosine", m.mean_cosine}, {"histogram", m.histogram}};
  };
  apart("users", found.users);
  apart("items", found.items);
  json["alignment"] = found.alignment;
  json["uniformity"] = {{"users", found.user_uniformity}, {"items", found.item_uniformity}};
  return json;
}

std::string diagnostics_text(const dream::Diagnostics& found) {
  std::string text;
  if (!found.shares.empty() || !found.forgetting.empty()) {
    std::vector<Row> rows{{"modality", "share", "forgetting"}};
    const auto cell = [](const auto& list, const std::string& name) {
      for (const auto& [modality, value] : list)
        if (modality == name) return metric_text(value);
      return std::string("-");
    };
    for (const auto& [name, value] : found.shares.empty() ? found.forgetting : found.shares)
      rows.push_back({name, cell(found.shares, name), cell(found.forgetting, name)});
    text += table_text(rows) + "\n";
  }
  if (found.users.entities + found.items.entities > 0) {
    std::vector<Row> rows{{"cosine of the two domains", "users", "items"}};
    const auto add = [&](const std::string& name, auto&& value) {
      Row row{name};
      for (const dream::Misalignment* m : {&found.users, &found.items})
        row.push_back(m->entities > 0 ? value(*m) : std::string("-"));
      rows.push_back(row);
    };
    add("mean", [](const dream::Misalignment& m) { return metric_text(m.mean_cosine); });
    for (int bin = 0; bin < dream::Misalignment::bins; ++bin) {
      char name[32];
      const double width = 2.0 / dream::Misalignment::bins;
      std::snprintf(name, sizeof name, "%4.1f to %4.1f", -1 + width * bin, -1 + width * (bin + 1));
      add(name,
          [&](const dream::Misalignment& m) { return std::to_string(m.histogram[static_cast<std::size_t>(bin)]); });
    }
    text += table_text(rows) + "\n";
  }
  return text + table_text({{"alignment", metric_text(found.alignment)},
                            {"uniformity of users", metric_text(found.user_uniformity)},
                            {"uniformity of items", metric_text(found.item_uniformity)}});
}

void put_test(nlohmann::ordered_json& result, const dream::Evaluation& test) {
  result["test"] = table_json(test.all);
  result["test_warm"] = table_json(test.warm);
  result["test_cold"] = table_json(test.cold);
  result["test_users"] = {{"all", test.all.users}, {"warm", test.warm.users}, {"cold", test.cold.users}};
}

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

std::string this_build() { return dream::concat(dream::build_signature(), ", ", DREAM_BUILD_FLAGS); }

void say(const dream::WarmStart& taken, const std::string& checkpoint, const dream::Dataset& data) {
  print_note(checkpoint, ": ", taken.users, " of ", data.user_count(), " users and ", taken.items, " of ",
             data.item_count(), " items go on from there; ", data.user_count() - taken.users, " users and ",
             data.item_count() - taken.items, " items are new");
  for (const std::string& name : taken.untouched)
    print_note(checkpoint, ": has no parameter ", name, " of this shape, so it starts anew");
}

int train(const TrainArguments& arguments) {
  RunFolder folder(arguments.out);
  Inputs inputs{arguments.data, {}};
  // A run that goes on has the settings of its own config.json.
  if (!arguments.resume || !folder.has_checkpoint())
    inputs.files = {{"--config", arguments.config}, {"--from", arguments.from}};
  expect_out_folder(arguments.out, OutFolder::run, inputs);
  const FolderLock lock(arguments.out);
  const bool resume = arguments.resume && folder.has_checkpoint();
  DREAM_EXPECT(arguments.resume || !folder.has_checkpoint(), folder.checkpoint(),
               ": there is a checkpoint already; --resume goes on from it, another --out starts anew");
  for (const std::string& file : {arguments.out + "/result.json", folder.best()})
    DREAM_EXPECT(resume || !dream::file_exists(file), file, ": is of another run, which has no ",
                 "checkpoint.safetensors to go on from; choose another --out, or delete that folder");
  Settings settings;
  if (resume) {
    const dream::CheckpointOrigin stored = dream::checkpoint_origin(folder.checkpoint());
    const Settings began = settings_of(folder.checkpoint(), stored);
    if (!stored.build.empty() && stored.build != this_build())
      print_note(folder.checkpoint(), ": was begun by another build (", stored.build, "; this one is ", this_build(),
                 "), so the results may differ from those of a run in one piece");
    settings = merged(began, arguments);
    if (settings.backend == "auto") settings.backend = began.backend;
    expect_same(began, settings, folder.checkpoint());
  } else {
    if (!arguments.from.empty()) {
      const dream::CheckpointOrigin origin = dream::checkpoint_origin(arguments.from);
      settings = merged(settings_of(arguments.from, origin), arguments);
      DREAM_EXPECT(settings.model_name == origin.model, arguments.from, ": holds a ", origin.model, " model, not ",
                   settings.model_name, "; leave --model out, or train anew without --from");
    } else {
      settings = merged(Settings{}, arguments);
    }
    if (arguments.resume) print_note(arguments.out, ": no checkpoint yet, starting from the beginning");
  }

  settings.backend = usable_backend(settings.backend);
  Signals signals;
  return train_settings(settings, arguments.data, folder,
                        {.resume = resume, .from = arguments.from, .threads = arguments.threads}, signals);
}

int train_settings(const Settings& settings, const std::string& data_folder, RunFolder& folder,
                   const TrainingChoice& choice, Signals& signals) {
  expect_alignment_works(settings);
  dream::Context<Cpu> context(choice.threads);
  doing("reading the data");
  dream::Dataset data = dream::read_dataset(data_folder, settings.read);
  const std::uint64_t fingerprint = dream::fingerprint(data);
  DREAM_EXPECT(!choice.fingerprint || *choice.fingerprint == fingerprint, data_folder,
               ": has changed since the command began (its fingerprint is another)");
  if (choice.says_notes)
    for (const std::string& note : data.notes) print_note(note);
  expect_trainable(settings, data, data_folder);
  if (choice.resume) {
    DREAM_EXPECT(dream::checkpoint_origin(folder.checkpoint()).data == fingerprint, folder.checkpoint(),
                 ": was trained on other data than ", data_folder, " (their fingerprints differ)");
  }
  if (kernel_commands(settings.backend) == nullptr) expect_memory(settings, data, data_folder);
  folder.make();

  doing("preparing graphs and features");
  const dream::ModelDataOptions prepared = data_options(settings, data, data_folder);
  if (!prepared.modal) data.modalities.clear();
  const Preparation preparation{context, data, prepared};
  const TrainingRun training{settings,
                             folder,
                             data,
                             fingerprint,
                             choice.resume,
                             choice.from,
                             choice.score_test,
                             choice.says_notes,
                             choice.says_outcome,
                             signals};
  if (const KernelCommands* kernels = kernel_commands(settings.backend))
    return kernels->train(context.threads(), preparation, training);
  const auto model_data = dream::prepare_data_releasing_features<float>(context, data, prepared);
  return train_on(context, model_data, prepared, training);
}

int diagnose(const DiagnoseArguments& arguments) {
  const dream::CheckpointOrigin origin = dream::checkpoint_origin(arguments.checkpoint);
  const Settings settings = settings_of(arguments.checkpoint, origin);
  dream::Context<Cpu> context(arguments.threads);
  dream::Dataset data = dream::read_dataset(arguments.data, settings.read);
  DREAM_EXPECT(dream::fingerprint(data) == origin.data, arguments.checkpoint, ": was trained on other data than ",
               arguments.data, " (their fingerprints differ)");
  const dream::ModelDataOptions prepared = data_options(settings, data, arguments.data);
  if (!prepared.modal) data.modalities.clear();
  const auto model_data = dream::prepare_data_releasing_features<float>(context, data, prepared);
  dream::AnyModel<float, Cpu> model = make_model(context, model_data, prepared, settings);
  dream::Trainer<dream::AnyModel<float, Cpu>> trainer(context, model, data, fit_options(settings));
  dream::load_checkpoint(arguments.checkpoint, trainer, origin);
  const dream::Diagnostics found = diagnose_trained(context, trainer, model, model_data);
  if (arguments.json) {
    nlohmann::ordered_json json{{"model", settings.model_name}, {"epoch", trainer.state().epoch}};
    json.update(diagnostics_json(found));
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s, epoch %d\n\n%s", settings.model_name.c_str(), trainer.state().epoch,
                diagnostics_text(found).c_str());
  }
  return Exit::success;
}

}  // namespace dream_cli
