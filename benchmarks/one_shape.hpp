// What the programs that measure one model at one shape share: their command line, data without files, options.
#pragma once

#include <chrono>
#include <cstdio>
#include <initializer_list>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <dream/dream.hpp>

namespace dream_benchmarks {

using namespace dream;

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// `--key value` and `--flag` of a command line.
class Arguments {
 public:
  /// An argument that is no key is an error; one of `flags`, and the last, need no value.
  Arguments(int argc, char** argv, std::initializer_list<const char*> flags) {
    for (int i = 1; i < argc; ++i) {
      std::string key = argv[i];
      DREAM_EXPECT(key.rfind("--", 0) == 0, "unknown argument '", key, "'");
      key.erase(0, 2);
      bool flag = i + 1 == argc;
      for (const char* name : flags) flag = flag || key == name;
      given_[key] = flag ? "1" : argv[++i];
    }
  }

  bool has(const char* key) const { return given_.count(key) > 0; }
  std::string word(const char* key, const char* otherwise = "") const {
    const auto at = given_.find(key);
    return at == given_.end() ? otherwise : at->second;
  }
  int number(const char* key, int otherwise) const { return has(key) ? std::stoi(word(key)) : otherwise; }

 private:
  std::map<std::string, std::string> given_;
};

/// The program `name`: 0, or 2 where the command line is wrong and 1 where measure(arguments) fails, which is told.
template <class Measure>
int run_program(const char* name, int argc, char** argv, std::initializer_list<const char*> flags,
                const Measure& measure) {
  int failure = 2;
  try {
    const Arguments given(argc, argv, flags);
    failure = 1;
    measure(given);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s%s\n", name, failure == 1 ? "error: " : "", e.what());
    return failure;
  }
}

/// The counts of the baby set, users and items drawn uniformly, split 8 : 1 : 1.
inline Dataset random_interactions(std::uint64_t seed) {
  Dataset data;
  data.name = "random";
  data.users.count = 19445;
  data.items.count = 7050;
  const RandomStream random{seed, RandomUse::synthetic, 0};
  for (std::uint64_t k = 0; k < 160792; ++k) {
    const RandomBlock block = random.block(k);
    Pairs& split = k < 118551 ? data.train : k < 140233 ? data.valid : data.test;
    split.user.push_back(static_cast<index_t>(to_below(block.low(), 19445)));
    split.item.push_back(static_cast<index_t>(to_below(block.high(), 7050)));
  }
  return data;
}

/// Whole numbers between commas.
inline std::vector<std::int64_t> numbers(const std::string& text) {
  std::istringstream list(text);
  std::vector<std::int64_t> all;
  for (std::string word; std::getline(list, word, ',');) all.push_back(std::stoll(word));
  return all;
}

/// Standard-normal features of these widths in place of the data's own.
inline void add_features(Dataset& data, const std::string& widths, std::uint64_t seed) {
  data.modalities.clear();
  ThreadPool threads;
  std::uint32_t m = 0;
  for (const std::int64_t width : numbers(widths)) {
    Modality& modality = data.modalities.emplace_back();
    modality.name = "generated" + std::to_string(m);
    modality.rows = data.item_count();
    modality.cols = static_cast<index_t>(width);
    const std::int64_t size = std::int64_t{modality.rows} * modality.cols;
    modality.values.resize(static_cast<std::size_t>(size));
    modality.present.assign(static_cast<std::size_t>(modality.rows), 1);
    const RandomStream random{seed, RandomUse::synthetic, ++m};
    threads.parallel_blocks(size, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        modality.values[static_cast<std::size_t>(i)] = static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
    });
  }
}

/// DREAM with all its losses, as --dim, --batch, --trainable, --inter-weight and --user-graph say.
inline DreamOptions options_of(const Arguments& given) {
  DreamOptions options;
  options.embedding_size = given.number("dim", 64);
  options.batch_size = given.number("batch", 2048);
  options.train_features = given.has("trainable");
  options.alignment.intra = Intra::moments;
  options.alignment.inter_weight = std::stod(given.word("inter-weight", "0.01"));
  options.alignment.intra_weight = 0.001;
  options.s3_weight = options.s3_user_weight = 0.1;
  options.data.user_graph = given.word("user-graph", "knn") == "none" ? UserGraph::none : UserGraph::knn;
  return options;
}

}  // namespace dream_benchmarks
