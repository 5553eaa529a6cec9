#include <dream/core/hash.hpp>

#include "data/folder.hpp"
#include "support/catch.hpp"

namespace dream_tests::core_hash {

TEST_CASE("hash_bytes gives the published XXH64 values") {
  REQUIRE(dream::hash_bytes("", 0) == 0xef46db3751d8e999);
  REQUIRE(dream::hash_bytes("a", 1) == 0xd24ec4f1a98c6e5b);
  REQUIRE(dream::hash_bytes("abc", 3) == 0x44bc2cf5ad770999);
  const std::string text = "Nobody inspects the spammish repetition";
  REQUIRE(dream::hash_bytes(text.data(), text.size()) == 0xfbcea83c8a378bf1);
  CHECK(dream::hash_text(0xfbcea83c8a378bf1) == "fbcea83c8a378bf1");
  CHECK(dream::hash_text(0x1) == "0000000000000001");
}

TEST_CASE("a hash does not depend on how its bytes are cut, in memory or in a file") {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < (1 << 20) + 77; ++i) text += static_cast<char>(i * 31 + i / 7);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{32}, std::size_t{33},
                                 std::size_t{100}, std::size_t{4096}, text.size()}) {
    const std::uint64_t whole = dream::hash_bytes(text.data(), size);
    for (const std::size_t step : {std::size_t{1}, std::size_t{5}, std::size_t{32}, std::size_t{45}}) {
      dream::Hash hash;
      for (std::size_t at = 0; at < size; at += step) hash.add(text.data() + at, std::min(step, size - at));
      CHECK(hash.value() == whole);
    }
    const dream::FileReader file(folder.write("f", text.substr(0, size)));
    CHECK(dream::hash_file(file) == whole);
    CHECK(dream::hash_file(file, size / 2, size / 4) == dream::hash_bytes(text.data() + size / 2, size / 4));
  }
}

}  // namespace dream_tests::core_hash
