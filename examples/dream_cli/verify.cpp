// `dream verify`: whether files that the program wrote are whole, and belong together.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dream/core/file.hpp>
#include <dream/core/hash.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/npy.hpp>
#include <dream/train/json_text.hpp>
#include <dream/train/stored_vectors.hpp>

#include "commands.hpp"
#include "run_folder.hpp"

namespace dream_cli {

namespace {

namespace fs = std::filesystem;
using dream::concat;
using dream::index_t;

nlohmann::json json_of(const std::string& path) {
  nlohmann::json json = dream::parse_json(dream::read_file(path), path);
  DREAM_EXPECT(!json.is_discarded(), path, ": is not whole JSON");
  return json;
}

/// A whole number of a JSON object, 0 where it has none of that name.
int number_in(const nlohmann::json& json, const char* key) {
  const bool has = json.is_object() && json.contains(key) && json.at(key).is_number_unsigned();
  return has ? static_cast<int>(std::min<std::uint64_t>(json.at(key).get<std::uint64_t>(), 2147483646)) : 0;
}

/// What the files of one folder say, as far as they have been checked.
struct FolderFacts {
  std::optional<index_t> users, items;  ///< rows of the vectors
  int epochs = 0;                       ///< that metrics.jsonl must have
  std::string epochs_from;              ///< the file that says so
};

/// Checks files and prints a line each.
class Verifier {
 public:
  bool all_whole() const { return whole_; }

  void verify(const std::string& path) {
    DREAM_EXPECT(dream::file_exists(path), path, ": no such file or folder");
    const std::size_t before = checked_;
    if (fs::is_directory(path))
      verify_folder(path);
    else
      verify_file(path);
    DREAM_EXPECT(checked_ > before, path, ": is no file that is verified, and no folder of such");
  }

 private:
  /// Prints what `check` returns, or what it throws.
  template <class Check>
  void line(const std::string& path, Check check) {
    ++checked_;
    try {
      const std::string found = check();
      std::printf("ok     %s%s%s\n", path.c_str(), found.empty() ? "" : ": ", found.c_str());
    } catch (const dream::error& error) {
      whole_ = false;
      std::printf("wrong  %s\n", error.what());
    }
  }

  void verify_file(const std::string& path) {
    FolderFacts none;
    if (path.ends_with(".safetensors"))
      line(path, [&] { return checkpoint(path, none); });
    else if (path.ends_with(".npy"))
      line(path, [&] { return matrix(path, std::nullopt); });
    else if (path.ends_with(".jsonl"))
      line(path, [&] { return metrics(path, none); });
    else if (fs::path(path).filename() == "export.json")
      line(path, [&] { return manifest(path); });
    else if (path.ends_with(".json"))
      line(path, [&] { return (void)json_of(path), std::string(); });
    else if (path.ends_with("_ids.tsv"))
      line(path, [&] { return concat(dream::read_ids(path).count, " ids"); });
  }

  /// The files of a folder, what they say of each other, and the folders in it.
  void verify_folder(const std::string& folder) {
    const std::vector<std::string> names = dream::list_folder(folder);
    const auto has = [&](const char* name) { return std::binary_search(names.begin(), names.end(), name); };
    FolderFacts facts;
    for (const std::string& name : names) {
      const std::string path = concat(folder, "/", name);
      if (name.ends_with(".safetensors")) line(path, [&] { return checkpoint(path, facts); });
      if (name == "user_ids.tsv") line(path, [&] { return ids(path, facts.users); });
      if (name == "item_ids.tsv") line(path, [&] { return ids(path, facts.items); });
      if (name.ends_with(".json"))
        line(path, [&] { return name == "export.json" ? manifest(path) : json(path, facts); });
    }
    if (has("user_embeddings.npy"))
      line(folder + "/user_embeddings.npy", [&] { return matrix(folder + "/user_embeddings.npy", facts.users); });
    if (has("item_embeddings.npy"))
      line(folder + "/item_embeddings.npy", [&] { return matrix(folder + "/item_embeddings.npy", facts.items); });
    if (has("metrics.jsonl") || facts.epochs > 0)
      line(folder + "/metrics.jsonl", [&] { return metrics(folder + "/metrics.jsonl", facts); });
    if (has("result.json"))
      for (const char* name : {"best.safetensors", "config.json", "user_embeddings.npy", "item_embeddings.npy"})
        if (!has(name)) line(concat(folder, "/", name), [&]() -> std::string { missing(folder, name, "result.json"); });
    if (has("user_embeddings.npy") && !has("export.json") && !has("result.json"))
      line(folder + "/export.json", [&]() -> std::string { missing(folder, "export.json", "user_embeddings.npy"); });
    for (const std::string& name : names)
      if (const std::string below = concat(folder, "/", name); fs::is_directory(fs::symlink_status(below)))
        verify_folder(below);
  }

