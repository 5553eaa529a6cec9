#include <unistd.h>

#include <filesystem>
#include <vector>

#include <dream/serve/export.hpp>

#include "support/catch.hpp"

namespace dream_tests::serve_export {

using namespace dream;

namespace {

struct Folder {
  std::string path = (std::filesystem::temp_directory_path() / "dream-export-XXXXXX").string();
  Folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("exported embeddings read back, with the ids of rows only where these are not their numbers") {
  const Folder folder;
  const std::vector<float> rows{1, 2, 9, 3, 4, 9, 5, 6, 9};
  const MatrixView<const float> users{rows.data(), 3, 2, 3}, items{rows.data(), 2, 3, 3};
  export_embeddings(folder.path + "/deep/out", users, items, {3, {}}, {2, {"b42", "x y"}});
  const NpyMatrix back = read_npy(folder.path + "/deep/out/user_embeddings.npy");
  CHECK(back.rows == 3);
  CHECK(back.cols == 2);
  CHECK(back.values == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(read_npy(folder.path + "/deep/out/item_embeddings.npy").values == std::vector<float>{1, 2, 9, 3, 4, 9});
  CHECK_FALSE(std::filesystem::exists(folder.path + "/deep/out/user_ids.tsv"));
  CHECK(read_file(folder.path + "/deep/out/item_ids.tsv") == "row\tid\n0\tb42\n1\tx y\n");
}

TEST_CASE("exporting refuses ids that do not fit the rows, and a folder that cannot be made") {
  const Folder folder;
  const std::vector<float> rows{1, 2};
  const MatrixView<const float> one{rows.data(), 1, 2, 2};
  REQUIRE_ERROR(export_embeddings(folder.path + "/out", one, one, {2, {}}, {1, {}}), "embeddings of 1 users");
  CHECK_FALSE(std::filesystem::exists(folder.path + "/out"));
  AtomicFile(folder.path + "/file").commit();
  REQUIRE_ERROR(export_embeddings(folder.path + "/file/out", one, one, {1, {}}, {1, {}}), "/file/out: cannot make");
}

}  // namespace dream_tests::serve_export
