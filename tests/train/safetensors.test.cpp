#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <dream/train/safetensors.hpp>

#include "support/catch.hpp"

namespace dream_tests::train_safetensors {

namespace {

using namespace dream;

/// A folder that goes away with the test.
struct Folder {
  std::string path;
  Folder() {
    path = (std::filesystem::temp_directory_path() / "dream-safetensors-XXXXXX").string();
    REQUIRE(::mkdtemp(path.data()) != nullptr);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

/// A file with this header text, after its true length, and `data_bytes` bytes of data.
std::string raw_file(const Folder& folder, const std::string& header, int data_bytes) {
  const std::string path = folder / "raw.safetensors";
  std::ofstream out(path, std::ios::binary);
  const std::uint64_t length = header.size();
  out.write(reinterpret_cast<const char*>(&length), 8);
  out << header << std::string(static_cast<std::size_t>(data_bytes), 'x');
  return path;
}

int run(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a safetensors file gives back every type, shape, value and metadata string") {
  const Folder folder;
  const std::vector<float> a{1, 2, 3, 4, 5, 6};
  const std::vector<double> b{0.1, -2e300};
  const std::vector<std::int32_t> c{-7};
  const std::vector<std::int64_t> d{-1, 1LL << 62};
  const std::vector<std::uint64_t> large{~0ULL};
  const std::string text = "one\ntwo";
  const std::string path = folder / "all.safetensors";
  write_safetensors(path,
                    std::vector<TensorView>{tensor_view("a", a.data(), 2, 3), tensor_view("b", b.data(), 2),
                                            tensor_view("c", c.data(), 1), tensor_view("d", d.data(), 2),
                                            tensor_view("e", large.data(), 1), tensor_view("text", text.data(), 7),
                                            tensor_view<float>("none", nullptr, 0, 64)},
                    {{"format", "1"}, {"quote", "\"\xc3\xa9\n"}});
  SafetensorsFile file(path);
  CHECK(file.values<float>("a") == a);
  CHECK(file.at("a").shape == std::vector<std::int64_t>{2, 3});
  CHECK(file.values<double>("b") == b);
  CHECK(file.values<std::int32_t>("c") == c);
  CHECK(file.values<std::int64_t>("d") == d);
  CHECK(file.values<std::uint64_t>("e") == large);
  const std::vector<std::uint8_t> bytes = file.values<std::uint8_t>("text");
  CHECK(std::string(bytes.begin(), bytes.end()) == text);
  CHECK(file.values<float>("none").empty());
  CHECK(file.at("none").shape == std::vector<std::int64_t>{0, 64});
  CHECK(file.meta("format") == "1");
  CHECK(file.meta("quote") == "\"\xc3\xa9\n");
  CHECK(file.find("absent") == nullptr);
  for (const auto& entry : file.entries()) CHECK(entry.begin % dtype_size(entry.dtype) == 0);
  REQUIRE_ERROR(file.at("absent"), "all.safetensors: no tensor 'absent'");
  REQUIRE_ERROR(file.meta("absent"), "no metadata 'absent'");
  REQUIRE_ERROR(file.values<double>("a"), "tensor 'a' is F32, expected F64");
}

TEST_CASE("the same tensors give the same bytes, and tensors that own their values give them too") {
  const Folder folder;
  const std::vector<float> a{1, 2, 3};
  const std::vector<std::uint64_t> b{9};
  const std::map<std::string, std::string> metadata{{"z", "1"}, {"a", "2"}};
  write_safetensors(folder / "one",
                    std::vector<TensorView>{tensor_view("a", a.data(), 3), tensor_view("b", b.data(), 1)}, metadata);
  write_safetensors(folder / "two", std::vector<Tensor>{make_tensor("a", a.data(), 3), make_tensor("b", b.data(), 1)},
                    metadata);
  CHECK(read_file(folder / "one") == read_file(folder / "two"));
  SafetensorsFile file(folder / "one");
  const Tensor back = file.tensor(file.at("a"));
  CHECK(back.bytes == make_tensor("a", a.data(), 3).bytes);
}

TEST_CASE("a file without tensors is a safetensors file") {
  const Folder folder;
  write_safetensors(folder / "empty", std::vector<TensorView>{});
  CHECK(SafetensorsFile(folder / "empty").entries().empty());
}

TEST_CASE("writing refuses what a file cannot hold and leaves no file behind") {
  const Folder folder;
  const float x = 1;
  const std::string path = folder / "bad";
  REQUIRE_ERROR(write_safetensors(path, std::vector<TensorView>{tensor_view("a", &x, 1), tensor_view("a", &x, 1)}),
                "two tensors named 'a'");
  REQUIRE_ERROR(write_safetensors(path, std::vector<TensorView>{{"a", Dtype::f32, {-1}, &x}}),
                "cannot have shape [-1]");
  REQUIRE_ERROR(write_safetensors(path, std::vector<Tensor>{{"a", Dtype::f32, {2}, std::vector<std::byte>(4)}}),
                "has 4 bytes, which do not fill shape [2]");
  REQUIRE_ERROR(write_safetensors(path, std::vector<TensorView>{}, {{"k", "\xff\xfe"}}), "not valid UTF-8");
  REQUIRE_ERROR(write_safetensors(folder / "no/such/folder", std::vector<TensorView>{}), "no/such/folder");
  CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("a header that lies is refused with the file, the place, what was found and what was expected") {
  const Folder folder;
  const auto open = [](const std::string& path) { SafetensorsFile file(path); };
  const auto opens_with = [&](const std::string& header, int bytes, const std::string& message) {
    INFO(header);
    const std::string path = raw_file(folder, header, bytes);
    REQUIRE_ERROR(open(path), message);
    REQUIRE_ERROR(open(path), "raw.safetensors: ");
  };
  const auto tensor = [](const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  opens_with("{", 0, "byte 9: the header is not JSON");
  opens_with("[1]", 0, "is not a JSON object");
  opens_with("7", 0, "is not a JSON object");
  opens_with(R"({"a":1})", 0, "tensor 'a' has no dtype");
  opens_with(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "tensor 'a' has no shape");
  opens_with(R"({"__metadata__":{"k":3}})", 0, "metadata 'k' is not a string");
  opens_with(R"({"__metadata__":3})", 0, "__metadata__ is not an object");
  opens_with(tensor("[1]", "[0,4]", "BF16"), 4, "dtype \"BF16\", expected F32, F64");
  opens_with(tensor("[-1]", "[0,4]"), 4, "shape -1, expected non-negative integers");
  opens_with(tensor("[1.5]", "[0,4]"), 4, "shape 1.5");
  opens_with(tensor("\"1\"", "[0,4]"), 4, "shape that is not a list");
  opens_with(tensor("[1]", "[0]"), 4, "data_offsets that are not two numbers");
  opens_with(tensor("[1]", "[4,0]"), 4, "bytes 4 to 0 of the data, which has 4");
  opens_with(tensor("[2]", "[0,8]"), 4, "bytes 0 to 8 of the data, which has 4");
  opens_with(tensor("[1]", "[0,18446744073709551615]"), 4, "data_offsets 18446744073709551615");
  opens_with(tensor("[3]", "[0,8]"), 8, "has 8 bytes, but F32 values of shape [3] fill 12");
  opens_with(tensor("[4611686018427387904,4]", "[0,0]"), 0, "impossible shape [4611686018427387904, 4]");
  opens_with(tensor("[1]", "[0,4]"), 8, "the tensors end at byte");
  opens_with(tensor("[1]", "[4,8]"), 8, "expected");
  opens_with(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      4, "overlaps the one before");
  opens_with(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      4, "has 'a' twice");
  opens_with(std::string(200000, '['), 0, "raw.safetensors: byte 64: JSON nested deeper than 64 levels");
}

TEST_CASE("a file cut at any byte is refused") {
  const Folder folder;
  const std::vector<float> a{1, 2, 3, 4};
  write_safetensors(folder / "whole", std::vector<TensorView>{tensor_view("a", a.data(), 2, 2)}, {{"k", "v"}});
  const std::string whole = read_file(folder / "whole");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::ofstream(folder / "cut", std::ios::binary) << whole.substr(0, length);
    INFO(length);
    REQUIRE_THROWS_AS(SafetensorsFile(folder / "cut"), dream::error);
  }
  std::ofstream(folder / "cut", std::ios::binary) << whole << 'x';
  REQUIRE_ERROR(SafetensorsFile(folder / "cut"), "the tensors end at byte");
}

TEST_CASE("a forged header length is refused before memory is asked for") {
  const Folder folder;
  for (const std::uint64_t length : {std::uint64_t{9}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    std::ofstream out(folder / "forged", std::ios::binary);
    out.write(reinterpret_cast<const char*>(&length), 8);
    out << "{}";
    out.close();
    REQUIRE_ERROR(SafetensorsFile(folder / "forged"),
                  "the header is said to have " + std::to_string(length) + " bytes");
  }
}

TEST_CASE("a missing file and a folder are named") {
  const Folder folder;
  REQUIRE_ERROR(SafetensorsFile(folder / "absent"), "absent: cannot open for reading: No such file");
  REQUIRE_ERROR(SafetensorsFile(folder.path), "is a folder, expected a file");
}

TEST_CASE("with checksums, every bit that flips anywhere in a file is found") {
  const Folder folder;
  const std::string path = folder / "whole";
  const std::vector<float> a{1, 2, 3, 4.5f};
  const std::vector<std::uint8_t> ids{'x', '\n', 'y', '\n'};
  const std::vector<TensorView> tensors{tensor_view("a", a.data(), 2, 2), tensor_view("ids", ids.data(), 4),
                                        tensor_view<float>("none", nullptr, 0, 3)};
  std::map<std::string, std::string> metadata{{"state", R"({"epoch":12})"}};
  add_checksums(tensors, metadata);
  write_safetensors(path, tensors, metadata);
  const std::string whole = read_file(path);
  {
    const SafetensorsFile file(path);
    CHECK(file.has_checksums());
    file.expect_whole();
    CHECK(file.values<float>("a") == a);
  }
  std::size_t unnoticed = 0;
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    std::ofstream(folder / "flipped", std::ios::binary) << flipped;
    try {
      const SafetensorsFile file(folder / "flipped");
      file.expect_whole();
      // Only the name of the checksums may change: everything else is as it was.
      unnoticed += file.has_checksums() || file.values<float>("a") != a || file.meta("state") != metadata["state"];
    } catch (const error& e) {
      unnoticed += std::string(e.what()).find("/flipped: ") == std::string::npos;
    }
  }
  CHECK(unnoticed == 0);

  std::string flipped = whole;
  flipped[whole.size() - 5] ^= 1;  // the last byte of "a", before the four of the ids
  std::ofstream(folder / "flipped", std::ios::binary) << flipped;
  const SafetensorsFile file(folder / "flipped");
  REQUIRE_ERROR(file.values<float>("a"), "flipped: tensor 'a' has the checksum ");
  REQUIRE_ERROR(file.tensor(file.at("a")), "its bytes have changed since they were written");
  CHECK(file.values<std::uint8_t>("ids") == ids);
  // Without checksums nothing is compared.
  write_safetensors(folder / "without", tensors);
  const SafetensorsFile without(folder / "without");
  CHECK_FALSE(without.has_checksums());
  without.expect_whole();
}

TEST_CASE("checksums that are damaged or miss a tensor are errors") {
  const Folder folder;
  const float x = 1;
  const std::vector<TensorView> tensors{tensor_view("a", &x, 1)};
  for (const char* checksums : {"", "[]", "{}", R"({"a":3})", R"({"a":"0000000000000000"})"}) {
    write_safetensors(folder / "f", tensors, {{"checksums", checksums}});
    REQUIRE_ERROR(SafetensorsFile(folder / "f"), "f: metadata 'checksums' has none of '");
  }
}

TEST_CASE("Python's safetensors package reads our files and we read its own") {
  if (run("python3 -c 'import numpy, safetensors.numpy' 2>/dev/null") != 0) {
    DREAM_SKIP("Python's safetensors package is not installed");
  }
  const Folder folder;
  const std::vector<float> a{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint8_t> odd{1, 2, 3};
  const std::vector<std::int64_t> d{-5};
  write_safetensors(folder / "ours",
                    std::vector<TensorView>{tensor_view("odd", odd.data(), 3), tensor_view("a", a.data(), 2, 3),
                                            tensor_view("d", d.data(), 1)},
                    {{"model", "dream"}});
  std::ofstream(folder / "check.py") << R"(
import sys, numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
ours = load_file(sys.argv[1])
assert (ours["a"] == np.array([[1, 2, 3], [4, 5, 6]], np.float32)).all() and ours["a"].dtype == np.float32
assert (ours["odd"] == np.array([1, 2, 3], np.uint8)).all() and (ours["d"] == np.array([-5])).all()
with safe_open(sys.argv[1], "np") as f:
    assert f.metadata() == {"model": "dream"}
save_file({"x": np.arange(6, dtype=np.float64).reshape(3, 2), "n": np.array([7], np.int32)}, sys.argv[2], {"by": "python"})
)";
  REQUIRE(run("python3 " + (folder / "check.py") + " " + (folder / "ours") + " " + (folder / "theirs")) == 0);
  SafetensorsFile theirs(folder / "theirs");
  CHECK(theirs.values<double>("x") == std::vector<double>{0, 1, 2, 3, 4, 5});
  CHECK(theirs.at("x").shape == std::vector<std::int64_t>{3, 2});
  CHECK(theirs.values<std::int32_t>("n") == std::vector<std::int32_t>{7});
  CHECK(theirs.meta("by") == "python");
}

}  // namespace dream_tests::train_safetensors