  [[noreturn]] static void missing(const std::string& folder, const char* name, const char* beside) {
    dream::fail(folder, "/", name, ": is missing beside ", beside);
  }

  static void expect_count(const std::string& path, index_t found, std::optional<index_t>& expected) {
    DREAM_EXPECT(!expected || *expected == found, path, ": has ", found, " rows, expected ", *expected,
                 " as in the files beside it");
    expected = found;
  }

  static std::string ids(const std::string& path, std::optional<index_t>& count) {
    expect_count(path, dream::read_ids(path).count, count);
    return concat(*count, " ids");
  }

  static std::string matrix(const std::string& path, std::optional<index_t> rows) {
    const dream::NpyMatrix read = dream::read_npy(path);
    expect_count(path, read.rows, rows);
    return concat(read.rows, " x ", read.cols);
  }

  static std::string checkpoint(const std::string& path, FolderFacts& facts) {
    const dream::SafetensorsFile file = dream::detail::open_checkpoint(path);
    file.expect_whole();
    for (const dream::TensorEntry& entry : file.entries())
      if (entry.dtype == dream::Dtype::f32 && entry.shape.size() == 2)
        (void)dream::detail::read_matrix<float>(file, entry.name);
    if (file.find("user_vectors") != nullptr) {
      const dream::StoredVectors vectors = dream::load_vectors(path);
      expect_count(path, vectors.users.rows(), facts.users);
      expect_count(path, vectors.items.rows(), facts.items);
    }
    if (file.metadata().count("state") != 0) {
      facts.epochs = number_in(dream::detail::meta_json(file, "state"), "epoch");
      facts.epochs_from = path;
    }
    return concat(file.entries().size(), " tensors",
                  file.has_checksums() ? "" : ", without checksums: a change of their values would not be seen");
  }

  static std::string json(const std::string& path, FolderFacts& facts) {
    const nlohmann::json read = json_of(path);
    if (fs::path(path).filename() == "result.json" && facts.epochs_from.empty()) {
      facts.epochs = number_in(read, "epochs");
      facts.epochs_from = path;
    }
    return "";
  }

  /// The files that export.json names must be as it says.
  static std::string manifest(const std::string& path) {
    const nlohmann::json read = json_of(path);
    DREAM_EXPECT(read.is_object() && read.contains("files") && read.at("files").is_object(), path, ": names no files");
    for (const auto& [name, about] : read.at("files").items()) {
      const std::string file = (fs::path(path).parent_path() / name).string();
      const dream::FileReader bytes(file);
      const std::string found = dream::hash_text(dream::hash_file(bytes));
      DREAM_EXPECT(about.is_object() && about.value("xxh64", nlohmann::json()) == found, file, ": has the checksum ",
                   found, ", expected that of export.json: it has changed since the export");
    }
    return concat(read.at("files").size(), " files");
  }

  static std::string metrics(const std::string& path, const FolderFacts& facts) {
    const MetricsFile read = read_metrics(path);
    const std::string lacking = read.missing(facts.epochs);
    DREAM_EXPECT(lacking.empty(), path, ": has no lines of epochs ", lacking, ", which ", facts.epochs_from, " has");
    if (!read.fault.empty()) dream::fail(read.fault);
    return concat(read.lines.size(), " epochs");
  }

  bool whole_ = true;
  std::size_t checked_ = 0;
};

}  // namespace

int verify(const VerifyArguments& arguments) {
  Verifier verifier;
  for (const std::string& path : arguments.paths) verifier.verify(path);
  return verifier.all_whole() ? Exit::success : Exit::failure;
}

}  // namespace dream_cli
