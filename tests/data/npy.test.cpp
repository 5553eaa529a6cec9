#include <dream/data/npy.hpp>

#include <cmath>
#include <limits>

#include "data/folder.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_npy {

namespace {

/// The bytes of an .npy file with this header text (not padded) and these data.
std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string bytes("\x93NUMPY", 6);
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (int b = 0; b < (version == 1 ? 2 : 4); ++b) bytes += static_cast<char>(header.size() >> 8 * b & 0xff);
  return bytes + header + data;
}

std::string header(const std::string& descr, const std::string& shape, const std::string& fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("what write_npy writes, read_npy reads back bit by bit") {
  TemporaryFolder folder;
  std::vector<float> values{1.5f, -0.0f, std::numeric_limits<float>::infinity(), 1e-42f, 3.0f, -7.25f};
  dream::write_npy(folder / "a.npy", {values.data(), 2, 3, 3});
  const auto a = dream::read_npy(folder / "a.npy");
  REQUIRE(a.rows == 2);
  REQUIRE(a.cols == 3);
  REQUIRE(bytes_of(a.values) == bytes_of(values));
  const std::string file = dream::read_file(folder / "a.npy");
  REQUIRE(file.size() == 128 + 24);
  REQUIRE(file[127] == '\n');

  dream::write_npy(folder / "b.npy", {values.data(), 2, 2, 3});  // a stride larger than the columns
  REQUIRE(dream::read_npy(folder / "b.npy").values[3] == 3.0f);
  dream::write_npy(folder / "c.npy", {values.data(), 0, 5, 5});
  REQUIRE(dream::read_npy(folder / "c.npy").cols == 5);
}

TEST_CASE("float16 is converted exactly, all 65536 of them") {
  TemporaryFolder folder;
  std::vector<std::uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  const auto a = dream::read_npy(folder.write("a.npy", npy(header("<f2", "(256, 256)"), bytes_of(halves))));
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const int exponent = i >> 10 & 31, mantissa = i & 1023;
    const double magnitude = exponent == 31  ? (mantissa ? NAN : INFINITY)
                             : exponent == 0 ? std::ldexp(mantissa, -24)
                                             : std::ldexp(1024 + mantissa, exponent - 25);
    if (std::isnan(magnitude)) {
      REQUIRE(std::isnan(a.values[i]));
    } else {
      REQUIRE(a.values[i] == (i & 0x8000 ? -magnitude : magnitude));
      REQUIRE(std::signbit(a.values[i]) == ((i & 0x8000) != 0));
    }
  }
}

TEST_CASE("float64 is rounded to the nearest float32") {
  TemporaryFolder folder;
  const std::vector<double> values{0.1, 1.0 + 0x1p-24, 1.0 + 0x1.8p-23, -1e-60};
  const auto a = dream::read_npy(folder.write("a.npy", npy(header("<f8", "(4, 1)"), bytes_of(values))));
  REQUIRE(a.values[0] == 0.1f);
  REQUIRE(a.values[1] == 1.0f);
  REQUIRE(a.values[2] == 1.0f + 0x1p-22f);
  REQUIRE(a.values[3] == 0.0f);
}

TEST_CASE("all three versions, any key order, spacing and quotes, and misaligned values are read") {
  TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const std::vector<std::string> headers{header("<f4", "(3, 2)"),
                                         "{\"shape\":(3,2),\"fortran_order\":False,\"descr\":\"<f4\"}",
                                         " { 'fortran_order' :False , 'shape' : ( 3L , 2L, ) ,\t'descr' : '<f4' }  \n"};
  for (int version : {1, 2, 3})
    for (const std::string& text : headers)
      for (int pad = 0; pad < 4; ++pad) {
        const auto a =
            dream::read_npy(folder.write("a.npy", npy(text + std::string(pad, ' '), bytes_of(values), version)));
        REQUIRE(a.rows == 3);
        REQUIRE(a.values == values);
      }
}

