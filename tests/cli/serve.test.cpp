#include <map>
#include <set>
#include <sstream>
#include <vector>

#include <dream/data/npy.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_serve {

using namespace dream_test;

namespace {

/// A data set with words for ids, and a model of it in `o`.
struct Named : Workplace {
  Named() {
    std::string table = "item,user\n";
    for (int u = 0; u < 12; ++u)
      for (int i = 0; i < 6; ++i)
        table += "item-" + std::to_string((u * 3 + i * (1 + u % 2)) % 17) + ",user " + std::to_string(u) + "\n";
    for (char& c : table)
      if (c == ' ') c = '_';
    write("plain.csv", table);
    const Outcome run = this->run(
        "train --data plain.csv --out o --model lightgcn --epochs 3 --set embedding_size=8 --set topk=5 "
        "--set valid_metric=recall@5");
    INFO(run.err);
    REQUIRE(run.code == 0);
  }
};

}  // namespace

TEST_CASE("recommendations carry the ids of the data, best first, and none that the user has") {
  NEEDS_PROGRAM();
  const Named place;
  const Outcome run = place.run("recommend --data plain.csv --checkpoint o/best.safetensors --k 4 --out top.tsv");
  INFO(run.err);
  REQUIRE(run.code == 0);
  const auto rows = rows_of(place.read("top.tsv"));
  REQUIRE(rows.size() > 12);
  CHECK(rows[0] == std::vector<std::string>{"user", "item", "rank", "score"});
  std::map<std::string, int> lines;
  for (std::size_t r = 1; r < rows.size(); ++r) {
    REQUIRE(rows[r].size() == 4);
    CHECK(rows[r][0].starts_with("user_"));
    CHECK(rows[r][1].starts_with("item-"));
    CHECK(std::stoi(rows[r][2]) == ++lines[rows[r][0]]);
    if (rows[r - 1][0] == rows[r][0]) CHECK(std::stod(rows[r - 1][3]) >= std::stod(rows[r][3]));
  }
  CHECK(lines.size() == 12);
  // Leaving out everything that the data know of leaves no pair of the file.
  REQUIRE(
      place.run("recommend --data plain.csv --checkpoint o/best.safetensors --k 4 --exclude all --out all.tsv").code ==
      0);
  const std::string table = place.read("plain.csv");
  for (const auto& row : rows_of(place.read("all.tsv")))
    if (row[0] != "user") CHECK_FALSE(contains(table, row[1] + "," + row[0] + "\n"));
}

TEST_CASE(
    "users to recommend for come from a file, in its order, once each, and unknown ones are named with their line") {
  NEEDS_PROGRAM();
  const Named place;
  place.write("users.txt", "\xEF\xBB\xBFuser_id\nuser_7\r\nuser_0\n\nuser_7\nuser_11");
  const std::string command = "recommend --data plain.csv --checkpoint o/best.safetensors --k 1 --out top.tsv --users ";
  const Outcome run = place.run(command + "users.txt");
  INFO(run.err);
  REQUIRE(run.code == 0);
  const auto rows = rows_of(place.read("top.tsv"));
  REQUIRE(rows.size() == 4);
  CHECK(rows[1][0] == "user_7");
  CHECK(rows[2][0] == "user_0");
  CHECK(rows[3][0] == "user_11");
  std::filesystem::remove(place / "top.tsv");
  place.write("users.txt", "user_7\nuser_99\n");
  CHECK_FAILS(place.run(command + "users.txt --strict"), 1, "users.txt:2: no user 'user_99'");
  CHECK_FALSE(place.has("top.tsv"));
  const Outcome noted = place.run(command + "users.txt");
  CHECK(noted.code == 0);
  CHECK(contains(noted.err, "note: users.txt:2: no user 'user_99' in the data"));
  CHECK(rows_of(place.read("top.tsv")).size() == 2);
  std::filesystem::remove(place / "top.tsv");
  for (const char* text : {"\n", "user_id\n", "user_99\n"}) {
    place.write("users.txt", text);
    CHECK_FAILS(place.run(command + "users.txt"), 1, "users.txt: names no user of the data");
  }
  place.write("users.txt", std::string("\xFF\xFEu\0s\0", 6));
  CHECK_FAILS(place.run(command + "users.txt"), 1, "UTF-16");
  CHECK_FAILS(place.run(command + "absent.txt"), 1, "absent.txt");
  CHECK_FALSE(place.has("top.tsv"));
}

TEST_CASE("similar items carry the ids of the data and come by cosine") {
  NEEDS_PROGRAM();
  const Named place;
  const Outcome run = place.run("similar --data plain.csv --checkpoint o/best.safetensors --item item-3 --k 5");
  INFO(run.err);
  REQUIRE(run.code == 0);
  const auto rows = rows_of(run.out);
  REQUIRE(rows.size() == 6);
  CHECK(rows[0] == std::vector<std::string>{"item", "rank", "cosine"});
  for (std::size_t r = 1; r < rows.size(); ++r) {
    CHECK(rows[r][0].starts_with("item-"));
    CHECK(rows[r][0] != "item-3");
    CHECK(std::stod(rows[r][2]) <= 1.000001);
    if (r > 1) CHECK(std::stod(rows[r - 1][2]) >= std::stod(rows[r][2]));
  }
  CHECK_FAILS(place.run("similar --data plain.csv --checkpoint o/best.safetensors --item 3 --k 5"), 1,
              "--item 3: no such item");
}

