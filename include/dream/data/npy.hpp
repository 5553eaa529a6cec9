// NumPy .npy files (format versions 1, 2 and 3): matrices of little-endian float16, float32 or float64 in C order.
// Every malformed file is a dream::error that names the file, the byte, what was found and what was expected.
#pragma once

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/core/view.hpp>

namespace dream {

/// A matrix read from an .npy file, row-major.
struct NpyMatrix {
  index_t rows = 0;
  index_t cols = 0;
  std::vector<float> values;

  MatrixView<const float> view() const { return {values.data(), rows, cols, cols}; }
};

/// The value of an IEEE half-precision number, exactly.
inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000u} << 16;
  const std::uint32_t exponent = half & 0x7c00u, bits = std::uint32_t{half & 0x7fffu} << 13;
  if (exponent == 0x7c00u) return std::bit_cast<float>(sign | bits | 0x7f800000u);
  if (exponent != 0) return std::bit_cast<float>(sign | (bits + (112u << 23)));
  const float magnitude = std::bit_cast<float>(bits + (113u << 23)) - 0x1p-14f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

namespace detail {

/// Reads the Python dictionary literal of an .npy header.
class NpyHeaderParser {
 public:
  NpyHeaderParser(const std::string& path, std::string_view text, std::size_t offset)
      : path_(path), text_(text), offset_(offset) {}

  std::string_view descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::size_t descr_byte = 0, order_byte = 0, shape_byte = 0;

  void parse() {
    bool have_descr = false, have_order = false, have_shape = false;
    expect('{', "the header's opening {");
    while (!accept('}')) {
      const std::size_t byte = place();
      const std::string_view key = quoted("a quoted key or }");
      expect(':', "a colon after the key");
      bool* have = key == "descr" ? &have_descr : key == "fortran_order" ? &have_order : &have_shape;
      if (key != "descr" && key != "fortran_order" && key != "shape")
        bad(byte, concat("the key '", key, "'"), "descr, fortran_order or shape");
      if (*have) bad(byte, concat("the key '", key, "' again"), "each key once");
      *have = true;
      if (have == &have_descr) {
        descr_byte = place();
        if (peek() == '[') bad(descr_byte, "a structured dtype", "one of <f2, <f4, <f8");
        descr = quoted("a quoted dtype");
      } else if (have == &have_order) {
        order_byte = place();
        fortran_order = boolean();
      } else {
        shape_byte = place();
        parse_shape();
      }
      if (!accept(',')) {
        expect('}', "a comma or the closing }");
        break;
      }
    }
    skip();
    if (at_ != text_.size()) bad(place(), found(), "only blanks after the closing }");
    if (!have_descr || !have_order || !have_shape)
      bad(offset_,
          concat("a header without ", !have_descr   ? "descr"
                                      : !have_order ? "fortran_order"
                                                    : "shape"),
          "descr, fortran_order and shape");
  }

  [[noreturn]] void bad(std::size_t byte, const std::string& what, const std::string& wanted) const {
    fail(path_, ": byte ", byte, ": found ", what, ", expected ", wanted);
  }

 private:
  std::size_t place() {
    skip();
    return offset_ + at_;
  }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  char peek() {
    skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    const bool there = peek() == c && at_ < text_.size();
    at_ += there;
    return there;
  }
  std::string found() {
    skip();
    if (at_ == text_.size()) return "the end of the header";
    const unsigned char c = static_cast<unsigned char>(text_[at_]);
    if (c < 0x20 || c > 0x7e) return concat("the byte ", int{c});
    return concat("'", text_.substr(at_, 12), "'");
  }
  void expect(char c, const char* wanted) {
    if (!accept(c)) bad(place(), found(), wanted);
  }
  std::string_view quoted(const char* wanted) {
    const char quote = peek();
    if (quote != '\'' && quote != '"') bad(place(), found(), wanted);
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) bad(place(), "a string without end", wanted);
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inside;
  }
  bool boolean() {
    for (const std::string_view word : {"True", "False"})
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return word == "True";
      }
    bad(place(), found(), "True or False");
  }
  void parse_shape() {
    expect('(', "the shape's opening (");
    while (!accept(')')) {
      const std::size_t byte = place();
      std::int64_t value = 0;
      const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (code == std::errc::result_out_of_range || value > std::numeric_limits<index_t>::max())
        bad(byte, "a size that is too large", concat("sizes up to ", std::numeric_limits<index_t>::max()));
      if (code != std::errc{}) bad(byte, found(), "a size");
      if (value < 0) bad(byte, concat("the negative size ", value), "sizes from 0");
      at_ = static_cast<std::size_t>(end - text_.data());
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2's long
      shape.push_back(value);
      if (!accept(',')) {
        expect(')', "a comma or the shape's closing )");
        break;
      }
    }
  }

  const std::string& path_;
  std::string_view text_;
  std::size_t offset_;  // of the text in the file
  std::size_t at_ = 0;
};

/// Bytes in memory that are read as those of a FileReader are.
struct BytesInMemory {
  std::string_view bytes;

  std::size_t size() const { return bytes.size(); }
  void read(std::size_t at, void* out, std::size_t count) const {
    if (count > 0) std::memcpy(out, bytes.data() + at, count);
  }
};

