// The header of a safetensors file: what it says of tensors, checked against the file before anything is allocated.
// Needs nlohmann-json.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/core/hash.hpp>
#include <dream/train/json_text.hpp>
#include <dream/train/tensor.hpp>
#include <nlohmann/json.hpp>

namespace dream {

/// Where a tensor lies; `begin` and `end` are bytes of the file.
struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// What a safetensors header holds.
struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  ///< in the order of their bytes in the file
  std::map<std::string, std::string> metadata;
};

namespace detail {

inline nlohmann::json parse_header_json(const std::string& path, const std::string& text) {
  // The parser would take a zero byte for the end.
  DREAM_EXPECT(text.find('\0') == std::string::npos, path, ": byte ", 8 + text.find('\0'), ": the header is not JSON");
  JsonFault fault;
  nlohmann::json header = parse_json(text, path, &fault);
  DREAM_EXPECT(!header.is_discarded(), path, ": byte ", 8 + fault.byte, ": the header is not JSON");
  DREAM_EXPECT(header.is_object(), path, ": byte 8: the header is not a JSON object");
  std::map<std::size_t, std::pair<std::size_t, std::set<std::string>>> names;  // by level, of the object there
  for_json_keys(text, path, [&](const JsonKey& key) {
    auto& [object, found] = names[key.level];
    if (std::exchange(object, key.object) != key.object) found.clear();
    DREAM_EXPECT(found.insert(key.name()).second, path, ": the header has '", key.name(), "' twice");
  });
  return header;
}

inline TensorEntry parse_entry(const std::string& path, const std::string& name, const nlohmann::json& value,
                               std::int64_t base, std::int64_t size) {
  const auto member = [&](const char* key) -> const nlohmann::json& {
    DREAM_EXPECT(value.is_object() && value.contains(key), path, ": tensor '", name, "' has no ", key);
    return value.at(key);
  };
  TensorEntry e;
  e.name = name;
  const nlohmann::json& dtype = member("dtype");
  bool known = false;
  for (const Dtype d : {Dtype::f32, Dtype::f64, Dtype::i32, Dtype::i64, Dtype::u64, Dtype::u8}) {
    if (dtype.is_string() && dtype.get<std::string>() == dtype_name(d)) {
      e.dtype = d;
      known = true;
    }
  }
  DREAM_EXPECT(known, path, ": tensor '", name, "' has dtype ", dtype.dump(),
               ", expected F32, F64, I32, I64, U64 or U8");

  const auto length = [&](const nlohmann::json& v, const char* what) {
    DREAM_EXPECT(v.is_number_unsigned() &&
                     v.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
                 path, ": tensor '", name, "' has ", what, " ", v.dump(), ", expected non-negative integers");
    return v.get<std::int64_t>();
  };
  const nlohmann::json& lengths = member("shape");
  DREAM_EXPECT(lengths.is_array(), path, ": tensor '", name, "' has a shape that is not a list");
  for (const nlohmann::json& v : lengths) e.shape.push_back(length(v, "shape"));

  const nlohmann::json& offsets = member("data_offsets");
  DREAM_EXPECT(offsets.is_array() && offsets.size() == 2, path, ": tensor '", name,
               "' has data_offsets that are not two numbers");
  const std::int64_t begin = length(offsets[0], "data_offsets"), end = length(offsets[1], "data_offsets");
  DREAM_EXPECT(begin <= end && end <= size - base, path, ": tensor '", name, "' is said to fill bytes ", begin, " to ",
               end, " of the data, which has ", size - base);
  const std::int64_t expected = tensor_bytes(e.dtype, e.shape);
  DREAM_EXPECT(expected >= 0, path, ": tensor '", name, "' has the impossible shape ", shape_text(e.shape));
  DREAM_EXPECT(end - begin == expected, path, ": tensor '", name, "' has ", end - begin, " bytes, but ",
               dtype_name(e.dtype), " values of shape ", shape_text(e.shape), " fill ", expected);
  e.begin = base + begin;
  e.end = base + end;
  return e;
}

/// Sorts tensors by their bytes. They must follow each other without gap or overlap up to the end of the file.
inline void sort_entries(const std::string& path, std::vector<TensorEntry>& entries, std::int64_t base,
                         std::int64_t size) {
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::int64_t expected = base;
  for (const TensorEntry& e : entries) {
    DREAM_EXPECT(e.begin == expected, path, ": tensor '", e.name, "' begins at byte ", e.begin, ", expected ", expected,
                 e.begin < expected ? " (it overlaps the one before)" : " (bytes that belong to no tensor)");
    expected = e.end;
  }
  DREAM_EXPECT(expected == size, path, ": the tensors end at byte ", expected, ", the file at ", size);
}

/// Reads and checks the header of an open file.
inline SafetensorsHeader read_header(const FileReader& file) {
  const std::string& path = file.path();
  const auto size = static_cast<std::int64_t>(file.size());
  DREAM_EXPECT(size >= 8, path, ": ", size, " bytes; a safetensors file begins with an 8-byte header length");
  std::uint64_t length = 0;
  file.read(0, &length, 8);
  DREAM_EXPECT(length <= static_cast<std::uint64_t>(size - 8), path, ": byte 0: the header is said to have ", length,
               " bytes, but only ", size - 8, " follow");
  DREAM_EXPECT(length <= 100'000'000, path, ": byte 0: a header of ", length, " bytes; at most 100000000 are allowed");
  std::string text(length, '\0');
  file.read(8, text.data(), text.size());
  const std::int64_t base = 8 + static_cast<std::int64_t>(length);
  SafetensorsHeader header;
  const nlohmann::json json = parse_header_json(path, text);
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      DREAM_EXPECT(value.is_object(), path, ": __metadata__ is not an object");
      for (const auto& [key, v] : value.items()) {
        DREAM_EXPECT(v.is_string(), path, ": metadata '", key, "' is not a string");
        header.metadata[key] = v.get<std::string>();
      }
    } else {
      header.entries.push_back(parse_entry(path, name, value, base, size));
    }
  }
  sort_entries(path, header.entries, base, size);
  return header;
}

}  // namespace detail

}  // namespace dream
