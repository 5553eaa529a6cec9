#include <unistd.h>

#include <filesystem>
#include <numeric>
#include <vector>

#include <dream/graph/bipartite.hpp>
#include <dream/serve/recommend.hpp>

#include "support/catch.hpp"

namespace dream_tests::serve_recommend {

using namespace dream;

namespace {

struct Folder {
  std::string path = (std::filesystem::temp_directory_path() / "dream-recommend-XXXXXX").string();
  Folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path); }
};

/// Three users on the axes of the plane and four items; user 2 has seen everything.
struct Tiny {
  Context<Cpu> context{2};
  std::vector<float> u{1, 0, 0, 1, 1, 1};
  std::vector<float> i{4, 1, 3, 2, 3, 2, 0, -0.5F};
  MatrixView<const float> users{u.data(), 3, 2, 2};
  MatrixView<const float> items{i.data(), 4, 2, 2};
  Csr<float, Cpu> seen = interaction_matrix<float>(context, {{0, 2, 2, 2, 2}, {0, 0, 1, 2, 3}, {}}, 3, 4);
};

}  // namespace

TEST_CASE("recommendations leave out what a user has, break ties by item, and end where nothing is left") {
  Tiny t;
  const Folder folder;
  const std::vector<index_t> who{1, 0, 2};
  write_recommendations<float>(t.context, folder.path + "/top.tsv", t.users, t.items, t.seen.view(), who, 3,
                               {3, {"ann", "bob", "cy"}}, {4, {"a", "b", "c", "d"}});
  CHECK(read_file(folder.path + "/top.tsv") ==
        "user\titem\trank\tscore\n"
        "bob\tb\t1\t2\nbob\tc\t2\t2\nbob\ta\t3\t1\n"
        "ann\tb\t1\t3\nann\tc\t2\t3\nann\td\t3\t0\n");
}

TEST_CASE("recommending more items than there are is an error and leaves no file") {
  Tiny t;
  const Folder folder;
  const std::vector<index_t> who{0};
  REQUIRE_ERROR(write_recommendations<float>(t.context, folder.path + "/top.tsv", t.users, t.items, t.seen.view(), who,
                                             5, {3, {}}, {4, {}}),
                "k is 5, but there are 4 items");
  CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("items that only chance has placed are left out, and unknown users get the popular items") {
  Tiny t;
  const Folder folder;
  Dataset data;
  data.users.count = 3;
  data.items.count = 4;
  data.train = {{0, 2, 2}, {2, 0, 2}, {}};  // item 2 twice; user 1 and items 1 and 3 nowhere
  data.modalities.push_back({"text", 4, 1, {0, 7, 0, 0}, {0, 1, 0, 0}});
  CHECK(placed_items(data, false) == std::vector<index_t>{0, 2});
  CHECK(placed_items(data, true) == std::vector<index_t>{0, 1, 2});
  const UnknownUsers unknown(data);
  const auto seen = interaction_matrix<float>(t.context, {{1}, {0}, {}}, 3, 4);
  const std::vector<index_t> who{1, 0};
  write_recommendations<float>(t.context, folder.path + "/top.tsv", t.users, t.items, seen.view(), who, 4, {3, {}},
                               {4, {}}, {placed_items(data, true), &unknown, seen.view()});
  CHECK(read_file(folder.path + "/top.tsv") ==
        "user\titem\trank\tscore\n1\t2\t1\t2\n0\t0\t1\t4\n0\t1\t2\t3\n0\t2\t3\t3\n");
}

TEST_CASE("recommending to nobody writes the header alone") {
  Tiny t;
  const Folder folder;
  write_recommendations<float>(t.context, folder.path + "/top.tsv", t.users, t.items, t.seen.view(), {}, 2, {3, {}},
                               {4, {}});
  CHECK(read_file(folder.path + "/top.tsv") == "user\titem\trank\tscore\n");
}

TEST_CASE("many users are served in order, each with the best of all items") {
  Context<Cpu> context(2);
  const index_t count = 20000;
  std::vector<float> u(static_cast<std::size_t>(count));
  for (index_t r = 0; r < count; ++r) u[static_cast<std::size_t>(r)] = r % 2 == 0 ? 1.0F : -1.0F;
  const std::vector<float> i{1, 5, -3};
  std::vector<index_t> who(static_cast<std::size_t>(count));
  std::iota(who.begin(), who.end(), 0);
  index_t next = 0, wrong = 0;
  recommend<float>(context, MatrixView<const float>{u.data(), count, 1, 1}, MatrixView<const float>{i.data(), 3, 1, 1},
                   {}, who, 1, [&](index_t user, std::span<const Scored<float>> ranked) {
                     wrong += user != next++ || ranked.size() != 1 || ranked[0].index != (user % 2 == 0 ? 1 : 2);
                   });
  CHECK(next == count);
  CHECK(wrong == 0);
}

TEST_CASE("long lists are made for fewer users at a time, in order") {
  const index_t count = 3000;
  std::vector<index_t> who(static_cast<std::size_t>(count));
  std::iota(who.begin(), who.end(), 0);
  for (const auto& [k, most] : {std::pair{1, 3000}, {512, 3000}, {8000, 1048}, {20000000, 1}}) {
    const std::span<const index_t> users(who.data(), k > 8000 ? 2 : who.size());
    index_t largest = 0, next = 0, wrong = 0;
    detail::recommend_in_pieces<float>(
        k, users, k,
        [&](std::span<const index_t> piece, MatrixView<index_t> items, MatrixView<float>) {
          largest = std::max(largest, items.rows);
          for (index_t r = 0; r < items.rows; ++r) {
            items.row(r)[0] = piece[static_cast<std::size_t>(r)];
            if (k > 1) items.row(r)[1] = -1;
          }
        },
        [&](index_t user, std::span<const Scored<float>> ranked) {
          wrong += user != next++ || ranked.size() != 1 || ranked[0].index != user;
        });
    CHECK(largest == most);
    CHECK(next == static_cast<index_t>(users.size()));
    CHECK(wrong == 0);
  }
}

}  // namespace dream_tests::serve_recommend
