// Outputs that would replace what a command reads, data, or the files of a run are refused, and nothing is lost.
#include <map>

#include <dream/core/file.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_outputs {

using namespace dream_test;
namespace fs = std::filesystem;

namespace {

const std::string small = " --model mf --epochs 1 --set embedding_size=8 ";

/// Data, a run, and a file of users; every check looks at all files.
struct Place : Workplace {
  Place() {
    make_data();
    REQUIRE(run("train --data data --out runs/x" + small).code == 0);
    write("users.txt", "0\n1\n");
  }
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(path())) {
      const std::string name = entry.path().lexically_relative(path()).string();
      if (name.front() != '.') found[name] = entry.is_regular_file() ? dream::read_file(entry.path().string()) : "";
    }
    return found;
  }
  void refuses(const std::string& arguments, const std::string& text) const {
    INFO(arguments);
    const auto before = files();
    CHECK_FAILS(run(arguments), 1, text);
    CHECK_FAILS(run(arguments), 1, "choose another");
    CHECK(files() == before);
  }
  void refuses_recommend(const std::string& out, const std::string& text) const {
    refuses("recommend --data data --checkpoint runs/x/best.safetensors --users users.txt --k 2 --out " + out, text);
  }
  void succeeds(const std::string& arguments) const {
    INFO(arguments);
    const Outcome outcome = run(arguments);
    INFO(outcome.err);
    CHECK(outcome.code == 0);
  }
};

}  // namespace

TEST_CASE("recommend does not replace what it reads, by whatever name") {
  NEEDS_PROGRAM();
  const Place place;
  fs::create_symlink("users.txt", place / "link.txt");
  fs::create_hard_link(place / "users.txt", place / "second.txt");
  fs::create_hard_link(place / "data/data.inter", place / "table");
  fs::copy(place / "runs/x/best.safetensors", place / "alone.safetensors");
  fs::create_symlink("data", place / "linked");
  fs::create_symlink("data/new.tsv", place / "dangling");
  for (const std::string& out : {std::string("users.txt"), std::string("./runs/../users.txt"), std::string("link.txt"),
                                 std::string("second.txt"), place / "users.txt"})
    place.refuses_recommend(out, out + ": is the file that --users names; choose another --out");
  place.refuses("recommend --data data --checkpoint alone.safetensors --k 2 --out alone.safetensors",
                "alone.safetensors: is the file that --checkpoint names");
  place.refuses_recommend("table", "table: is a file of the data, ");
  for (const std::string out : {"data/data.inter", "data/image_feat.npy", "data/new.tsv", "linked/new.tsv", "data"})
    place.refuses_recommend(out, out);
  fs::create_directories(place / "data/below/deep");
  place.refuses_recommend("data/below/deep/new.tsv", "data/below/deep/new.tsv: lies in the data folder data");
  place.write("lists/train.txt", "0 1\n");
  place.refuses_recommend("lists/new.tsv", "lists/new.tsv: lies in a data folder");
  place.write("parts/train.csv", "0 1\n");
  place.refuses_recommend("parts/new.tsv", "parts/new.tsv: lies in a data folder");
  // A link that leads nowhere is itself replaced.
  place.succeeds("recommend --data data --checkpoint alone.safetensors --k 2 --out dangling");
  CHECK_FALSE(fs::is_symlink(place / "dangling"));
  CHECK_FALSE(place.has("data/new.tsv"));
  for (const std::string out : {"top.tsv", "top.tsv", "runs/top.tsv", "/dev/null", "/dev/stdout"})
    place.succeeds("recommend --data data --checkpoint alone.safetensors --k 2 --out " + out);
}

TEST_CASE("recommend does not replace a file of a run, a search or a study, and writes a new one beside them") {
  NEEDS_PROGRAM();
  const Place place;
  fs::create_symlink("x", place / "runs/linked");
  for (const std::string name : {"result.json", "config.json", "metrics.jsonl", "best.safetensors",
                                 "checkpoint.safetensors", "user_embeddings.npy", "user_ids.tsv", "lock"})
    place.refuses_recommend("runs/x/" + name, "runs/x/" + name);
  place.refuses_recommend("runs/linked/result.json", "is a file that the run in ");
  fs::create_symlink("x/result.json", place / "runs/result.json");
  place.refuses_recommend("runs/result.json", "is a file that the run in ");
  place.write("s/study.json", "{}");
  place.write("s/report.html", "<html>");
  place.write("s/tables/models.tsv", "part");
  place.write("t/tune.json", "{}");
  place.refuses_recommend("s/report.html", "is a file that the run in ");
  place.refuses_recommend("s/tables/models.tsv", "lies among the tables of the study");
  place.refuses_recommend("t/result.json", "is a file that the run in ");
  place.succeeds("recommend --data data --checkpoint runs/x/best.safetensors --k 2 --out runs/x/top.tsv");
  place.succeeds("recommend --data data --checkpoint runs/x/best.safetensors --k 2 --out runs/x/top.tsv");
}

