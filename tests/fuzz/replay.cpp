// Replays a corpus without libFuzzer:  dream_fuzz READER FOLDER MUTATIONS
// Every file of the folder goes to the reader as it is, cut short, and with so many random changes; the same ones in
// every run.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <dream/core/file.hpp>
#include <dream/core/random.hpp>

namespace dream_fuzz {
void run(const std::string& reader, std::string_view bytes);
}

namespace {

/// Up to four changes: another byte, a byte more or less, a piece repeated or moved, a telling text put in.
std::string changed(std::string bytes, const dream::RandomStream& random, std::uint64_t& draw) {
  static constexpr std::string_view telling[] = {"\n",          "\t",  "\"",           ",", "-1",
                                                 "99999999999", "nan", "\xEF\xBB\xBF", "{", "["};
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random.below(draw++, n)); };
  for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
    const std::size_t at = below(bytes.size() + 1), length = below(9);
    switch (below(5)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
        break;
      case 1:
        bytes.insert(at, 1, static_cast<char>(below(256)));
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(below(bytes.size() + 1), bytes.substr(at, length));
        break;
      default:
        bytes.insert(at, telling[below(std::size(telling))]);
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s READER FOLDER MUTATIONS\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[2];
  const int mutations = std::atoi(argv[3]);
  std::size_t files = 0;
  for (const std::string& name : dream::list_folder(folder)) {
    const std::string bytes = dream::read_file(folder + "/" + name);
    const dream::RandomStream random{files++};
    std::uint64_t draw = 0;
    dream_fuzz::run(argv[1], bytes);
    for (std::size_t cut = 0; cut < bytes.size(); cut += 1 + bytes.size() / 64)
      dream_fuzz::run(argv[1], std::string_view(bytes).substr(0, cut));
    for (int m = 0; m < mutations; ++m) dream_fuzz::run(argv[1], changed(bytes, random, draw));
  }
  std::printf("%s: %zu files\n", argv[1], files);
  return files > 0 ? 0 : 1;
}
