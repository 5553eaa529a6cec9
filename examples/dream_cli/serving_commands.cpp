#include "command_line.hpp"
#include "settings.hpp"
#include "study_plan.hpp"

namespace dream_cli {

void add_evaluate(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<EvaluateArguments>();
  CLI::App* sub =
      command(app, "evaluate",
              "Prints the ranking metrics of a checkpoint, for all, warm and cold items, and what its lists look like",
              "  dream evaluate --data data/tiktok --checkpoint runs/tiktok/best.safetensors\n"
              "  dream evaluate --data data/tiktok --checkpoint runs/tiktok/best.safetensors --split valid --json");
  add_data(sub, a->data)->required();
  add_checkpoint(sub, a->checkpoint);
  sub->add_option("--split", a->split, "valid or test")
      ->check(CLI::IsMember({"valid", "test"}))
      ->capture_default_str()
      ->type_name("NAME");
  sub->add_flag("--json", a->json, "print JSON instead of a table");
  sub->add_option("--by-user", a->by_user, "file to write every user's metrics to, a line a user")->type_name("FILE");
  add_backend(sub, a->backend);
  add_threads(sub, a->threads);
  sub->callback([a, &chosen] { chosen = [a] { return evaluate(*a); }; });
}

void add_recommend(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<RecommendArguments>();
  CLI::App* sub = command(
      app, "recommend", "Writes the k best items of users that they do not have yet: lines `user item rank score`",
      "  dream recommend --data data/tiktok --checkpoint runs/tiktok/best.safetensors --k 20 --out top20.tsv\n"
      "  dream recommend --data data/tiktok --checkpoint runs/tiktok/best.safetensors --k 5 --users users.txt --out "
      "top5.tsv\n"
      "  dream recommend --data data/tiktok --checkpoint runs/tiktok/best.safetensors --k 5 --histories new.txt --out "
      "new.tsv");
  add_data(sub, a->data)->required();
  add_checkpoint(sub, a->checkpoint);
  sub->add_option("--k", a->k, "items a user; fewer where a user has fewer left")
      ->check(positive())
      ->required()
      ->type_name("N");
  sub->add_option("--out", a->out, "file to write")->required()->type_name("FILE");
  CLI::Option* users =
      sub->add_option("--users", a->users, "file of user ids, one a line; all users where it is not given")
          ->type_name("FILE");
  sub->add_option(
         "--histories", a->histories,
         "file of lines `user item`: lists for these users, whom training need not have seen, from their items "
         "in it alone; the data may have new items, which are placed by their features")
      ->excludes(users)
      ->type_name("FILE");
  sub->add_option("--items", a->items, "file of item ids, one a line: recommend only these")->type_name("FILE");
  sub->add_option("--without", a->without, "file of item ids, one a line: recommend none of these")->type_name("FILE");
  sub->add_flag("--strict", a->strict, "ids in these files that the data do not have are an error, not a note");
  sub->add_option("--exclude", a->exclude,
                  "leave out the user's items of train, of train and valid (known), of all splits (all), or none")
      ->check(CLI::IsMember({"train", "known", "all", "none"}))
      ->capture_default_str()
      ->type_name("WHAT");
  sub->add_option("--unknown-users", a->unknown_users,
                  "what users without a training interaction get: the items with most training interactions (popular), "
                  "or no list (skip)")
      ->check(CLI::IsMember({"popular", "skip"}))
      ->capture_default_str()
      ->type_name("WHAT");
  add_backend(sub, a->backend);
  add_threads(sub, a->threads);
  sub->callback([a, &chosen] { chosen = [a] { return recommend(*a); }; });
}

void add_similar(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<SimilarArguments>();
  CLI::App* sub =
      command(app, "similar", "Prints or writes the items or users that are nearest by the cosine of their embeddings",
              "  dream similar --data data/tiktok --checkpoint runs/tiktok/best.safetensors --item 42 --k 10\n"
              "  dream similar --data data/tiktok --checkpoint runs/tiktok/best.safetensors --all items --k 10 --out "
              "similar.tsv");
  add_data(sub, a->data)->required();
  add_checkpoint(sub, a->checkpoint);
  CLI::Option_group* of = sub->add_option_group("of", "One of these is given");
  of->add_option("--item", a->item, "an item's id, as in the data")->type_name("ID");
  of->add_option("--user", a->user, "a user's id, as in the data")->type_name("ID");
  CLI::Option* all = of->add_option("--all", a->all, "every one of the items or users")
                         ->check(CLI::IsMember({"items", "users"}))
                         ->type_name("KIND");
  of->require_option(1);
  CLI::Option* out = sub->add_option("--out", a->out, "with --all: file to write")->type_name("FILE");
  out->needs(all);
  all->needs(out);
  sub->add_option("--k", a->k, "how many")->check(positive())->capture_default_str()->type_name("N");
  add_backend(sub, a->backend);
  add_threads(sub, a->threads);
  sub->callback([a, &chosen] { chosen = [a] { return similar(*a); }; });
}

void add_export(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<ExportArguments>();
  CLI::App* sub = command(app, "export", "Writes the embeddings of a checkpoint as NumPy files",
                          "  dream export --checkpoint runs/tiktok/best.safetensors --out vectors");
  add_checkpoint(sub, a->checkpoint);
  sub->add_option("--out", a->out, "folder; made where it is missing")->required()->type_name("DIR");
  sub->callback([a, &chosen] { chosen = [a] { return export_vectors(*a); }; });
}

void add_verify(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<VerifyArguments>();
  CLI::App* sub = command(app, "verify",
                          "Checks that checkpoints, runs and exports are whole; prints a line a file, and ends with 1 "
                          "where one is wrong",
                          "  dream verify runs/tiktok\n  dream verify vectors runs/mgcn/best.safetensors");
  sub->add_option("paths", a->paths, "files and folders that dream wrote; folders with all below them")
      ->required()
      ->type_name("PATH");
  sub->callback([a, &chosen] { chosen = [a] { return verify(*a); }; });
}

void add_inspect(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<InspectArguments>();
  CLI::App* sub =
      command(app, "inspect", "Prints what a data set holds, and what is odd about it",
              "  dream inspect --data data/tiktok\n  dream inspect --data ratings.txt --set split=time --set k_core=5");
  add_data(sub, a->data)->required();
  add_set(sub, a->assignments, "one setting of the reader (split, k_core, ...); may be repeated");
  sub->callback([a, &chosen] { chosen = [a] { return inspect(*a); }; });
}

void add_synth(CLI::App& app, Chosen& chosen) {
  const auto a = std::make_shared<SynthArguments>();
  CLI::App* sub =
      command(app, "synth", "Generates a data set with planted structure",
              "  dream synth --out data/small --users 2000 --items 1000 --seed 7\n"
              "  dream synth --out data/large --users 1000000 --items 200000 --interactions 20000000 --modality "
              "image=128 --modality text=128");
  sub->add_option("--out", a->out, "folder to write; must be empty or absent")->required()->type_name("DIR");
  sub->add_option("--users", a->users, "users")->check(positive())->capture_default_str()->type_name("N");
  sub->add_option("--items", a->items, "items")->check(positive())->capture_default_str()->type_name("M");
  sub->add_option("--interactions", a->interactions, "interactions in all; 0: 20 a user")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("N");
  sub->add_option("--modality", a->modalities,
                  "a modality and its columns; may be repeated. none: no modality. Default: image=64 text=32")
      ->expected(1)
      ->take_all()
      ->type_name("NAME=COLUMNS");
  const CLI::Range fraction(0.0, 0.999);
  sub->add_option("--cold", a->cold_fraction, "share of items without training interactions")
      ->check(fraction)
      ->capture_default_str()
      ->type_name("F");
  sub->add_option("--missing", a->missing_fraction, "share of items without features, a modality")
      ->check(fraction)
      ->capture_default_str()
      ->type_name("F");
  sub->add_option("--noise", a->noise, "noise of the features; their signal is about 1")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("F");
  sub->add_option("--groups", a->groups, "kinds of items")->check(positive())->capture_default_str()->type_name("N");
  sub->add_option("--seed", a->seed, "seed of every random number")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("S");
  sub->add_flag("--replace", a->replace, "replace a data set that is in the folder");
  sub->callback([a, &chosen] { chosen = [a] { return synth(*a); }; });
}

}  // namespace dream_cli
