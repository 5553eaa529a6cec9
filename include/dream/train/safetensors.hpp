// Safetensors files: named tensors and string metadata. Eight bytes of header length, a JSON header, the raw values.
// Whatever the header claims is checked against the file before anything is allocated or read. Needs nlohmann-json.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/core/hash.hpp>
#include <dream/train/safetensors_header.hpp>
#include <dream/train/tensor.hpp>
#include <nlohmann/json.hpp>

namespace dream {

namespace detail {

/// The metadata that holds checksums: a JSON object from a tensor's name to the XXH64 of its bytes, and from
/// "__metadata__" to that of the rest of the header.
inline constexpr const char* checksums_key = "checksums";

/// Texts one after another, each with its length.
inline std::uint64_t hash_texts(const std::vector<std::string>& texts) {
  Hash hash;
  for (const std::string& text : texts) {
    const std::uint64_t length = text.size();
    hash.add(&length, sizeof length);
    hash.add(text.data(), text.size());
  }
  return hash.value();
}
inline std::uint64_t entry_hash(const std::string& name, Dtype dtype, const std::vector<std::int64_t>& shape) {
  return hash_texts({name, dtype_name(dtype), shape_text(shape)});
}
inline std::uint64_t metadata_hash(const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> texts;
  for (const auto& [key, value] : metadata)
    if (key != checksums_key) texts.insert(texts.end(), {key, value});
  return hash_texts(texts);
}

}  // namespace detail

/// Adds checksums of tensors and of the header to the metadata that will be written with them. SafetensorsFile compares
/// with them whatever it reads.
inline void add_checksums(const std::vector<TensorView>& tensors, std::map<std::string, std::string>& metadata) {
  nlohmann::json checksums = nlohmann::json::object();
  std::uint64_t header = detail::metadata_hash(metadata);  // a sum: whatever the order of the tensors
  for (const TensorView& t : tensors) {
    checksums[t.name] = hash_text(hash_bytes(t.data, static_cast<std::size_t>(detail::tensor_bytes(t.dtype, t.shape))));
    header += detail::entry_hash(t.name, t.dtype, t.shape);
  }
  checksums["__metadata__"] = hash_text(header);
  metadata[detail::checksums_key] = checksums.dump();
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
  using Entry = TensorEntry;

  /// Throws dream::error, naming the file and the byte or tensor, unless the whole header fits the file and its
  /// checksum, where it has one.
  explicit SafetensorsFile(std::string path) : file_(std::move(path)) {
    SafetensorsHeader header = detail::read_header(file_);
    entries_ = std::move(header.entries);
    metadata_ = std::move(header.metadata);
    read_checksums();
  }

  const std::string& path() const { return file_.path(); }
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
    DREAM_EXPECT(e != nullptr, path(), ": no tensor '", name, "'");
    return *e;
  }

  /// The metadata value of that key; an error where it is absent.
  const std::string& meta(const std::string& key) const {
    const auto it = metadata_.find(key);
    DREAM_EXPECT(it != metadata_.end(), path(), ": no metadata '", key, "'");
    return it->second;
  }

  /// Whether a change of the file's values would be found.
  bool has_checksums() const { return !checksums_.empty(); }

  /// Reads a tensor's bytes into memory of exactly end - begin bytes, and compares them with their checksum, if any.
  void read(const Entry& e, void* out) const {
    const std::size_t bytes = static_cast<std::size_t>(e.end - e.begin);
    file_.read(static_cast<std::size_t>(e.begin), out, bytes);
    if (has_checksums()) expect_checksum(e.name, hash_bytes(out, bytes));
  }

  /// Compares every tensor with its checksum; errors name the tensor.
  void expect_whole() const {
    for (const Entry& e : entries_) {
      const std::uint64_t found =
          hash_file(file_, static_cast<std::size_t>(e.begin), static_cast<std::size_t>(e.end - e.begin));
      if (has_checksums()) expect_checksum(e.name, found);
    }
  }

  /// The values of a tensor whose type must be T's.
  template <class T>
  std::vector<T> values(const std::string& name) const {
    const Entry& e = at(name);
    DREAM_EXPECT(e.dtype == dtype_of<T>(), path(), ": tensor '", name, "' is ", dtype_name(e.dtype), ", expected ",
                 dtype_name(dtype_of<T>()));
    std::vector<T> result(static_cast<std::size_t>((e.end - e.begin) / static_cast<std::int64_t>(sizeof(T))));
    read(e, result.data());
    return result;
  }

  /// One tensor with its bytes.
  Tensor tensor(const Entry& e) const {
    Tensor t{e.name, e.dtype, e.shape, std::vector<std::byte>(static_cast<std::size_t>(e.end - e.begin))};
    read(e, t.bytes.data());
    return t;
  }

 private:
  void expect_checksum(const std::string& name, std::uint64_t found) const {
    const std::string& expected = checksums_.at(name);
    DREAM_EXPECT(hash_text(found) == expected, path(), ": tensor '", name, "' has the checksum ", hash_text(found),
                 ", expected ", expected, ": its bytes have changed since they were written");
  }

  /// The checksums of the metadata, one for every tensor; that of the header must fit.
  void read_checksums() {
    const auto found = metadata_.find(detail::checksums_key);
    if (found == metadata_.end()) return;
    const nlohmann::json json = parse_json(found->second, concat(path(), ": metadata 'checksums'"));
    const auto checksum = [&](const std::string& name) {
      DREAM_EXPECT(json.is_object() && json.contains(name) && json.at(name).is_string(), path(),
                   ": metadata 'checksums' has none of '", name, "'");
      return json.at(name).get<std::string>();
    };
    std::uint64_t header = 0;
    for (const Entry& e : entries_) {
      checksums_[e.name] = checksum(e.name);
      header += detail::entry_hash(e.name, e.dtype, e.shape);
    }
    header += detail::metadata_hash(metadata_);
    const std::string expected = checksums_["__metadata__"] = checksum("__metadata__");
    DREAM_EXPECT(hash_text(header) == expected, path(), ": the header has the checksum ", hash_text(header),
                 ", expected ", expected, ": it has changed since it was written");
  }

  FileReader file_;
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_, checksums_;
};

}  // namespace dream
