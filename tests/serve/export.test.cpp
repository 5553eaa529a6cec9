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

TEST_CASE("the manifest of an export names its files with size and checksum, and goes where an export fails") {
  const Folder folder;
  const std::string out = folder.path + "/out";
  const std::vector<float> rows{1, 2, 3, 4};
  const MatrixView<const float> m{rows.data(), 2, 2, 2};
  export_embeddings(out, m, m, {2, {}}, {2, {"a", "b"}}, {"a \"model\"\n\\", 7, 0x1f});
  const std::string manifest = read_file(out + "/export.json");
  for (const std::string& part : {std::string(R"("model": "a \"model\"\u000a\\")"), std::string(R"("epoch": 7)"),
                                  std::string(R"("data_fingerprint": "000000000000001f")"),
                                  concat(R"("user_embeddings.npy": {"bytes": 144, "xxh64": ")",
                                         hash_text(hash_file(FileReader(out + "/user_embeddings.npy"))), "\"}"),
                                  concat(R"("item_ids.tsv": {"bytes": 15, "xxh64": ")",
                                         hash_text(hash_bytes("row\tid\n0\ta\n1\tb\n", 15)), "\"}")})
    CHECK_THAT(manifest, DREAM_MATCHES_SUBSTRING(part));
  CHECK_FALSE(manifest.find("user_ids") != std::string::npos);
  // Ids that cannot be written: nothing is replaced.
  REQUIRE_ERROR(export_embeddings(out, m, m, {2, {}}, {2, {"a\tb", "c"}}), "the id of row 0");
  CHECK(read_file(out + "/export.json") == manifest);
  // Without names of the items their list goes, from the folder and from the manifest.
  export_embeddings(out, m, m, {2, {}}, {2, {}});
  CHECK_FALSE(file_exists(out + "/item_ids.tsv"));
  CHECK(list_folder(out) == std::vector<std::string>{"export.json", "item_embeddings.npy", "user_embeddings.npy"});
  CHECK(read_file(out + "/export.json").find("item_ids") == std::string::npos);
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