/// Reads `count` values of another width than float's from `at` on, a block at a time.
template <class Stored, class Source, class Convert>
void read_converted(const Source& source, std::size_t at, std::vector<float>& values, Convert convert) {
  std::vector<Stored> block(std::min<std::size_t>(values.size(), 1 << 16));
  for (std::size_t done = 0; done < values.size(); done += block.size()) {
    block.resize(std::min(block.size(), values.size() - done));
    source.read(at + done * sizeof(Stored), block.data(), block.size() * sizeof(Stored));
    std::transform(block.begin(), block.end(), values.begin() + static_cast<std::ptrdiff_t>(done), convert);
  }
}

/// read_npy of a FileReader or of bytes in memory; `path` names it in errors.
template <class Source>
NpyMatrix parse_npy(const std::string& path, const Source& source) {
  constexpr std::string_view magic("\x93NUMPY", 6);
  const std::size_t size = source.size();
  std::string bytes(std::min<std::size_t>(size, 12), '\0');
  source.read(0, bytes.data(), bytes.size());
  if (bytes.substr(0, 6) != magic) fail(path, ": byte 0: found no .npy magic string, expected \\x93NUMPY");
  if (size < 10) fail(path, ": byte ", size, ": found the end of the file, expected an .npy header");
  const auto byte = [&](std::size_t i) { return std::size_t{static_cast<unsigned char>(bytes[i])}; };
  if (byte(6) < 1 || byte(6) > 3 || byte(7) != 0)
    fail(path, ": byte 6: found format version ", byte(6), ".", byte(7), ", expected 1.0, 2.0 or 3.0");
  const std::size_t start = byte(6) == 1 ? 10 : 12;
  if (size < start) fail(path, ": byte ", size, ": found the end of the file, expected an .npy header");
  std::size_t length = byte(8) | byte(9) << 8;
  if (byte(6) > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (length > size - start)
    fail(path, ": byte 8: found a header length of ", length, ", expected at most the ", size - start,
         " bytes that follow");

  std::string text(length, '\0');
  source.read(start, text.data(), length);
  NpyHeaderParser header(path, text, start);
  header.parse();
  const std::string_view descr = header.descr;
  const std::size_t width = descr == "<f2" ? 2 : descr == "<f4" ? 4 : descr == "<f8" ? 8 : 0;
  if (width == 0) {
    const bool big = descr.substr(0, 2) == ">f";
    const bool object = descr.find('O') != std::string_view::npos;
    header.bad(header.descr_byte,
               concat(big      ? "big-endian numbers, dtype '"
                      : object ? "Python objects, dtype '"
                               : "dtype '",
                      descr, "'"),
               "one of <f2, <f4, <f8 (save with .astype('<f4'))");
  }
  if (header.fortran_order)
    header.bad(header.order_byte, "Fortran order", "C order (save with numpy.ascontiguousarray)");
  if (header.shape.size() != 2)
    header.bad(header.shape_byte, concat(header.shape.size(), " dimensions"), "2: rows and columns");

  NpyMatrix matrix;
  matrix.rows = static_cast<index_t>(header.shape[0]);
  matrix.cols = static_cast<index_t>(header.shape[1]);
  const std::size_t count = static_cast<std::size_t>(header.shape[0]) * static_cast<std::size_t>(header.shape[1]);
  const std::size_t data = start + length, left = size - data;
  // Compared by division: the number of bytes may overflow.
  if (count > left / width)
    fail(path, ": byte ", size, ": found the end of the file after ", left / width, " values, expected ", count, " (",
         matrix.rows, " x ", matrix.cols, ")");
  if (count * width != left)
    fail(path, ": byte ", data + count * width, ": found ", left - count * width,
         " bytes more, expected the end of the file after ", matrix.rows, " x ", matrix.cols, " values");

  static_assert(std::endian::native == std::endian::little);
  matrix.values.resize(count);
  if (width == 4) source.read(data, matrix.values.data(), 4 * count);
  if (width == 2) read_converted<std::uint16_t>(source, data, matrix.values, half_to_float);
  if (width == 8)
    read_converted<double>(source, data, matrix.values, [](double value) { return static_cast<float>(value); });
  return matrix;
}

}  // namespace detail

/// Reads a 2-d .npy file of <f2 (converted exactly), <f4 or <f8 (rounded to nearest). Anything else is an error.
inline NpyMatrix read_npy(const std::string& path) {
  const FileReader file(path);
  NpyMatrix matrix = detail::parse_npy(path, file);
  file.expect_same_size();
  return matrix;
}

/// Writes a matrix as .npy version 1, <f4, C order, into a file that the caller commits.
inline void write_npy(AtomicFile& file, MatrixView<const float> matrix) {
  std::string header =
      concat("{'descr': '<f4', 'fortran_order': False, 'shape': (", matrix.rows, ", ", matrix.cols, "), }");
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10, ' ');  // NumPy starts the values at a multiple of 64
  header.back() = '\n';
  file.write(std::string_view("\x93NUMPY\x01\x00", 8));
  const char length[2] = {static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  file.write(length, 2);
  file.write(header);
  if (matrix.stride == matrix.cols) {
    file.write(matrix.data, static_cast<std::size_t>(matrix.size()) * sizeof(float));
  } else {
    for (index_t i = 0; i < matrix.rows; ++i)
      file.write(matrix.row(i), static_cast<std::size_t>(matrix.cols) * sizeof(float));
  }
}

/// The same as a file that appears whole or not at all.
inline void write_npy(const std::string& path, MatrixView<const float> matrix) {
  AtomicFile file(path);
  write_npy(file, matrix);
  file.commit();
}

}  // namespace dream
