// Lists for chosen items, for users whom training has not seen, and of everybody; metrics by user.
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_lists {

using namespace dream_test;

namespace {

/// The data set of make_data and a model of it in `o`.
struct Trained : Workplace {
  explicit Trained(const std::string& model = "lightgcn", const std::string& data = "--cold 0.2") {
    make_data(data);
    const Outcome run = this->run("train --data data --out o --epochs 4 --model " + model +
                                  " --set embedding_size=8 --set topk=5,10 --set valid_metric=recall@10");
    INFO(run.err);
    REQUIRE(run.code == 0);
  }
  static std::string with(const std::string& more) { return " --data data --checkpoint o/best.safetensors " + more; }
  std::set<std::string> trained_items() const {
    std::set<std::string> found;
    for (const auto& row : rows_of(read("data/data.inter")))
      if (row[2] == "0") found.insert(row[1]);
    return found;
  }
};

}  // namespace

TEST_CASE("only chosen items are recommended, and none that are named to leave out") {
  NEEDS_PROGRAM();
  const Trained place;
  const auto trained = place.trained_items();
  REQUIRE(trained.size() > 20);
  std::string cold;
  for (int i = 0; i < 50; ++i)
    if (trained.count(std::to_string(i)) == 0) cold = std::to_string(i);
  REQUIRE_FALSE(cold.empty());
  auto next = trained.begin();
  const std::string a = *next++, b = *next++, c = *next++;
  place.write("some.txt", "itemID\n" + a + "\n" + b + "\n" + c + "\n" + cold + "\n");
  place.write("not.txt", b + "\n");
  const Outcome run =
      place.run("recommend --k 5 --exclude none --items some.txt --without not.txt --out top.tsv" + Trained::with(""));
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK(contains(run.err, "some.txt: 1 of 4 items have neither training interactions nor features"));
  std::map<std::string, std::set<std::string>> lists;
  for (const auto& row : rows_of(place.read("top.tsv")))
    if (row[0] != "user") lists[row[0]].insert(row[1]);
  CHECK(lists.size() == 60);
  for (const auto& [user, items] : lists) CHECK(items == std::set<std::string>{a, c});
  CHECK_FAILS(place.run("recommend --k 5 --items some.txt --without some.txt --out no.tsv" + Trained::with("")), 1,
              "no item is left to recommend");
  place.write("not.txt", "99\n" + a + "\n");
  CHECK_FAILS(place.run("recommend --k 5 --without not.txt --strict --out no.tsv" + Trained::with("")), 1,
              "not.txt:1: no item '99' in the data");
  CHECK_FALSE(place.has("no.tsv"));
}

TEST_CASE("users of a file get lists from their items alone, whoever they are") {
  NEEDS_PROGRAM();
  const Trained place;
  // The first user of the data under other names and in two orders, somebody without a known item, and a cold item.
  std::vector<std::string> items;
  for (const auto& row : rows_of(place.read("data/data.inter")))
    if (row[0] == "0" && row[2] == "0") items.push_back(row[1]);
  REQUIRE(items.size() > 3);
  std::string file = "user item\n";
  for (const std::string& item : items) file += "anna " + item + "\n";
  for (auto item = items.rbegin(); item != items.rend(); ++item) file += "bert," + *item + "\n";
  place.write("histories.txt", file + "anna\t" + items[0] + "\ncarl x9\n0 " + items[0] + "\n");
  const Outcome run = place.run("recommend --k 6 --histories histories.txt --out top.tsv" + Trained::with(""));
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK(contains(run.err, "no item 'x9' in the data"));
  CHECK(contains(run.err, "1 of 4 users have no item that has a vector and get the items with most training"));
  CHECK(contains(run.err, "1 of 4 users have training interactions too"));
  CHECK(contains(run.err, "items have vectors by their features"));
  std::map<std::string, std::string> lists;
  std::map<std::string, std::size_t> lengths;
  for (const auto& row : rows_of(place.read("top.tsv"))) {
    lists[row[0]] += row[1] + " " + row[3] + ";";
    ++lengths[row[0]];
    if (row[0] == "anna") CHECK(std::count(items.begin(), items.end(), row[1]) == 0);
  }
  CHECK(lists["anna"] == lists["bert"]);
  CHECK(lists["anna"] != lists["0"]);
  for (const char* user : {"anna", "bert", "carl", "0"}) CHECK(lengths[user] == 6);
  const std::string skipping = "recommend --k 6 --unknown-users skip --histories histories.txt --out some.tsv";
  REQUIRE(place.run(skipping + Trained::with("")).code == 0);
  CHECK_FALSE(contains(place.read("some.tsv"), "carl"));
  CHECK_FAILS(place.run("recommend --k 6 --strict --histories histories.txt --out no.tsv" + Trained::with("")), 1,
              ": no item 'x9' in the data");
  place.write("wrong.txt", "anna 1\nbert\n");
  CHECK_FAILS(place.run("recommend --k 6 --histories wrong.txt --out no.tsv" + Trained::with("")), 1,
              "wrong.txt:2: found 1 field, expected a user and an item");
  place.write("users.txt", "0\n");
  CHECK(
      place.run("recommend --k 6 --histories histories.txt --users users.txt --out no.tsv" + Trained::with("")).code ==
      2);
  CHECK_FALSE(place.has("no.tsv"));
}

TEST_CASE("items that came after training are recommended by their features") {
  NEEDS_PROGRAM();
  const Trained place("vbpr", "");
  // The same folder with one more item: a copy of the features of item 3.
  std::filesystem::copy(place / "data", place / "later");
  std::filesystem::rename(place / "later/data.inter", place / "later/later.inter");
  for (const std::string name : {"image", "text"}) {
    std::string bytes = place.read("data/" + name + "_feat.npy");
    const std::size_t at = bytes.find("(50, ");
    REQUIRE(at != std::string::npos);
    const std::size_t row = (name == "image" ? 12 : 6) * sizeof(float), values = bytes.size() - 50 * row;
    bytes.replace(at, 5, "(51, ");
    place.write("later/" + name + "_feat.npy", bytes + bytes.substr(values + 3 * row, row));
  }
  place.write("histories.txt", "anna 3\nanna 4\n");
  const std::string later = "recommend --data later --checkpoint o/best.safetensors --out top.tsv --k 50 ";
  CHECK_FAILS(place.run(later), 1, "was trained on");
  const Outcome run = place.run(later + "--histories histories.txt");
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK(contains(run.err, "later is not what o/best.safetensors was trained on"));
  CHECK(contains(run.err, "1 of 51 items are not in o/best.safetensors"));
  bool found = false;
  for (const auto& row : rows_of(place.read("top.tsv"))) found = found || row[1] == "50";
  CHECK(found);
}

TEST_CASE("the nearest of all items and of all users are those of each one") {
  NEEDS_PROGRAM();
  const Trained place;
  for (const std::string kind : {"items", "users"}) {
    const Outcome run = place.run("similar --all " + kind + " --k 4 --out near.tsv" + Trained::with(""));
    INFO(run.err);
    REQUIRE(run.code == 0);
    const Rows rows = rows_of(place.read("near.tsv"));
    const std::string what = kind.substr(0, 4);
    CHECK(rows[0] == std::vector<std::string>{what, "similar", "rank", "cosine"});
    std::map<std::string, Rows> lists;
    for (std::size_t r = 1; r < rows.size(); ++r) lists[rows[r][0]].push_back(rows[r]);
    CHECK(lists.size() == (kind == "users" ? 60 : place.trained_items().size()));
    const auto& [id, list] = *lists.begin();
    REQUIRE(list.size() == 4);
    const Rows one = rows_of(place.run("similar --k 4 --" + what + " " + id + Trained::with("")).out);
    REQUIRE(one.size() == 5);
    for (std::size_t r = 0; r < 4; ++r) {
      CHECK(list[r][1] == one[r + 1][0]);
      CHECK(std::stod(list[r][3]) == Approx(std::stod(one[r + 1][2])).margin(2e-6));
    }
  }
  CHECK(place.run("similar --k 3" + Trained::with("")).code == 2);
  CHECK(place.run("similar --k 3 --all items" + Trained::with("")).code == 2);
  CHECK_FAILS(place.run("similar --k 3 --user 777" + Trained::with("")), 1, "--user 777: no such user");
  CHECK_FAILS(place.run("similar --k 60 --all users --out no.tsv" + Trained::with("")), 1, "only 59 other users");
}

TEST_CASE("metrics by user have the printed means, and lists are described beside them") {
  NEEDS_PROGRAM();
  const Trained place;
  const Outcome run = place.run("evaluate --json --by-user users.tsv" + Trained::with(""));
  INFO(run.err);
  REQUIRE(run.code == 0);
  const auto json = nlohmann::json::parse(run.out);
  const Rows rows = rows_of(place.read("users.tsv"));
  REQUIRE(rows.size() == json["all"]["users"].get<std::size_t>() + 1);
  REQUIRE(rows[0].size() == 2 + 12);
  for (std::size_t c = 2; c < rows[0].size(); ++c) {
    double sum = 0;
    for (std::size_t r = 1; r < rows.size(); ++r) sum += std::stod(rows[r][c]);
    CHECK(sum / static_cast<double>(rows.size() - 1) == Approx(json["all"][rows[0][c]].get<double>()));
  }
  for (const char* name : {"coverage@5", "gini@10", "popularity@5", "distance_image@10", "distance_text@5"})
    CHECK(json["lists"][name].get<double>() > 0);
  const Outcome table = place.run("evaluate" + Trained::with(""));
  CHECK_THAT(table.out, DREAM_MATCHES_SUBSTRING("distance_image"));
  CHECK_FAILS(place.run("evaluate --by-user data/data.inter" + Trained::with("")), 1, "choose another --by-user");
}

TEST_CASE("training goes on from a checkpoint of other data: who is known keeps the embeddings, others are new") {
  NEEDS_PROGRAM();
  const Workplace place;
  const auto table = [](int users, int items) {
    std::string text = "userID\titemID\tx_label\n";
    for (int u = 0; u < users; ++u)
      for (int i = 0; i < 8; ++i)
        text += dream::concat("u", u, "\ti", (u * 5 + i * 3) % items, "\t", i == 6 ? 1 : i == 7 ? 2 : 0, "\n");
    return text;
  };
  place.write("old/old.inter", table(30, 25));
  place.write("new/new.inter", table(40, 29));
  const std::string settings =
      " --set embedding_size=8 --set topk=5 --set valid_metric=recall@5 --set learning_rate=0.01";
  const Outcome before = place.run("train --data old --out a --model lightgcn --epochs 5" + settings);
  INFO(before.err);
  REQUIRE(before.code == 0);
  const Outcome run = place.run("train --data new --out b --from a/checkpoint.safetensors --epochs 0");
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK(contains(run.err, "30 of 40 users and 25 of 29 items go on from there; 10 users and 4 items are new"));
  const auto config = nlohmann::json::parse(place.read("b/config.json"));
  CHECK(config["embedding_size"] == 8);
  CHECK(config["model"] == "lightgcn");
  // The same command goes on where it was; other settings win over the checkpoint's.
  REQUIRE(place.run("train --data new --out b --from a/checkpoint.safetensors --epochs 2 --resume").code == 0);
  CHECK(rows_of(place.read("b/metrics.jsonl")).size() == 2);
  REQUIRE(
      place.run("train --data new --out c --from a/checkpoint.safetensors --epochs 1 --set embedding_size=4").code ==
      0);
  CHECK_FAILS(place.run("train --data new --out d --from a/best.safetensors"), 1,
              "take the run's checkpoint.safetensors");
  CHECK_FAILS(place.run("train --data new --out d --from a/checkpoint.safetensors --model mf"), 1,
              "holds a lightgcn model, not mf");
  CHECK_FAILS(place.run("train --data new --out d --from absent.safetensors"), 1, "absent.safetensors");
  CHECK_FALSE(place.has("d"));
}

TEST_CASE("a weight column changes what is learned, and is refused where no loss takes it") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  std::string table;
  for (const auto& row : rows_of(place.read("data/data.inter")))
    table += row[0] + "\t" + row[1] + "\t" + row[2] + "\t" +
             (row[0] == "userID" ? "plays"
              : row[0] == "5"    ? "30"
                                 : "1") +
             "\n";
  place.write("data/data.inter", table);
  const std::string common =
      "train --data data --epochs 2 --set embedding_size=8 --set topk=5 --set valid_metric=recall@5 ";
  const Outcome plain = place.run(common + "--model lightgcn --out a");
  REQUIRE(plain.code == 0);
  CHECK(contains(plain.err, "There is a column plays, which is not used (weight_column = plays"));
  const Outcome weighted = place.run(common + "--model lightgcn --set weight_column=plays --out b");
  INFO(weighted.err);
  REQUIRE(weighted.code == 0);
  CHECK(place.read("a/user_embeddings.npy") != place.read("b/user_embeddings.npy"));
  CHECK_FAILS(place.run(common + "--model bm3 --set weight_column=plays --out c"), 1, "bm3 has no ranking loss");
  CHECK_FALSE(place.has("c"));
}

}  // namespace dream_tests::cli_lists