TEST_CASE("export writes neither into a run nor into data, nor over its checkpoint") {
  NEEDS_PROGRAM();
  const Place place;
  const std::string command = "export --checkpoint runs/x/best.safetensors --out ";
  place.refuses(command + "runs/x", "runs/x: is the folder of a training run");
  place.refuses(command + "data", "data: is a data folder");
  place.refuses(command + "data/vectors", "data/vectors: lies in a data folder");
  fs::create_directory(place / "v");
  fs::create_hard_link(place / "runs/x/best.safetensors", place / "v/user_embeddings.npy");
  place.refuses(command + "v", "runs/x/best.safetensors: is read by --checkpoint, and writing to v would replace it");
  place.succeeds(command + "runs/x/vectors");
  place.succeeds(command + "runs/x/vectors");
  CHECK(place.listing("runs/x/vectors") == "export.json item_embeddings.npy user_embeddings.npy ");
}

TEST_CASE("train, tune and study write neither into their data, nor around them, nor over their settings") {
  NEEDS_PROGRAM();
  const Place place;
  std::string ratings;
  for (int i = 0; i < 40; ++i) ratings += dream::concat(i % 5, ' ', i % 8 + i % 3, '\n');
  place.write("plain/ratings.txt", ratings);
  place.write("settings.yaml", "reg_weight: [0.1, 1]\n");
  fs::create_directory_symlink("data", place / "linked");
  for (const std::string command : {"train", "tune --config settings.yaml", "study"}) {
    const std::string on_data = command + " --data data --out ", on_file = command + " --data plain/ratings.txt --out ";
    place.refuses(on_data + "data", "data: is a data folder");
    place.refuses(on_data + "linked", "linked: is a data folder");
    place.refuses(on_data + "data/r", "data/r: lies in the data folder data");
    place.refuses(on_data + "linked/a/b", "linked/a/b: lies in the data folder data");
    place.refuses(command + " --data data/data.inter --out data/a/b", "lies in the data folder");
    place.refuses(on_data + ".", ".: holds the data that are read, data");
    place.refuses(on_file + "plain", "plain: holds the data that are read, plain/ratings.txt");
    place.refuses(on_file + "plain/ratings.txt", "plain/ratings.txt: is what --data names");
  }
  const std::string config = "runs/x/config.json: is read by --config, and writing to runs/x would replace it";
  fs::remove(place / "runs/x/checkpoint.safetensors");
  for (const std::string name : {"result.json", "best.safetensors", "metrics.jsonl"})
    fs::remove(place / ("runs/x/" + name));
  place.refuses("train --data data --config runs/x/config.json --out runs/x", config);
  place.refuses("train --data data --config runs/x/config.json --out runs/x --resume", config);
  place.refuses("tune --data data --config runs/x/config.json --set 'reg_weight=[0.1, 1]' --out runs",
                "runs/x/config.json: is read by --config, and writing to runs would replace it");
  place.succeeds("train --data data --config runs/x/config.json --out runs/y");
  place.succeeds("train --data data --config runs/y/config.json --out runs/y --resume");
  fs::create_directories(place / "runs/z");
  fs::copy(place / "runs/x/config.json", place / "runs/z/mine.json");
  place.succeeds("train --data data --config runs/z/mine.json --out runs/z");
  place.succeeds(
      "train --data plain/ratings.txt --model mf --epochs 0 --set topk=2 --set valid_metric=recall@2 --set "
      "merge_duplicates=true --out plain/r");
}

TEST_CASE("synth replaces a data set, and nothing else") {
  NEEDS_PROGRAM();
  const Place place;
  const std::string command = "synth --users 60 --items 50 --interactions 900 --replace --out ";
  place.refuses(command + "runs/x", "runs/x: holds no data set to replace (found best.safetensors and no .inter file)");
  place.write("features/image_feat.npy", "years of work");
  place.write("features/item_ids.tsv", "row\tid\n");
  place.refuses(command + "features",
                "features: holds no data set to replace (found image_feat.npy and no .inter file)");
  place.write("lists/train.txt", "0 1\n");
  place.refuses(command + "lists", "lists: holds no data set to replace (found train.txt and no .inter file)");
  CHECK_FAILS(place.run("synth --out data"), 1, "data: the folder is not empty");
  place.write("data/notes.txt", "mine");
  place.succeeds(command + "data");
  CHECK(place.read("data/notes.txt") == "mine");
  fs::create_directory(place / "empty");
  place.succeeds(command + "empty");
  place.succeeds(command + "anew");
}

}  // namespace dream_tests::cli_outputs