TEST_CASE("every malformed .npy is an error that names file, byte, what was found and what was expected") {
  TemporaryFolder folder;
  const std::string data = bytes_of(std::vector<float>{1, 2, 3, 4, 5, 6});
  const std::string good = npy(header("<f4", "(3, 2)"), data);
  const auto rejects = [&](const std::string& bytes, const std::string& message) {
    const std::string path = folder.write("a.npy", bytes);
    REQUIRE_ERROR(dream::read_npy(path), message);
    REQUIRE_ERROR(dream::read_npy(path), path + ": byte ");
  };
  const auto rejects_header = [&](const std::string& text, const std::string& message) {
    rejects(npy(text, data), message);
  };

  rejects("", "byte 0: found no .npy magic string");
  rejects("\x93NUMPX" + good.substr(6), "byte 0: found no .npy magic string");
  rejects(good.substr(0, 8), "byte 8: found the end of the file");
  rejects(npy("", "", 2).substr(0, 11), "byte 11: found the end of the file");
  rejects(npy(header("<f4", "(3, 2)"), data, 4), "byte 6: found format version 4.0, expected 1.0, 2.0 or 3.0");
  rejects(good.substr(0, 40), "expected at most the 30 bytes that follow");
  std::string lies = good;
  lies[8] = '\xff', lies[9] = '\xff';
  rejects(lies, "byte 8: found a header length of 65535");
  lies = good;
  lies[8] = 20, lies[9] = 0;
  rejects(lies, "byte 27: found a string without end, expected a quoted key or }");
  lies = npy(header("<f4", "(3, 2)"), data, 2);
  lies[11] = '\xff';
  rejects(lies, "byte 8: found a header length of 42781");

  rejects_header(header("<f4", "(3, 2)", "True"), "found Fortran order, expected C order");
  rejects_header(header("|O", "(3, 2)"), "byte 20: found Python objects, dtype '|O', expected one of <f2, <f4, <f8");
  rejects_header(header(">f4", "(3, 2)"), "found big-endian numbers, dtype '>f4'");
  for (const char* dtype : {"<i4", "<f16", "<c8", "|b1", "<U5", ""})
    rejects_header(header(dtype, "(3, 2)"), std::string("found dtype '") + dtype + "'");
  rejects_header("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3, 2), }", "found a structured dtype");
  rejects_header(header("<f4", "(6,)"), "found 1 dimensions, expected 2");
  rejects_header(header("<f4", "()"), "found 0 dimensions");
  rejects_header(header("<f4", "(3, 2, 1)"), "found 3 dimensions");
  rejects_header(header("<f4", "(-3, 2)"), "found the negative size -3");
  rejects_header(header("<f4", "(3000000000, 2)"), "found a size that is too large");
  rejects_header(header("<f4", "(99999999999999999999, 2)"), "found a size that is too large");
  rejects_header(header("<f4", "(2147483647, 2147483647)"), "found the end of the file after 6 values");
  rejects_header(header("<f4", "(3, 2"), "found '}', expected a size");
  rejects_header(header("<f4", "(3 2)"), "expected a comma or the shape's closing )");
  rejects_header(header("<f4", "(3, x)"), "expected a size");
  rejects_header(header("<f4", "(3, 2.5)"), "expected a comma or the shape's closing )");
  rejects_header(header("<f4", "6"), "expected the shape's opening (");
  rejects_header(header("<f4", "(3, 2)", "Maybe"), "expected True or False");
  rejects_header("", "found the end of the header, expected the header's opening {");
  rejects_header("{'descr': '<f4', 'fortran_order': False, }", "a header without shape");
  rejects_header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }",
                 "the key 'descr' again");
  rejects_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), 'x': 1}", "found the key 'x'");
  rejects_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), ", "found the end of the header");
  rejects_header("{'descr': '<f4, 'fortran_order': False, 'shape': (3, 2), }", "expected");
  rejects_header("{'descr", "found a string without end");
  rejects_header(header("<f4", "(3, 2)") + " x", "only blanks after the closing }");
  rejects_header(std::string("{\0}", 3), "found the byte 0");

  rejects(good.substr(0, good.size() - 1), "found the end of the file after 5 values, expected 6 (3 x 2)");
  rejects(good.substr(0, good.size() - 24), "found the end of the file after 0 values");
  rejects(good + "x", "found 1 bytes more, expected the end of the file after 3 x 2 values");
  rejects(npy(header("<f4", "(0, 7)"), data), "found 24 bytes more");
  REQUIRE_ERROR(dream::read_npy(folder / "none.npy"), "none.npy: cannot open");
}

TEST_CASE("a header cut at any place is an error and never a crash") {
  TemporaryFolder folder;
  const std::string text = header("<f4", "(3, 2)");
  for (std::size_t cut = 0; cut < text.size(); ++cut)
    REQUIRE_THROWS_AS(dream::read_npy(folder.write("a.npy", npy(text.substr(0, cut), std::string(24, '\0')))),
                      dream::error);
}

}  // namespace dream_tests::data_npy
