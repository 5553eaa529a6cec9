// What every reader of files from outside does with any bytes: it reads them or throws dream::error. One function a
// reader, for libFuzzer (the reader is named by the environment variable DREAM_FUZZ) and for the replay of a corpus.
#include <dream/data/read_dataset.hpp>
#include <dream/train/checkpoint.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "config_file.hpp"
#include "id_files.hpp"
#include "json_node.hpp"

namespace {

namespace fs = std::filesystem;

/// A folder in memory where there is one; gone with the process.
class Scratch {
 public:
  Scratch() {
    path_ = std::string(fs::exists("/dev/shm") ? "/dev/shm" : "/tmp") + "/dream-fuzz-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Scratch() { fs::remove_all(path_); }

  std::string write(const std::string& name, std::string_view bytes) const {
    const std::string path = path_ + "/" + name;
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

constexpr std::string_view small_table = "userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n1\t1\t0\n1\t2\t2\n2\t0\t0\n";

/// The first byte chooses options, the others are the file.
void read_plain(const Scratch& scratch, std::string_view bytes) {
  if (bytes.empty()) return;
  const unsigned choice = static_cast<unsigned char>(bytes[0]);
  dream::ReadOptions options;
  options.merge_duplicates = (choice & 1) != 0;
  if ((choice & 2) != 0) options.split = dream::SplitRule::time;
  if ((choice & 4) != 0) options.split = dream::SplitRule::last;
  if ((choice & 8) != 0) options.columns.separator = (choice & 16) != 0 ? "," : "::";
  if ((choice & 32) != 0) options.min_rating = 3;
  if ((choice & 64) != 0) options.k_core = 2;
  if ((choice & 128) != 0) options.columns.weight = "count";
  dream::read_dataset(scratch.write("plain.csv", bytes.substr(1)), options);
}

/// A % separates the files of train, valid and test.
void read_parts(const Scratch& scratch, std::string_view bytes) {
  for (const char* file : {"parts/train.csv", "parts/valid.csv", "parts/test.csv"}) {
    const std::string_view part = bytes.substr(0, bytes.find('%'));
    scratch.write(file, part);
    bytes.remove_prefix(std::min(part.size() + 1, bytes.size()));
  }
  dream::ReadOptions options;
  options.split = dream::SplitRule::time;
  dream::read_dataset(scratch / "parts", options);
}

using Reader = std::function<void(const Scratch&, std::string_view)>;

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> all{
      {"npy", [](const Scratch& s, std::string_view bytes) { dream::read_npy(s.write("a.npy", bytes)); }},
      {"npz",
       [](const Scratch& s, std::string_view bytes) {
         s.write("npz/npz.inter", small_table);
         s.write("npz/image_feat.npz", bytes);
         dream::read_dataset(s / "npz");
       }},
      {"table",
       [](const Scratch& s, std::string_view bytes) {
         s.write("table/table.inter", bytes);
         dream::read_dataset(s / "table");
       }},
      {"plain", read_plain},
      {"parts", read_parts},
      {"lists",
       [](const Scratch& s, std::string_view bytes) {
         s.write("lists/train.txt", bytes);
         s.write("lists/test.txt", bytes.substr(bytes.size() / 2));
         dream::ReadOptions options;
         options.merge_duplicates = true;
         dream::read_dataset(s / "lists", options);
       }},
      {"ids",
       [](const Scratch& s, std::string_view bytes) {
         s.write("ids/ids.inter", small_table);
         s.write("ids/item_ids.tsv", bytes);
         dream::read_dataset(s / "ids");
       }},
      {"items",
       [](const Scratch& s, std::string_view bytes) {
         s.write("items/items.inter", small_table);
         s.write("items/items.item", bytes);
         dream::read_dataset(s / "items");
       }},
      {"checkpoint",
       [](const Scratch& s, std::string_view bytes) { dream::load_vectors(s.write("a.safetensors", bytes)); }},
      {"config",
       [](const Scratch& s, std::string_view bytes) { dream_cli::read_config_file(s.write("a.yaml", bytes)); }},
      {"json",
       [](const Scratch& s, std::string_view bytes) {
         const dream_cli::JsonSource source = dream_cli::read_object(s.write("a.json", bytes), "remove it");
         const dream_cli::JsonNode node(source);
         for (const auto& [name, value] : node.members()) value.number();
       }},
      {"users",
       [](const Scratch& s, std::string_view bytes) {
         dream_cli::read_id_file(s.write("users.txt", bytes), {3, {"anna", "bert", "7"}}, "user", false);
       }},
      {"histories",
       [](const Scratch& s, std::string_view bytes) {
         dream_cli::read_histories(s.write("histories.txt", bytes), {9, {}}, false);
       }},
  };
  return all;
}

}  // namespace

namespace dream_fuzz {

/// Hands bytes to a reader; anything but a dream::error ends the process.
void run(const std::string& reader, std::string_view bytes) {
  static const Scratch scratch;
  const auto found = readers().find(reader);
  if (found == readers().end()) {
    std::fprintf(stderr, "no reader '%s'\n", reader.c_str());
    std::exit(2);
  }
  try {
    found->second(scratch, bytes);
  } catch (const dream::error&) {
  }
}

}  // namespace dream_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const char* const reader = std::getenv("DREAM_FUZZ");
  dream_fuzz::run(reader != nullptr ? reader : "", {reinterpret_cast<const char*>(data), size});
  return 0;
}
