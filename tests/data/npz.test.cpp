#include <dream/data/npz.hpp>

#include <dream/data/read_dataset.hpp>

#include "data/folder.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_npz {

namespace {

struct Member {
  std::string name, content;
  int method = 0;
  int flags = 0;
};

std::string number(std::uint64_t value, int width) {
  std::string bytes;
  for (int b = 0; b < width; ++b) bytes += static_cast<char>(b < 8 ? value >> 8 * b & 0xff : 0);
  return bytes;
}

/// A zip archive; `wide`: with the sizes in 64-bit extra fields, as NumPy writes large ones.
std::string zip(const std::vector<Member>& members, bool wide = false, const std::string& comment = "") {
  std::string bytes, directory;
  for (const auto& [name, content, method, flags] : members) {
    const std::uint64_t size = content.size(), at = bytes.size();
    const std::string plain = wide ? number(0xffffffff, 4) : number(size, 4);
    const std::string local = wide ? number(1, 2) + number(16, 2) + number(size, 8) + number(size, 8) : "";
    const std::string central = wide ? number(7, 2) + number(1, 2) + "x" + number(1, 2) + number(24, 2) +
                                           number(size, 8) + number(size, 8) + number(at, 8)
                                     : "";
    const std::string about = number(45, 2) + number(static_cast<unsigned>(flags), 2) +
                              number(static_cast<unsigned>(method), 2) + number(0, 8) + plain + plain +
                              number(name.size(), 2);
    bytes += "PK\x03\x04" + about + number(local.size(), 2) + name + local + content;
    directory += "PK\x01\x02" + number(45, 2) + about + number(central.size(), 2) + number(0, 10) +
                 (wide ? number(0xffffffff, 4) : number(at, 4)) + name + central;
  }
  const std::uint64_t at = bytes.size(), count = members.size();
  bytes += directory;
  if (wide) {
    const std::uint64_t record = bytes.size();
    bytes += "PK\x06\x06" + number(44, 8) + number(0, 12) + number(count, 8) + number(count, 8) +
             number(directory.size(), 8) + number(at, 8);
    bytes += "PK\x06\x07" + number(0, 4) + number(record, 8) + number(1, 4);
  }
  return bytes + "PK\x05\x06" + number(0, 4) + number(wide ? 0xffff : count, 2) + number(wide ? 0xffff : count, 2) +
         number(directory.size(), 4) + number(wide ? 0xffffffff : at, 4) + number(comment.size(), 2) + comment;
}

std::string npy_of(const TemporaryFolder& folder, dream::index_t rows, std::vector<float> values) {
  const dream::index_t cols = static_cast<dream::index_t>(values.size()) / rows;
  dream::write_npy(folder / "member.npy", {values.data(), rows, cols, cols});
  return dream::read_file(folder / "member.npy");
}

}  // namespace

TEST_CASE("the only array of an .npz file is read, wherever it lies in the archive") {
  TemporaryFolder folder;
  const std::string array = npy_of(folder, 2, {1, 2, 3, 4, 5, 6});
  for (const bool wide : {false, true})
    for (const std::string name : {"arr_0.npy", "x.npy", "ab.npy", "abc.npy"})  // every alignment
      for (const std::string comment : {"", "a comment"}) {
        const auto read = dream::read_npz(folder.write("a.npz", zip({{name, array}}, wide, comment)));
        REQUIRE(read.rows == 2);
        REQUIRE(read.cols == 3);
        REQUIRE(read.values == std::vector<float>{1, 2, 3, 4, 5, 6});
      }
}

TEST_CASE("an .npz file with more or less than one stored array is an error that names the remedy") {
  TemporaryFolder folder;
  const std::string array = npy_of(folder, 1, {1, 2});
  const auto rejects = [&](const std::string& bytes, const std::string& message) {
    REQUIRE_ERROR(dream::read_npz(folder.write("text_feat.npz", bytes)), "text_feat.npz: " + message);
  };
  rejects(zip({{"a.npy", array}, {"b.npy", array}}), "found 2 arrays: a, b, expected one");
  rejects(zip({}), "found 0 arrays, expected one");
  rejects(zip({{"a.npy", "packed", 8}}),
          "the array 'a' is compressed, expected it as it is (np.savez('text_feat.npz', "
          "np.load('text_feat.npz')['a']) stores it so)");
  rejects(zip({{"a.npy", array, 0, 1}}), "the array 'a' is encrypted");
  rejects(zip({{"a.npy", "text"}}), "a.npy: byte 0: found no .npy magic string");
  rejects("junk", "byte 0: found no zip archive");
  rejects("", "byte 0: found no zip archive");
}

TEST_CASE("an .npz file that is cut or whose numbers are wrong is an error and never a crash") {
  TemporaryFolder folder;
  for (const bool wide : {false, true}) {
    const std::string whole = zip({{"a.npy", npy_of(folder, 1, {1, 2})}}, wide);
    for (std::size_t length = 0; length < whole.size(); ++length)
      REQUIRE_ERROR(dream::read_npz(folder.write("a.npz", whole.substr(0, length))), "a.npz: ");
    int refused = 0;
    for (std::size_t at = 0; at < whole.size(); ++at)
      for (const char byte : {'\x00', '\x7f', '\xff'}) {
        std::string changed = whole;
        changed[at] = byte;
        folder.write("a.npz", changed);
        try {
          dream::read_npz(folder / "a.npz");
        } catch (const dream::error& e) {
          REQUIRE(std::string(e.what()).find("a.npz") != std::string::npos);
          ++refused;
        }
      }
    REQUIRE(refused > 200);
  }
}

TEST_CASE("WHAT_feat.npz is a modality, and an error beside WHAT_feat.npy") {
  TemporaryFolder folder;
  folder.write("a/a.inter", "userID\titemID\tx_label\n0\t1\t0\n0\t0\t1\n1\t0\t2\n");
  folder.write("a/text_feat.npz", zip({{"arr_0.npy", npy_of(folder, 3, {1, 2, 3})}}));
  folder.write("a/image_feat.npy", npy_of(folder, 3, {4, 5, 6}));
  const dream::Dataset data = dream::read_dataset(folder / "a");
  REQUIRE(data.modalities.size() == 2);
  REQUIRE(data.modalities[1].name == "text");
  REQUIRE(data.modalities[1].values == std::vector<float>{1, 2, 3});
  for (const std::string& note : data.notes) REQUIRE(note.find("Not read") == std::string::npos);
  folder.write("a/text_feat.npz", zip({{"arr_0.npy", npy_of(folder, 2, {1, 2})}}));
  REQUIRE_ERROR(dream::read_dataset(folder / "a"), "text_feat.npz: found 2 rows, expected 3 as in image_feat.npy");
  folder.write("a/text_feat.npy", npy_of(folder, 3, {1, 2, 3}));
  REQUIRE_ERROR(dream::read_dataset(folder / "a"),
                "the modality 'text' is also in text_feat.npz, expected one of both");
}

}  // namespace dream_tests::data_npz
