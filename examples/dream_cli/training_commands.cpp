#include "command_line.hpp"
#include "settings.hpp"
#include "study_plan.hpp"

namespace dream_cli {

void add_train(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<TrainArguments>();
  CLI::App* sub = command(
      app, "train", "Trains a model and writes its checkpoints, metrics and embeddings",
      "  dream train --data data/tiktok --out runs/tiktok\n"
      "  dream train --data data/tiktok --out runs/mf --model mf --set embedding_size=32\n"
      "  dream train --data data/tiktok --out runs/tiktok --resume --epochs 2000\n"
      "  dream train --data data/december --out runs/december --from runs/november/checkpoint.safetensors --epochs 20\n"
      "  dream train --help-config");
  add_data(sub, a->data)->required();
  sub->add_option("--out", a->out, "folder of the run; made where it is missing")->required()->type_name("DIR");
  add_model(sub, a->model, a->bma);
  add_backend(sub, a->backend);
  sub->add_option("--epochs", a->epochs, "the most epochs")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1000000000}))
      ->type_name("N");
  sub->add_option("--seed", a->seed, "seed of every random number")
      ->check(CLI::Range(std::int64_t{0}, largest_whole))
      ->type_name("S");
  add_threads(sub, a->threads);
  sub->add_flag("--resume", a->resume, "go on from the run's checkpoint.safetensors");
  sub->add_option(
         "--from", a->from,
         "a run's checkpoint.safetensors to start from: its settings, and the embeddings of the users and items "
         "that the data still have, by id; others are new")
      ->type_name("FILE");
  add_config(sub, a->config, "YAML or JSON file of settings");
  add_set(sub, a->assignments, "one setting; may be repeated. Wins over --config");
  add_listing(sub, "--help-config", "list every setting with its default and meaning",
              [] { return "Settings of --config and --set:\n\n" + describe_keys(); });
  sub->callback([a, &chosen] { chosen = [a] { return train(*a); }; });
}

void add_tune(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<TuneArguments>();
  CLI::App* sub = command(
      app, "tune",
      "Trains a model with every combination of some settings, or some drawn at random, and chooses on valid",
      "  dream tune --data data/tiktok --out runs/tune --set 'reg_weight=[0.05, 0.1]' --set 'n_ui_layers=[1, 2]'\n"
      "  dream tune --data data/tiktok --out runs/tune-mgcn --model mgcn --config lists.yaml --random 20");
  add_data(sub, a->data)->required();
  sub->add_option("--out", a->out, "folder of the trials; the same command goes on with one that was stopped")
      ->required()
      ->type_name("DIR");
  add_model(sub, a->model, a->bma);
  add_backend(sub, a->backend);
  add_config(sub, a->config, "YAML or JSON file of settings; a list of values is searched over");
  add_set(sub, a->assignments, "one setting, or KEY=[VALUE, ..] to search over; may be repeated");
  sub->add_option("--random", a->random, "try so many combinations, drawn at random")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{100000}))
      ->type_name("N");
  sub->add_option("--draw-seed", a->draw_seed, "seed of that draw")
      ->check(CLI::Range(std::int64_t{0}, largest_whole))
      ->capture_default_str()
      ->type_name("S");
  add_threads(sub, a->threads);
  sub->callback([a, &chosen] { chosen = [a] { return tune(*a); }; });
}

void add_study(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<StudyArguments>();
  CLI::App* sub =
      command(app, "study",
              "Trains DREAM, what it is compared with, its ablations and BMA as a plug-in, and writes report.html",
              "  dream study --data data/tiktok --out studies/tiktok\n"
              "  dream study --data data/tiktok --out studies/small --models dream,lightgcn --groups models --seeds 1\n"
              "  dream study --help-grids");
  add_data(sub, a->data)->required();
  sub->add_option("--out", a->out, "folder of the study; the same command goes on with one that was stopped")
      ->required()
      ->type_name("DIR");
  sub->add_option("--seeds", a->seeds, "runs of everything, each with a seed of its own")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1000}))
      ->capture_default_str()
      ->type_name("N");
  sub->add_option("--models", a->models, "some of dream, mf, lightgcn, vbpr, bm3, freedom and mgcn")
      ->check(CLI::IsMember(model_names()))
      ->delimiter(',')
      ->type_name("NAME,..");
  sub->add_option("--groups", a->groups, "some of models, ablations, embeddings and alignment")
      ->check(CLI::IsMember(study_groups()))
      ->delimiter(',')
      ->type_name("NAME,..");
  sub->add_option("--grids", a->grids, "JSON file of what is searched over, by model")->type_name("FILE");
  add_listing(sub, "--help-grids", "print the grids that are searched by default",
              [] { return default_grids().dump(2) + "\n"; });
  add_backend(sub, a->backend);
  add_config(sub, a->config, "YAML or JSON file of settings that all runs share");
  add_set(sub, a->assignments, "one setting that all runs share; may be repeated");
  add_threads(sub, a->threads);
  sub->callback([a, &chosen] { chosen = [a] { return study(*a); }; });
}

void add_diagnose(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<DiagnoseArguments>();
  CLI::App* sub = command(app, "diagnose",
                          "Prints what a trained model's representations look like: forgetting, misalignment, shares",
                          "  dream diagnose --data data/tiktok --checkpoint runs/tiktok/checkpoint.safetensors\n"
                          "  dream diagnose --data data/tiktok --checkpoint runs/mgcn/checkpoint.safetensors --json");
  add_data(sub, a->data)->required();
  sub->add_option("--checkpoint", a->checkpoint, "checkpoint.safetensors of a training run: its last epoch")
      ->required()
      ->type_name("FILE");
  sub->add_flag("--json", a->json, "print JSON instead of tables");
  add_threads(sub, a->threads);
  sub->callback([a, &chosen] { chosen = [a] { return diagnose(*a); }; });
}

void add_report(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<ReportArguments>();
  CLI::App* sub = command(app, "report", "Writes report.html and tables of a finished study, or of one as far as it is",
                          "  dream report --study studies/tiktok");
  sub->add_option("--study", a->study, "folder of the study: --out of dream study")->required()->type_name("DIR");
  sub->callback([a, &chosen] { chosen = [a] { return report(*a); }; });
}

void add_compare(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<CompareArguments>();
  CLI::App* sub = command(app, "compare",
                          "Prints the test metrics of training runs side by side, beside recommending what is popular",
                          "  dream compare --data data/tiktok runs/tiktok runs/lightgcn");
  add_data(sub, a->data);
  sub->add_option("runs", a->runs, "folders of training runs")->required()->type_name("OUT");
  sub->callback([a, &chosen] { chosen = [a] { return compare(*a); }; });
}

}  // namespace dream_cli