TEST_CASE("exported vectors are those that training wrote, with ids where rows are not ids") {
  NEEDS_PROGRAM();
  const Named place;
  const Outcome run = place.run("export --checkpoint o/best.safetensors --out deep/vectors");
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK(place.listing("deep/vectors") ==
        "export.json item_embeddings.npy item_ids.tsv user_embeddings.npy user_ids.tsv ");
  for (const std::string file : {"item_embeddings.npy", "item_ids.tsv", "user_embeddings.npy", "user_ids.tsv"})
    CHECK(place.read("deep/vectors/" + file) == place.read("o/" + file));
  CHECK_THAT(place.read("o/item_ids.tsv"), DREAM_MATCHES_SUBSTRING("row\tid\n0\titem-"));
}

TEST_CASE("a checkpoint meets only the data that it was trained on") {
  NEEDS_PROGRAM();
  const Named place;
  place.make_data();
  const std::string file = " --checkpoint o/best.safetensors";
  CHECK_FAILS(place.run("evaluate --data data" + file), 1, "was trained on");
  CHECK_FAILS(place.run("recommend --data data --k 2 --out top.tsv" + file), 1, "was trained on");
  CHECK_FAILS(place.run("similar --data data --item 0" + file), 1, "was trained on");
  std::string table = place.read("plain.csv");
  table.replace(table.rfind("item-"), 6, "item-8");
  place.write("plain.csv", table);
  CHECK_FAILS(place.run("evaluate --data plain.csv" + file), 1, "plain.csv");
}

TEST_CASE("inspecting a data set tells its sizes, splits, modalities and oddities") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data("--cold 0.2 --missing 0.3");
  const Outcome run = place.run("inspect --data data");
  INFO(run.err);
  REQUIRE(run.code == 0);
  for (const char* text : {"900", "60", "50", "image", "text", "missing", "density", "no features", "GiB"}) {
    if (std::string(text) == "GiB") {
      CHECK((contains(run.out, "GiB") || contains(run.out, "MiB")));
    } else {
      CHECK_THAT(run.out, DREAM_MATCHES_SUBSTRING(text));
    }
  }
}

TEST_CASE("inspecting a data set in parts names its files, and one that makes no split is refused") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.write("d/train.csv", "user,item\na,x\nb,y\n");
  place.write("d/val.csv", "a,y\n");
  place.write("d/test.csv", "b,x\n");
  const Outcome run = place.run("inspect --data d");
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK(contains(run.out, "files of interactions: train.csv, val.csv, test.csv\n"));
  place.write("d/test.csv", "b,x\nb,y\n");
  CHECK_FAILS(place.run("inspect --data d"), 1, "test.csv:2: found user b with item y again, first at ");
  place.write("d/dev.csv", "a,y\n");
  CHECK_FAILS(place.run("inspect --data d"), 1, "d: found dev.csv and val.csv, which are names of the same part");
}

TEST_CASE("generated data are the same for the same seed and are not written over what is there") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  const std::string first = place.read("data/data.inter"), features = place.read("data/image_feat.npy");
  const std::string again =
      "synth --out data --users 60 --items 50 --interactions 900 --modality image=12 --modality text=6 ";
  CHECK_FAILS(place.run(again + "--seed 3"), 1, "not empty");
  REQUIRE(place.run(again + "--seed 3 --replace").code == 0);
  CHECK(place.read("data/data.inter") == first);
  CHECK(place.read("data/image_feat.npy") == features);
  REQUIRE(place.run(again + "--seed 4 --replace").code == 0);
  CHECK(place.read("data/data.inter") != first);
  CHECK_FAILS(place.run("synth --out x --users 10 --items 10 --interactions 1000"), 1, "too many");
  CHECK_FAILS(place.run("synth --out x --modality image"), 1, "NAME=COLUMNS");
  CHECK_FALSE(place.has("x"));
}

TEST_CASE("Ids that occur nowhere are neither listed nor recommended, and users without training get what is popular") {
  NEEDS_PROGRAM();
  const Workplace place;
  // Users 7, 17, 27 ... and items 5, 15, 25 ...; item 5 is everybody's, user 407 has no training interaction.
  std::string table = "userID\titemID\tx_label\n";
  for (int u = 0; u < 40; ++u)
    for (int i = 0; i < 6; ++i)
      table +=
          dream::concat(10 * u + 7, "\t", i == 0 ? 5 : 10 * ((7 * u + 3 * i) % 29 + 1) + 5, "\t", i == 5 ? 2 : 0, "\n");
  place.write("gaps/gaps.inter", table + "407\t15\t2\n");
  const Outcome trained = place.run("train --data gaps --out r --model mf --epochs 2 --set embedding_size=8");
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  const std::string lists = "recommend --data gaps --checkpoint r/best.safetensors --k 3 --out ";
  const Outcome run = place.run(lists + "top.tsv");
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK(contains(run.err, "1 "));  // the note counts the user without training interactions
  std::istringstream lines(place.read("top.tsv"));
  std::string line;
  std::getline(lines, line);
  std::set<int> users;
  for (int user = 0, item = 0; lines >> user >> item; std::getline(lines, line)) {
    CHECK(user % 10 == 7);
    CHECK(item % 10 == 5);
    users.insert(user);
  }
  CHECK(users.size() == 41);
  CHECK(contains(place.read("top.tsv"), "407\t5\t1\t"));  // the item with most training interactions
  REQUIRE(place.run(lists + "some.tsv --unknown-users skip").code == 0);
  CHECK_FALSE(contains(place.read("some.tsv"), "\n407\t"));
  CHECK_FAILS(place.run("similar --data gaps --checkpoint r/best.safetensors --item 6"), 1, "no such item in the data");
}

}  // namespace dream_tests::cli_serve
