// Safetensors files: named tensors and string metadata. Eight bytes of header length, a JSON header, the raw values.
// Whatever the header claims is checked against the file before anything is allocated or read.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/train/json_text.hpp>
#include <nlohmann/json.hpp>

namespace dream {

static_assert(std::endian::native == std::endian::little, "safetensors files are read and written without byte swaps");

/// The types of values that the library stores.
enum class Dtype { f32, f64, i32, i64, u64, u8 };

/// The name of a type in a safetensors header.
inline const char* dtype_name(Dtype dtype) {
  constexpr const char* names[] = {"F32", "F64", "I32", "I64", "U64", "U8"};
  return names[static_cast<int>(dtype)];
}

/// Bytes of one value.
inline std::int64_t dtype_size(Dtype dtype) {
  constexpr std::int64_t sizes[] = {4, 8, 4, 8, 8, 1};
  return sizes[static_cast<int>(dtype)];
}

/// The type under which values of T are stored.
template <class T>
constexpr Dtype dtype_of() {
  if constexpr (std::is_same_v<T, float>) {
    return Dtype::f32;
  } else if constexpr (std::is_same_v<T, double>) {
    return Dtype::f64;
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    return Dtype::i32;
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    return Dtype::u64;
  } else if constexpr (sizeof(T) == 1) {
    return Dtype::u8;
  } else {
    static_assert(std::is_same_v<T, std::int64_t>, "no safetensors type for this");
    return Dtype::i64;
  }
}

/// A tensor in memory; `bytes` holds its values in row-major order.
struct Tensor {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

/// A tensor whose values belong to somebody else; what is written.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
};

namespace detail {

inline std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// Bytes that a tensor of this shape fills, or -1 where that does not fit 63 bits or a length is negative.
inline std::int64_t tensor_bytes(Dtype dtype, const std::vector<std::int64_t>& shape) {
  std::int64_t bytes = dtype_size(dtype);
  for (const std::int64_t length : shape) {
    if (length < 0) return -1;
    if (length == 0) return 0;
  }
  for (const std::int64_t length : shape) {
    if (bytes > std::numeric_limits<std::int64_t>::max() / length) return -1;
    bytes *= length;
  }
  return bytes;
}

}  // namespace detail

/// A view of `rows` x `cols` values (or of `rows` values where cols is -1) under a name.
template <class T>
TensorView tensor_view(std::string name, const T* data, std::int64_t rows, std::int64_t cols = -1) {
  TensorView view{std::move(name), dtype_of<T>(), {rows}, data};
  if (cols >= 0) view.shape.push_back(cols);
  return view;
}

/// A tensor that owns a copy of the values.
template <class T>
Tensor make_tensor(std::string name, const T* data, std::int64_t rows, std::int64_t cols = -1) {
  TensorView view = tensor_view(std::move(name), data, rows, cols);
  Tensor tensor{std::move(view.name), view.dtype, std::move(view.shape), {}};
  const std::int64_t bytes = detail::tensor_bytes(tensor.dtype, tensor.shape);
  DREAM_EXPECT(bytes >= 0, "tensor '", tensor.name, "' cannot have shape ", detail::shape_text(tensor.shape));
  tensor.bytes.resize(static_cast<std::size_t>(bytes));
  if (bytes > 0) std::memcpy(tensor.bytes.data(), data, tensor.bytes.size());
  return tensor;
}

/// Writes the file whole or not at all: beside its name, synced, then renamed. Wider types come first, so that every
/// tensor is aligned; tensors of one width keep their order. The same input gives the same bytes.
inline void write_safetensors(const std::string& path, std::vector<TensorView> tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorView& a, const TensorView& b) { return dtype_size(a.dtype) > dtype_size(b.dtype); });
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t offset = 0;
  for (const TensorView& t : tensors) {
    DREAM_EXPECT(t.name != "__metadata__" && !header.contains(t.name), path, ": two tensors named '", t.name, "'");
    const std::int64_t bytes = detail::tensor_bytes(t.dtype, t.shape);
    DREAM_EXPECT(bytes >= 0 && bytes <= std::numeric_limits<std::int64_t>::max() - offset, path, ": tensor '", t.name,
                 "' cannot have shape ", detail::shape_text(t.shape));
    header[t.name] = {{"dtype", dtype_name(t.dtype)}, {"shape", t.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail(path, ": a tensor name or metadata value is not valid UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();

  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(text.data(), text.size());
  for (const TensorView& t : tensors) {
    const std::int64_t bytes = detail::tensor_bytes(t.dtype, t.shape);
    if (bytes > 0) file.write(t.data, static_cast<std::size_t>(bytes));
  }
  file.commit();
}

/// The same for tensors that own their values.
inline void write_safetensors(const std::string& path, const std::vector<Tensor>& tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::vector<TensorView> views;
  for (const Tensor& t : tensors) {
    DREAM_EXPECT(static_cast<std::int64_t>(t.bytes.size()) == detail::tensor_bytes(t.dtype, t.shape), path,
                 ": tensor '", t.name, "' has ", t.bytes.size(), " bytes, which do not fill shape ",
                 detail::shape_text(t.shape));
    views.push_back({t.name, t.dtype, t.shape, t.bytes.data()});
  }
  write_safetensors(path, std::move(views), metadata);
}

/// An open safetensors file whose header has been checked; tensors are read when asked for.
class SafetensorsFile {
 public:
  /// Where a tensor lies; `begin` and `end` are bytes of the file.
  struct Entry {
    std::string name;
    Dtype dtype = Dtype::f32;
    std::vector<std::int64_t> shape;
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };

  /// Throws dream::error, naming the file and the byte or tensor, unless the whole header fits the file.
  explicit SafetensorsFile(std::string path) : path_(std::move(path)) {
    namespace fs = std::filesystem;
    std::error_code ec;
    const fs::file_status status = fs::status(path_, ec);
    DREAM_EXPECT(fs::exists(status), path_, ": no such file");
    DREAM_EXPECT(fs::is_regular_file(status), path_, ": is not a regular file");
    const std::uintmax_t size = fs::file_size(path_, ec);
    DREAM_EXPECT(!ec, path_, ": ", ec.message());
    in_.open(path_, std::ios::binary);
    DREAM_EXPECT(in_.is_open(), path_, ": cannot be opened for reading");
    parse(static_cast<std::int64_t>(size));
  }

  const std::string& path() const { return path_; }
  /// All tensors in the order of their bytes in the file.
  const std::vector<Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// The tensor of that name, or nullptr.
  const Entry* find(const std::string& name) const {
    for (const Entry& e : entries_) {
      if (e.name == name) return &e;
    }
    return nullptr;
  }

  /// The tensor of that name; an error where it is absent.
  const Entry& at(const std::string& name) const {
    const Entry* e = find(name);
    DREAM_EXPECT(e != nullptr, path_, ": no tensor '", name, "'");
    return *e;
  }

  /// The metadata value of that key; an error where it is absent.
  const std::string& meta(const std::string& key) const {
    const auto it = metadata_.find(key);
    DREAM_EXPECT(it != metadata_.end(), path_, ": no metadata '", key, "'");
    return it->second;
  }

  /// Reads a tensor's bytes into memory of exactly end - begin bytes.
  void read(const Entry& e, void* out) {
    in_.clear();
    in_.seekg(e.begin);
    in_.read(static_cast<char*>(out), e.end - e.begin);
    DREAM_EXPECT(in_.good(), path_, ": tensor '", e.name, "' could not be read at byte ", e.begin);
  }

  /// The values of a tensor whose type must be T's.
  template <class T>
  std::vector<T> values(const std::string& name) {
    const Entry& e = at(name);
    DREAM_EXPECT(e.dtype == dtype_of<T>(), path_, ": tensor '", name, "' is ", dtype_name(e.dtype), ", expected ",
                 dtype_name(dtype_of<T>()));
    std::vector<T> result(static_cast<std::size_t>((e.end - e.begin) / static_cast<std::int64_t>(sizeof(T))));
    if (!result.empty()) read(e, result.data());
    return result;
  }

  /// One tensor with its bytes.
  Tensor tensor(const Entry& e) {
    Tensor t{e.name, e.dtype, e.shape, std::vector<std::byte>(static_cast<std::size_t>(e.end - e.begin))};
    if (!t.bytes.empty()) read(e, t.bytes.data());
    return t;
  }

 private:
  void parse(std::int64_t size) {
    DREAM_EXPECT(size >= 8, path_, ": ", size, " bytes; a safetensors file begins with an 8-byte header length");
    std::uint64_t length = 0;
    in_.read(reinterpret_cast<char*>(&length), 8);
    DREAM_EXPECT(in_.good(), path_, ": the header length at byte 0 could not be read");
    DREAM_EXPECT(length <= static_cast<std::uint64_t>(size - 8), path_, ": byte 0: the header is said to have ", length,
                 " bytes, but only ", size - 8, " follow");
    DREAM_EXPECT(length <= 100'000'000, path_, ": byte 0: a header of ", length,
                 " bytes; at most 100000000 are allowed");
    std::string text(length, '\0');
    in_.read(text.data(), static_cast<std::streamsize>(length));
    DREAM_EXPECT(in_.good(), path_, ": the header at byte 8 could not be read");
    const std::int64_t base = 8 + static_cast<std::int64_t>(length);
    const nlohmann::json header = parse_json(text);
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        DREAM_EXPECT(value.is_object(), path_, ": __metadata__ is not an object");
        for (const auto& [key, v] : value.items()) {
          DREAM_EXPECT(v.is_string(), path_, ": metadata '", key, "' is not a string");
          metadata_[key] = v.get<std::string>();
        }
      } else {
        entries_.push_back(parse_entry(name, value, base, size));
      }
    }
    check_cover(base, size);
  }

  nlohmann::json parse_json(const std::string& text) const {
    JsonFault fault;
    nlohmann::json header = dream::parse_json(text, path_, &fault);
    DREAM_EXPECT(!header.is_discarded(), path_, ": byte ", 8 + fault.byte, ": the header is not JSON");
    DREAM_EXPECT(header.is_object(), path_, ": byte 8: the header is not a JSON object");
    std::map<std::size_t, std::pair<std::size_t, std::set<std::string>>> names;  // by level, of the object there
    for_json_keys(text, path_, [&](const JsonKey& key) {
      auto& [object, found] = names[key.level];
      if (std::exchange(object, key.object) != key.object) found.clear();
      DREAM_EXPECT(found.insert(key.name()).second, path_, ": the header has '", key.name(), "' twice");
    });
    return header;
  }

  Entry parse_entry(const std::string& name, const nlohmann::json& value, std::int64_t base, std::int64_t size) const {
    const auto member = [&](const char* key) -> const nlohmann::json& {
      DREAM_EXPECT(value.is_object() && value.contains(key), path_, ": tensor '", name, "' has no ", key);
      return value.at(key);
    };
    Entry e;
    e.name = name;
    const nlohmann::json& dtype = member("dtype");
    bool known = false;
    for (const Dtype d : {Dtype::f32, Dtype::f64, Dtype::i32, Dtype::i64, Dtype::u64, Dtype::u8}) {
      if (dtype.is_string() && dtype.get<std::string>() == dtype_name(d)) {
        e.dtype = d;
        known = true;
      }
    }
    DREAM_EXPECT(known, path_, ": tensor '", name, "' has dtype ", dtype.dump(),
                 ", expected F32, F64, I32, I64, U64 or U8");

    const auto length = [&](const nlohmann::json& v, const char* what) {
      DREAM_EXPECT(v.is_number_unsigned() &&
                       v.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
                   path_, ": tensor '", name, "' has ", what, " ", v.dump(), ", expected non-negative integers");
      return v.get<std::int64_t>();
    };
    const nlohmann::json& lengths = member("shape");
    DREAM_EXPECT(lengths.is_array(), path_, ": tensor '", name, "' has a shape that is not a list");
    for (const nlohmann::json& v : lengths) e.shape.push_back(length(v, "shape"));

    const nlohmann::json& offsets = member("data_offsets");
    DREAM_EXPECT(offsets.is_array() && offsets.size() == 2, path_, ": tensor '", name,
                 "' has data_offsets that are not two numbers");
    const std::int64_t begin = length(offsets[0], "data_offsets"), end = length(offsets[1], "data_offsets");
    DREAM_EXPECT(begin <= end && end <= size - base, path_, ": tensor '", name, "' is said to fill bytes ", begin,
                 " to ", end, " of the data, which has ", size - base);
    const std::int64_t expected = detail::tensor_bytes(e.dtype, e.shape);
    DREAM_EXPECT(expected >= 0, path_, ": tensor '", name, "' has the impossible shape ", detail::shape_text(e.shape));
    DREAM_EXPECT(end - begin == expected, path_, ": tensor '", name, "' has ", end - begin, " bytes, but ",
                 dtype_name(e.dtype), " values of shape ", detail::shape_text(e.shape), " fill ", expected);
    e.begin = base + begin;
    e.end = base + end;
    return e;
  }

  /// The tensors must follow each other without gap or overlap up to the end of the file.
  void check_cover(std::int64_t base, std::int64_t size) {
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    std::int64_t expected = base;
    for (const Entry& e : entries_) {
      DREAM_EXPECT(e.begin == expected, path_, ": tensor '", e.name, "' begins at byte ", e.begin, ", expected ",
                   expected,
                   e.begin < expected ? " (it overlaps the one before)" : " (bytes that belong to no tensor)");
      expected = e.end;
    }
    DREAM_EXPECT(expected == size, path_, ": the tensors end at byte ", expected, ", the file at ", size);
  }

  std::string path_;
  std::ifstream in_;
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace dream
