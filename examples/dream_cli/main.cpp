// The command line of the `dream` program: what it takes, its help, and how errors end it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <string>

#include <dream/core/error.hpp>

#include "commands.hpp"
#include "settings.hpp"
#include "study_plan.hpp"

namespace {

using namespace dream_cli;

CLI::App* command(CLI::App& app, const std::string& name, const std::string& what, const std::string& examples) {
  CLI::App* sub = app.add_subcommand(name, what);
  sub->footer("\nExamples:\n" + examples);
  return sub;
}

CLI::Option* add_data(CLI::App* sub, std::string& data) {
  return sub->add_option("--data", data, "data folder (NAME.inter or train.txt, *_feat.npy) or interactions file")
      ->type_name("DIR");
}

void add_checkpoint(CLI::App* sub, std::string& checkpoint) {
  sub->add_option("--checkpoint", checkpoint, "best.safetensors or checkpoint.safetensors of a training run")
      ->required()
      ->type_name("FILE");
}

template <class Name>
void add_backend(CLI::App* sub, Name& backend) {
  sub->add_option("--backend", backend,
                  "what computes: cpu (default), cuda (a GPU), auto (a GPU where there is one), or emulated (the CUDA "
                  "kernels on the host, for tests)")
      ->check(CLI::IsMember({"cpu", "cuda", "auto", "emulated"}))
      ->type_name("NAME");
}

void add_model(CLI::App* sub, std::optional<std::string>& model, std::optional<std::string>& bma) {
  sub->add_option("--model", model, "dream (default), mf, lightgcn, vbpr, bm3, freedom or mgcn")
      ->check(CLI::IsMember(model_names()))
      ->type_name("NAME");
  sub->add_option("--bma", bma, "behaviour-modal alignment in the loss of any model with two domains")
      ->check(CLI::IsMember({"on", "off", "own"}))
      ->type_name("on|off");
}

void add_threads(CLI::App* sub, int& threads) {
  sub->add_option("--threads", threads, "threads to use; 0: all. Results do not depend on it")
      ->check(CLI::Range(0, 4096))
      ->type_name("N");
}

CLI::Validator positive() { return CLI::Range(std::int64_t{1}, std::int64_t{2147483647}); }

/// Runs the chosen command; returns the exit code.
int run(int argc, char** argv) {
  CLI::App app{"dream: multimodal recommendation. Trains, evaluates and serves the DREAM model."};
  app.require_subcommand(1);
  app.set_version_flag("--version", "dream 0.1.0");
  app.footer("\n`dream COMMAND --help` explains a command.");
  std::function<int()> chosen;

  TrainArguments t;
  bool list_keys = false;
  CLI::App* sub = command(app, "train", "Trains a model and writes its checkpoints, metrics and embeddings",
                          "  dream train --data data/tiktok --out runs/tiktok\n"
                          "  dream train --data data/tiktok --out runs/mf --model mf --set embedding_size=32\n"
                          "  dream train --data data/tiktok --out runs/tiktok --resume --epochs 2000\n"
                          "  dream train --help-config");
  CLI::Option* data = add_data(sub, t.data);
  CLI::Option* out = sub->add_option("--out", t.out, "folder of the run; made where it is missing")->type_name("DIR");
  add_model(sub, t.model, t.bma);
  add_backend(sub, t.backend);
  sub->add_option("--epochs", t.epochs, "the most epochs")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1000000000}))
      ->type_name("N");
  sub->add_option("--seed", t.seed, "seed of every random number")
      ->check(CLI::Range(std::int64_t{0}, largest_whole))
      ->type_name("S");
  add_threads(sub, t.threads);
  sub->add_flag("--resume", t.resume, "go on from the run's checkpoint.safetensors");
  sub->add_option("--config", t.config, "YAML or JSON file of settings")->type_name("FILE");
  sub->add_option("--set", t.assignments, "one setting; may be repeated. Wins over --config")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_flag("--help-config", list_keys, "list every setting with its default and meaning");
  sub->callback([&, data, out] {
    if (list_keys) {
      chosen = [] {
        std::fputs(("Settings of --config and --set:\n\n" + describe_keys()).c_str(), stdout);
        return Exit::success;
      };
      return;
    }
    for (const CLI::Option* needed : {data, out}) {
      if (needed->count() == 0) throw CLI::RequiredError(needed->get_name());
    }
    chosen = [&] { return train(t); };
  });

  TuneArguments search;
  sub = command(
      app, "tune",
      "Trains a model with every combination of some settings, or some drawn at random, and chooses on valid",
      "  dream tune --data data/tiktok --out runs/tune --set 'reg_weight=[0.05, 0.1]' --set 'n_ui_layers=[1, 2]'\n"
      "  dream tune --data data/tiktok --out runs/tune-mgcn --model mgcn --config lists.yaml --random 20");
  add_data(sub, search.data)->required();
  sub->add_option("--out", search.out, "folder of the trials; the same command goes on with one that was stopped")
      ->required()
      ->type_name("DIR");
  add_model(sub, search.model, search.bma);
  add_backend(sub, search.backend);
  sub->add_option("--config", search.config, "YAML or JSON file of settings; a list of values is searched over")
      ->type_name("FILE");
  sub->add_option("--set", search.assignments, "one setting, or KEY=[VALUE, ..] to search over; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_option("--random", search.random, "try so many combinations, drawn at random")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{100000}))
      ->type_name("N");
  sub->add_option("--draw-seed", search.draw_seed, "seed of that draw")
      ->check(CLI::Range(std::int64_t{0}, largest_whole))
      ->capture_default_str()
      ->type_name("S");
  add_threads(sub, search.threads);
  sub->callback([&] { chosen = [&] { return tune(search); }; });

  StudyArguments sweep;
  bool list_grids = false;
  sub =
      command(app, "study",
              "Trains DREAM, what it is compared with, its ablations and BMA as a plug-in, and writes report.html",
              "  dream study --data data/tiktok --out studies/tiktok\n"
              "  dream study --data data/tiktok --out studies/small --models dream,lightgcn --groups models --seeds 1\n"
              "  dream study --help-grids");
  CLI::Option* study_data = add_data(sub, sweep.data);
  CLI::Option* study_out =
      sub->add_option("--out", sweep.out, "folder of the study; the same command goes on with one that was stopped")
          ->type_name("DIR");
  sub->add_option("--seeds", sweep.seeds, "runs of everything, each with a seed of its own")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1000}))
      ->capture_default_str()
      ->type_name("N");
  sub->add_option("--models", sweep.models, "some of dream, mf, lightgcn, vbpr, bm3, freedom and mgcn")
      ->check(CLI::IsMember(model_names()))
      ->delimiter(',')
      ->type_name("NAME,..");
  sub->add_option("--groups", sweep.groups, "some of models, ablations, embeddings and alignment")
      ->check(CLI::IsMember(study_groups()))
      ->delimiter(',')
      ->type_name("NAME,..");
  sub->add_option("--grids", sweep.grids, "JSON file of what is searched over, by model")->type_name("FILE");
  sub->add_flag("--help-grids", list_grids, "print the grids that are searched by default");
  add_backend(sub, sweep.backend);
  sub->add_option("--config", sweep.config, "YAML or JSON file of settings that all runs share")->type_name("FILE");
  sub->add_option("--set", sweep.assignments, "one setting that all runs share; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  add_threads(sub, sweep.threads);
  sub->callback([&, study_data, study_out] {
    if (list_grids) {
      chosen = [] {
        std::printf("%s\n", default_grids().dump(2).c_str());
        return Exit::success;
      };
      return;
    }
    for (const CLI::Option* needed : {study_data, study_out}) {
      if (needed->count() == 0) throw CLI::RequiredError(needed->get_name());
    }
    chosen = [&] { return study(sweep); };
  });

  EvaluateArguments e;
  sub = command(app, "evaluate", "Prints the ranking metrics of a checkpoint, for all, warm and cold items",
                "  dream evaluate --data data/tiktok --checkpoint runs/tiktok/best.safetensors\n"
                "  dream evaluate --data data/tiktok --checkpoint runs/tiktok/best.safetensors --split valid --json");
  add_data(sub, e.data)->required();
  add_checkpoint(sub, e.checkpoint);
  sub->add_option("--split", e.split, "valid or test")
      ->check(CLI::IsMember({"valid", "test"}))
      ->capture_default_str()
      ->type_name("NAME");
  sub->add_flag("--json", e.json, "print JSON instead of a table");
  add_backend(sub, e.backend);
  add_threads(sub, e.threads);
  sub->callback([&] { chosen = [&] { return evaluate(e); }; });

  RecommendArguments r;
  sub = command(
      app, "recommend", "Writes the k best items of users that they do not have yet: lines `user item rank score`",
      "  dream recommend --data data/tiktok --checkpoint runs/tiktok/best.safetensors --k 20 --out top20.tsv\n"
      "  dream recommend --data data/tiktok --checkpoint runs/tiktok/best.safetensors --k 5 --users users.txt --out "
      "top5.tsv");
  add_data(sub, r.data)->required();
  add_checkpoint(sub, r.checkpoint);
  sub->add_option("--k", r.k, "items a user; fewer where a user has fewer left")
      ->check(positive())
      ->required()
      ->type_name("N");
  sub->add_option("--out", r.out, "file to write")->required()->type_name("FILE");
  sub->add_option("--users", r.users, "file of user ids, one a line; all users where it is not given")
      ->type_name("FILE");
  sub->add_option("--exclude", r.exclude,
                  "leave out the user's items of train, of train and valid (known), or of all splits (all)")
      ->check(CLI::IsMember({"train", "known", "all"}))
      ->capture_default_str()
      ->type_name("WHAT");
  add_backend(sub, r.backend);
  add_threads(sub, r.threads);
  sub->callback([&] { chosen = [&] { return recommend(r); }; });

  SimilarArguments s;
  sub = command(app, "similar", "Prints the items nearest to an item by the cosine of their embeddings",
                "  dream similar --data data/tiktok --checkpoint runs/tiktok/best.safetensors --item 42 --k 10");
  add_data(sub, s.data)->required();
  add_checkpoint(sub, s.checkpoint);
  sub->add_option("--item", s.item, "the item's id, as in the data")->required()->type_name("ID");
  sub->add_option("--k", s.k, "how many")->check(positive())->capture_default_str()->type_name("N");
  add_backend(sub, s.backend);
  add_threads(sub, s.threads);
  sub->callback([&] { chosen = [&] { return similar(s); }; });

  ExportArguments x;
  sub = command(app, "export", "Writes the embeddings of a checkpoint as NumPy files",
                "  dream export --checkpoint runs/tiktok/best.safetensors --out vectors");
  add_checkpoint(sub, x.checkpoint);
  sub->add_option("--out", x.out, "folder; made where it is missing")->required()->type_name("DIR");
  sub->callback([&] { chosen = [&] { return export_vectors(x); }; });

  InspectArguments i;
  sub =
      command(app, "inspect", "Prints what a data set holds, and what is odd about it",
              "  dream inspect --data data/tiktok\n  dream inspect --data ratings.txt --set split=time --set k_core=5");
  add_data(sub, i.data)->required();
  sub->add_option("--set", i.assignments, "one setting of the reader (split, k_core, ...); may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->callback([&] { chosen = [&] { return inspect(i); }; });

  SynthArguments y;
  sub = command(app, "synth", "Generates a data set with planted structure",
                "  dream synth --out data/small --users 2000 --items 1000 --seed 7\n"
                "  dream synth --out data/large --users 1000000 --items 200000 --interactions 20000000 --modality "
                "image=128 --modality text=128");
  sub->add_option("--out", y.out, "folder to write; must be empty or absent")->required()->type_name("DIR");
  sub->add_option("--users", y.users, "users")->check(positive())->capture_default_str()->type_name("N");
  sub->add_option("--items", y.items, "items")->check(positive())->capture_default_str()->type_name("M");
  sub->add_option("--interactions", y.interactions, "interactions in all; 0: 20 a user")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("N");
  sub->add_option("--modality", y.modalities,
                  "a modality and its columns; may be repeated. none: no modality. Default: image=64 text=32")
      ->expected(1)
      ->take_all()
      ->type_name("NAME=COLUMNS");
  const CLI::Range fraction(0.0, 0.999);
  sub->add_option("--cold", y.cold_fraction, "share of items without training interactions")
      ->check(fraction)
      ->capture_default_str()
      ->type_name("F");
  sub->add_option("--missing", y.missing_fraction, "share of items without features, a modality")
      ->check(fraction)
      ->capture_default_str()
      ->type_name("F");
  sub->add_option("--noise", y.noise, "noise of the features; their signal is about 1")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("F");
  sub->add_option("--groups", y.groups, "kinds of items")->check(positive())->capture_default_str()->type_name("N");
  sub->add_option("--seed", y.seed, "seed of every random number")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("S");
  sub->add_flag("--replace", y.replace, "replace a data set that is in the folder");
  sub->callback([&] { chosen = [&] { return synth(y); }; });

  CompareArguments c;
  sub = command(app, "compare",
                "Prints the test metrics of training runs side by side, beside recommending what is popular",
                "  dream compare --data data/tiktok runs/tiktok runs/lightgcn");
  add_data(sub, c.data);
  sub->add_option("runs", c.runs, "folders of training runs")->required()->type_name("OUT");
  sub->callback([&] { chosen = [&] { return compare(c); }; });

  ReportArguments p;
  sub = command(app, "report", "Writes report.html and tables of a study that is over, or as far as it is",
                "  dream report --study studies/tiktok");
  sub->add_option("--study", p.study, "folder of the study: --out of dream study")->required()->type_name("DIR");
  sub->callback([&] { chosen = [&] { return report(p); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::string subject = "dream";
    std::vector<std::string> known;
    CLI::App* parsed = &app;
    if (!app.get_subcommands().empty()) {
      parsed = app.get_subcommands().front();
      subject += " " + parsed->get_name();
    }
    std::string message = error.what();
    // CLI11 says that something is unknown, or that a command is missing; say which, and what may have been meant.
    std::string unknown;
    if (parsed == &app && argc > 1) {
      unknown = argv[1];
      for (const CLI::App* other : app.get_subcommands({})) known.push_back(other->get_name());
      for (const CLI::Option* option : app.get_options()) known.push_back(option->get_name());
    } else if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
      const std::vector<std::string> extras = app.remaining(true);
      if (!extras.empty()) unknown = extras.front();
      for (const CLI::Option* option : parsed->get_options()) known.push_back(option->get_name());
    }
    if (!unknown.empty()) {
      message = "unknown argument '" + unknown + "'; did you mean '" +
                nearest(unknown.substr(0, unknown.find('=')), known) + "'?";
    }
    std::fprintf(stderr, "dream: error: %s\nSee '%s --help'.\n", message.c_str(), subject.c_str());
    return Exit::usage;
  }
  return chosen();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int code = run(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) dream::fail("standard output: cannot be written");
    return code;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "dream: error: out of memory\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dream: error: %s\n", error.what());
  }
  return Exit::failure;
}
